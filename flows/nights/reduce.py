"""Reduce: calibrated lights of a night to frames with a WCS and zero points."""

from __future__ import annotations

from datetime import date

from prefect import flow

from flows.deprecated import block_keywords
from tasks import futures, observatory, runtime
from tasks.catalogues import astrometric
from tasks.nights import stage_results
from tasks.options import ReduceOptions
from tasks.records import Blocks, Stage, StageResult
from tasks.reduction import astrometry, light_batches, photometry


@flow(name="reduce", flow_run_name="reduce-{night}", task_runner=runtime.own_runner())
@block_keywords("observatory")
def reduce(
    night: date,
    units: tuple[str, ...] = (),
    *,
    objects: tuple[str, ...] = (),
    options: ReduceOptions = ReduceOptions(),
    blocks: Blocks = Blocks(),
) -> tuple[StageResult, ...]:
    """Solve each unit's calibrated lights and measure them.

    Args:
        night: Date of the evening; its frames must be calibrated.
        units: Units to reduce; none means all that were calibrated.
        objects: Objects or tiles (``T00123`` or 123) to take; none means all.
        options: How frames get their WCS and zero points.
        blocks: Names of the blocks; the observatory's is used.
    """
    places = observatory.places(blocks)
    root, reference = places.product_root, places.photometric_catalogue
    calibrated = stage_results.read_stage(root, night, units, Stage.CALIBRATE, objects)

    # if it fails, the frames in the missing cells are rejected and the others reduced
    astrometric.fetch_for(calibrated, places.astrometric_catalogue, options, return_state=True)

    solved, measured = [], []
    for batch in [batch for unit in calibrated for batch in light_batches.batches(unit, root)]:
        label = stage_results.label(batch[0].frame)
        solution = futures.submit(
            astrometry.solve, batch, places.astrometric_catalogue, root, options, name=f"solve-{label}"
        )
        solved.append(solution)
        measured.append(futures.submit(photometry.measure, solution, reference, root, options, name=f"measure-{label}"))
    solutions, no_solution = futures.gather(solved, stage=Stage.REDUCE)
    batches, no_photometry = futures.gather(measured, stage=Stage.REDUCE)

    failures = (*no_solution, *no_photometry)
    return stage_results.conclude_reduction(night, root, calibrated, solutions, batches, failures, objects)
