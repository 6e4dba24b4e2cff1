"""Calibrated lights of a night to frames with a WCS and zero points."""

from __future__ import annotations

from datetime import date

from prefect import flow

from tasks import futures, runtime
from tasks import observatory as tasks_observatory
from tasks.catalogues import astrometric
from tasks.nights import stage_results
from tasks.options import ReduceOptions
from tasks.records import Stage, StageResult
from tasks.reduction import astrometry, light_batches, photometry


@flow(name="reduce", flow_run_name="reduce-{night}", task_runner=runtime.own_runner())
def reduce(
    night: date,
    units: tuple[str, ...] = (),
    *,
    objects: tuple[str, ...] = (),
    options: ReduceOptions = ReduceOptions(),
    observatory: str = "observatory",
) -> tuple[StageResult, ...]:
    """Solve each unit's calibrated lights and measure them.

    Args:
        night: Date of the evening; its frames must be calibrated.
        units: Units to reduce; none means all that were calibrated.
        objects: Objects or tiles (``T00123`` or 123) to take; none means all.
        options: How frames get their WCS and zero points.
        observatory: Name of the block with the observatory's places.
    """
    places = tasks_observatory.places(observatory)
    calibrated = stage_results.read_stage(places.product_root, night, units, Stage.CALIBRATE, objects)

    # without it the frames of the missing cells are rejected, and the others reduced
    astrometric.fetch_for(calibrated, places.astrometric_catalogue, options, return_state=True)

    solved, measured = [], []
    for batch in [batch for unit in calibrated for batch in light_batches.batches(unit, places.product_root)]:
        label = stage_results.label(batch[0].frame)
        solution = astrometry.solve.with_options(task_run_name=f"solve-{label}").submit(
            batch, places.astrometric_catalogue, places.product_root, options
        )
        # Prefect hands the task what the future becomes; its types do not say so
        measurement = photometry.measure.with_options(task_run_name=f"measure-{label}").submit(  # type: ignore[call-overload]
            solution,
            places.photometric_catalogue,
            places.product_root,
            options,
        )
        solved.append(solution)
        measured.append(measurement)
    solutions, no_solution = futures.gather(solved, stage=Stage.REDUCE)
    batches, no_photometry = futures.gather(measured, stage=Stage.REDUCE)

    failures = (*no_solution, *no_photometry)
    return stage_results.conclude_reduction(
        night, places.product_root, calibrated, solutions, batches, failures, objects
    )
