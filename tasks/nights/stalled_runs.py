"""Find night runs that crashed or run too long."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType

from tasks.records import NightTrouble

log = logging.getLogger(__name__)

NIGHT = "night"
# older runs were reported before, or no longer matter
MEMORY = timedelta(days=3)
REASON_LENGTH = 300


@task(cache_policy=NO_CACHE, task_run_name="troubled-nights")
def troubled_nights(stall_h: float) -> tuple[NightTrouble, ...]:
    """Return runs of ``night`` that crashed within ``MEMORY``, and those running for more than ``stall_h`` hours."""
    now = datetime.now(UTC)
    troubles = tuple(trouble for run in _runs(now) if (trouble := _trouble(run, now, stall_h)) is not None)
    for trouble in troubles:
        log.warning("night %s, run %s: %s since %s", trouble.night, trouble.name, trouble.what, trouble.since)
    return troubles


def _runs(now: datetime) -> Iterator[FlowRun]:
    wanted = FlowRunFilter(
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.CRASHED, StateType.RUNNING])),
        start_time=FlowRunFilterStartTime(after_=now - MEMORY),  # type: ignore[arg-type]  # Prefect's own datetime
    )
    with get_client(sync_client=True) as client:
        yield from client.read_flow_runs(
            flow_filter=FlowFilter(name=FlowFilterName(any_=[NIGHT])), flow_run_filter=wanted
        )


def _trouble(run: FlowRun, now: datetime, stall_h: float) -> NightTrouble | None:
    state, start = run.state, run.start_time
    if state is None or start is None or "night" not in run.parameters:
        return None
    crashed = state.type is StateType.CRASHED
    if not crashed and now - start < timedelta(hours=stall_h):
        return None
    return NightTrouble(
        night=date.fromisoformat(str(run.parameters["night"])[:10]),
        units=tuple(str(unit) for unit in run.parameters.get("units") or ()),
        run=str(run.id),
        name=run.name,
        what="crashed" if crashed else "stalled",
        since=state.timestamp if crashed else start,
        reason=" ".join((state.message or "").split())[:REASON_LENGTH] if crashed else "",
    )
