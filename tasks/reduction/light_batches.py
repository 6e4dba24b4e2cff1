"""Batches of lights by arrival: late lights form batches of their own, earlier batches stay unchanged."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks import naming, products
from tasks.records import Calibrated, StageResult
from tasks.science.nights import frame_accounting

log = logging.getLogger(__name__)


@task(cache_policy=NO_CACHE, task_run_name="batches-{calibrated.unit}-{calibrated.night}")
def batches(calibrated: StageResult, root: Path) -> tuple[tuple[Calibrated, ...], ...]:
    """Return a unit's calibrated lights in batches of one object and filter, which share an astrometric solution.

    Batches are recorded before they are processed: a later run of the night has the same ones, and new ones for lights
    that arrived since.
    """
    place = naming.NightTree(root=root).batches(calibrated.unit, calibrated.night)
    earlier = _read(place)
    current = frame_accounting.batches(calibrated.calibrated, earlier)
    names = [[light.frame.path.name for light in batch] for batch in current]
    others = [batch for batch in earlier if not set(batch) & {name for batch in names for name in batch}]
    if (noted := [*others, *names]) != earlier:
        products.write_text(place, json.dumps(noted, indent=1) + "\n")
    log.info("%s %s: %d batches of lights", calibrated.unit, calibrated.night, len(current))
    return current


def _read(place: Path) -> Sequence[list[str]]:
    try:
        stored = json.loads(place.read_bytes())
    except (OSError, ValueError):
        return []
    return [[str(name) for name in batch] for batch in stored if isinstance(batch, list)]
