"""Astrometry of calibrated lights: a WCS for each, checked against the reference.

Our own vote of its stars finds the pointing of a frame; if it fails, solve-field does, if it is installed. SCAMP thus
gets an a-priori header good to arcseconds. SCAMP fits the distortion of the whole batch, or of each frame alone if the
batch fails. Unsolved frames are searched for at the positions of the solved frames of their object. Our own match with
the reference accepts or rejects a solution; MissFITS writes it into the image.
"""

from __future__ import annotations

from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks import naming, products
from tasks.io.catalogues import astrometric_cells
from tasks.options import ReduceOptions
from tasks.programs import outputs
from tasks.records import Calibrated, SolvedBatch
from tasks.reduction.engines import light_solving
from tasks.science.astrometry import catalogue_cells, pointing_search


@task(name="solve", cache_policy=NO_CACHE, persist_result=False)
def solve(calibrated: tuple[Calibrated, ...], catalogue: Path, root: Path, options: ReduceOptions) -> SolvedBatch:
    """Give the lights of one unit, filter and object a WCS; reject those that cannot be solved, with the reason."""
    if not calibrated:
        return SolvedBatch(solved=())
    frame, images = calibrated[0].frame, [light.image for light in calibrated]
    folder = naming.NightTree(root=root).solved(frame.unit, naming.night_of(frame.date_obs))
    ledger = folder / naming.batch_ledger(frame.object, frame.filter, [image.name for image in images])
    nearby = catalogue_cells.around(
        pointing_search.surroundings([light.frame for light in calibrated], options.position_error_arcmin)
    )
    inputs = [*(image for image in images if image.exists()), *astrometric_cells.present(catalogue, nearby)]
    recipe = products.Recipe(stage="solve", inputs=inputs, options=options)
    if (earlier := products.recall(recipe, ledger, SolvedBatch)) is not None:
        return earlier
    with outputs.scratch(folder, "solve") as scratch:
        batch, lasting = light_solving.solve_all(calibrated, catalogue, scratch, options, place=folder)
    if lasting:
        products.write_text(ledger, f"{len(batch.solved)} solved, {len(batch.rejected)} rejected\n")
        files = [path for light in batch.solved for path in (light.image, naming.detections_of(light.image))]
        products.remember(recipe, [ledger, *files], batch)
    return batch
