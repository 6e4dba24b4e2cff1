"""Night: reduce one night, from its folders to its page and messages."""

from __future__ import annotations

from datetime import date
from typing import Any

from prefect import Flow, flow

from flows.deprecated import block_keywords
from flows.nights import night_run
from flows.nights.calibrate import calibrate
from flows.nights.reduce import reduce
from flows.nights.search import search
from flows.nights.stack import stack
from tasks import futures, observatory, runtime
from tasks.nights import folders, housekeeping, night_logs, report
from tasks.options import CalibrateOptions, NightOptions, ReduceOptions, SearchOptions, StackOptions
from tasks.records import Blocks, NightReport, Stage, StageResult


@flow(name="night", flow_run_name="night-{night}", on_cancellation=[housekeeping.cancel])
@block_keywords("observatory", "cluster", "registry", "slack")
def night(
    night: date,
    units: tuple[str, ...] = (),
    *,
    objects: tuple[str, ...] = (),
    until: Stage = Stage.SEARCH,
    force: tuple[Stage, ...] = (),
    calibration: CalibrateOptions = CalibrateOptions(),
    reduction: ReduceOptions = ReduceOptions(),
    stacking: StackOptions = StackOptions(),
    searching: SearchOptions = SearchOptions(),
    blocks: Blocks = Blocks(),
) -> NightReport:
    """Reduce a night: calibrate, reduce, stack, search, report.

    If raw frames, options and products are unchanged since an earlier run, its report is returned at once.

    Args:
        night: Date of the evening.
        units: Units to reduce; none means all that have frames of the night.
        objects: Objects or tiles (``T00123`` or 123) to reduce; none means all.
        until: Last stage to run.
        force: Stages to run again even if their products are intact.
        calibration: How masters are combined and lights calibrated.
        reduction: How frames get their WCS and zero points.
        stacking: Which frames are stacked together, and how.
        searching: How references are subtracted and what counts as a detection.
        blocks: Names of the blocks with places, cluster, registry and Slack.
    """
    places = observatory.places(blocks)
    root = places.product_root
    raw = folders.night_folders(places.raw_root, night, units)
    options = NightOptions(
        until=until,
        objects=objects,
        calibration=calibration,
        reduction=reduction,
        stacking=stacking,
        searching=searching,
    )
    if (earlier := report.recall_night(night, places, raw, options, force)) is not None:
        return earlier

    stages: dict[Stage, tuple[Flow[..., tuple[StageResult, ...]], Any]] = {
        Stage.CALIBRATE: (calibrate, calibration),
        Stage.REDUCE: (reduce, reduction),
        Stage.STACK: (stack, stacking),
        Stage.SEARCH: (search, searching),
    }
    results: list[StageResult] = []
    with night_run.running(night, raw, root, observatory.home(blocks)) as run:
        report.invalidate_recipes(night, root, raw, force, objects)
        with runtime.cluster(observatory.slots(blocks)) as address:
            for stage in until.and_before():
                report.progress(night, stage, until)
                stage_flow, chosen = stages[stage]
                staged = stage_flow.with_options(task_runner=runtime.runner_for(address))
                results += staged(night, units, objects=objects, options=chosen, blocks=blocks)

        outcomes = futures.unwrapped(tuple(results))
        night_report = run.finish(report.report(night, places, raw, options, outcomes))
        night_logs.file_night(futures.unwrapped(night_report), outcomes)
    return night_report
