"""Fetch the cells of the astrometric reference catalogue that a night needs."""

from __future__ import annotations

import fcntl
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks import naming, products, resources
from tasks.io.catalogues import astrometric_cells
from tasks.io.services import gaia_tap
from tasks.options import ReduceOptions
from tasks.records import StageResult
from tasks.science.astrometry import catalogue_cells, pointing_search

log = logging.getLogger(__name__)

# number of simultaneous requests to a service
ASKED_AT_ONCE = 2


@task(name="fetch-catalogue", cache_policy=NO_CACHE, **{**resources.PATIENT, "retries": 3})
def fetch_for(calibrated: Sequence[StageResult], catalogue: Path, options: ReduceOptions) -> int:
    """Fetch the missing cells around a stage's frames; return how many.

    Nothing is fetched if the catalogue is a file, or no service is configured.

    Raises
    ------
    Unavailable
        If the service does not answer.
    UnusableData
        If it refuses.
    """
    if catalogue.is_file() or not options.catalogue_url:
        return 0
    frames = [light.frame for unit in calibrated for light in unit.calibrated]
    return fetch(
        catalogue_cells.around(pointing_search.surroundings(frames, options.position_error_arcmin)),
        catalogue,
        url=options.catalogue_url,
        faintest_mag=options.catalogue_mag,
    )


def fetch(wanted: Sequence[int], folder: Path, *, url: str, faintest_mag: float) -> int:
    """Fetch the missing cells into a folder; return how many. Errors as for ``fetch_for``."""
    with ThreadPoolExecutor(ASKED_AT_ONCE) as pool:
        fetched = list(pool.map(lambda cell: _fetch_one(cell, folder, url=url, faintest_mag=faintest_mag), wanted))
    return sum(fetched)


def _fetch_one(cell: int, folder: Path, *, url: str, faintest_mag: float) -> bool:
    """Fetch one cell if its file is missing; a lock keeps two processes from fetching it at the same time."""
    path = folder / naming.cell_file(cell)
    if path.exists():
        return False
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f".{path.name}.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if path.exists():
            return False
        stars = gaia_tap.stars(url, catalogue_cells.source_ids(cell), faintest_mag=faintest_mag)
        with products.staged(path) as temporary:
            astrometric_cells.write(temporary, stars)
    log.info("%s: %d stars to G = %g", path.name, len(stars), faintest_mag)
    return True
