"""Search of a difference image: candidates with magnitudes and flags."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks import naming, products
from tasks.io.fits import image_planes
from tasks.options import SearchOptions
from tasks.records import CandidateBatch, Difference
from tasks.reduction.engines import candidate_files
from tasks.science.candidates import candidate_table, findings

log = logging.getLogger(__name__)

TOOLS = {"numpy": np.__version__}


@task(task_run_name="search-{difference.stack.object}-{difference.stack.filter}", tags={"gpu"}, cache_policy=NO_CACHE)
def search(difference: Difference, root: Path, options: SearchOptions) -> CandidateBatch:
    """Detect, measure and flag candidates on a difference; write the catalogue, regions and stamps."""
    del root  # the products are written beside the difference
    started = time.monotonic()
    table = naming.transients_of(difference.image)
    inputs = [difference.image, difference.variance, difference.mask, difference.convolved, difference.stack.image]
    recipe = products.Recipe(stage="search", inputs=inputs, options=options, tools=TOOLS)
    if (earlier := products.recall(recipe, table, CandidateBatch)) is not None:
        return earlier
    wcs = image_planes.read(difference.stack.image).wcs
    judged = findings.find(candidate_files.read_planes(difference), wcs, options)
    pictures = candidate_files.write_stamps(judged, difference)
    candidates = candidate_table.candidates_of(judged, difference, pictures)
    batch = CandidateBatch(difference=difference, candidates=candidates, table=table)
    outputs = [*candidate_files.write_tables(judged, batch), *pictures.values()]
    batch = replace(batch, seconds=round(time.monotonic() - started, 3))
    products.remember(recipe, outputs, batch)
    log.info(
        "%s: %d detections, %d without a flag, %.1f s",
        difference.image.name, len(judged.found), len(findings.survivors(judged)), batch.seconds,
    )  # fmt: skip
    return batch
