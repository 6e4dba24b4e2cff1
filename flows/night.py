"""One night, from its folders to its page and messages."""

from __future__ import annotations

from datetime import date
from typing import Any

from prefect import Flow, flow

from flows.calibrate import calibrate
from flows.reduce import reduce
from flows.search import search
from flows.stack import stack
from tasks import housekeeping, observing, reporting, runtime
from tasks.options import CalibrateOptions, NightOptions, ReduceOptions, SearchOptions, StackOptions
from tasks.records import NightReport, Stage, StageResult


@flow(name="night", flow_run_name="night-{night}", on_cancellation=[housekeeping.cancel])
def night(
    night: date,
    units: tuple[str, ...] = (),
    *,
    until: Stage = Stage.SEARCH,
    force: tuple[Stage, ...] = (),
    calibration: CalibrateOptions = CalibrateOptions(),
    reduction: ReduceOptions = ReduceOptions(),
    stacking: StackOptions = StackOptions(),
    searching: SearchOptions = SearchOptions(),
    observatory: str = "observatory",
    cluster: str = "cluster",
) -> NightReport:
    """Reduce a night: calibrate, reduce, stack, search, report.

    A night whose raw frames, options and products are as an earlier run left them is a lookup.

    Args:
        night: Date of the evening.
        units: Units to reduce; none means all that have frames of the night.
        until: Last stage to run.
        force: Stages to run anew even where their products are intact.
        calibration: How masters are combined and lights calibrated.
        reduction: How frames get their WCS and zero points.
        stacking: Which frames are stacked together, and how.
        searching: How references are subtracted and what counts as a detection.
        observatory: Name of the block with the observatory's places.
        cluster: Name of the block with the Dask cluster.
    """
    places = observing.places(observatory)
    folders = observing.night_folders(places.raw_root, night, units)
    options = NightOptions(
        until=until, calibration=calibration, reduction=reduction, stacking=stacking, searching=searching
    )
    if (known := reporting.recall_night(night, places, folders, options, force)) is not None:
        return known
    reporting.forget(night, places.product_root, folders, force)

    stages: dict[Stage, tuple[Flow[..., tuple[StageResult, ...]], Any]] = {
        Stage.CALIBRATE: (calibrate, calibration),
        Stage.REDUCE: (reduce, reduction),
        Stage.STACK: (stack, stacking),
        Stage.SEARCH: (search, searching),
    }
    results: list[StageResult] = []
    alone = housekeeping.alone(night, places.product_root, folders)
    with alone, runtime.cluster(observing.slots(cluster)) as address:
        for stage in until.and_before():
            reporting.progress(night, stage, until)
            run, chosen = stages[stage]
            staged = run.with_options(task_runner=runtime.runner_for(address))
            results += staged(night, units, options=chosen, observatory=observatory)

    return reporting.report(night, places, folders, options, tuple(results))
