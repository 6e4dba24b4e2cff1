"""One night, from its folders to its page and messages."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

from prefect import Flow, flow

from flows.nights.calibrate import calibrate
from flows.nights.reduce import reduce
from flows.nights.search import search
from flows.nights.stack import stack
from tasks import futures, runtime
from tasks import observatory as tasks_observatory
from tasks.messages import delivery, night_messages
from tasks.nights import folders as observing
from tasks.nights import housekeeping, journal, memory_use, night_logs, report
from tasks.options import CalibrateOptions, NightOptions, ReduceOptions, SearchOptions, StackOptions
from tasks.records import NightReport, Stage, StageResult
from tasks.records.outbox import Outgoing

# a Slack that is away is not waited for longer than this; the outbox is sent again by the next run
PATIENCE_S = 5.0


@flow(name="night", flow_run_name="night-{night}", on_cancellation=[housekeeping.cancel])
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
    observatory: str = "observatory",
    cluster: str = "cluster",
    registry: str = "registry",
    slack: str = "slack",
) -> NightReport:
    """Reduce a night: calibrate, reduce, stack, search, report.

    A night whose raw frames, options and products are as an earlier run left them is a lookup.

    Args:
        night: Date of the evening.
        units: Units to reduce; none means all that have frames of the night.
        objects: Objects or tiles (``T00123`` or 123) to reduce; none means all.
        until: Last stage to run.
        force: Stages to run anew even where their products are intact.
        calibration: How masters are combined and lights calibrated.
        reduction: How frames get their WCS and zero points.
        stacking: Which frames are stacked together, and how.
        searching: How references are subtracted and what counts as a detection.
        observatory: Name of the block with the observatory's places.
        cluster: Name of the block with the Dask cluster.
        registry: Name of the block with the registry; where it is empty, a file beside the products.
        slack: Name of the block with the Slack workspace; where it is empty, a folder beside the products.
    """
    places = tasks_observatory.places(observatory)
    folders = observing.night_folders(places.raw_root, night, units)
    root = places.product_root
    options = NightOptions(
        until=until,
        objects=objects,
        calibration=calibration,
        reduction=reduction,
        stacking=stacking,
        searching=searching,
    )
    if (known := report.recall_night(night, places, folders, options, force)) is not None:
        return known

    stages: dict[Stage, tuple[Flow[..., tuple[StageResult, ...]], Any]] = {
        Stage.CALIBRATE: (calibrate, calibration),
        Stage.REDUCE: (reduce, reduction),
        Stage.STACK: (stack, stacking),
        Stage.SEARCH: (search, searching),
    }
    results: list[StageResult] = []
    with housekeeping.alone(night, root, folders), memory_use.memory() as gauge:
        journal.begin(night, root, folders)
        _tell(night_messages.started(night, folders), root, registry, slack)
        report.forget(night, root, folders, force, objects)
        try:
            with runtime.cluster(tasks_observatory.slots(cluster)) as address:
                for stage in until.and_before():
                    report.progress(night, stage, until)
                    run, chosen = stages[stage]
                    staged = run.with_options(task_runner=runtime.runner_for(address))
                    results += staged(night, units, objects=objects, options=chosen, observatory=observatory)

            found = futures.whole(tuple(results))
            made = report.report(night, places, folders, options, found)
            night_logs.file_night(futures.whole(made), found)
            memory_use.show(futures.whole(made), gauge)
        except Exception as error:
            journal.fail(night, root, folders, str(error))
            _tell(night_messages.failed(night, folders, str(error)), root, registry, slack)
            raise

        journal.end(night, root, folders, futures.whole(made))
        _tell(night_messages.finished(made), root, registry, slack)
    return made


def _tell(messages: tuple[Outgoing, ...], root: Path, registry: str, slack: str) -> None:
    """Put messages into the outbox and send them; a night goes on whether or not that succeeds."""
    for message in messages:
        delivery.say.with_options(retries=1)(message, root=root, registry=registry, return_state=True)
    delivery.deliver.with_options(retries=1)(
        root=root, registry=registry, workspace=slack, patience_s=PATIENCE_S, return_state=True
    )
