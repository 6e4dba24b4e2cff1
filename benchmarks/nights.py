"""B10: a small simulated night through the flow ``night``, what orchestration takes of it, and the same night again."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from datetime import datetime

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import TaskRun

from benchmarks.harness import Gate, Report, Row, Setting
from deployments import private, reduction
from flows.night import night as night_flow
from tasks import simulation
from tasks.science.simulation.plan import Request

LARGEST_SHARE = 0.05
PAGE = 200


def run(setting: Setting) -> Report:
    request = Request(scale="full" if setting.full else "small", seed=10, **({"lights": 3} if setting.quick else {}))
    simulation.make_night(setting.folder / "night", request)
    truth = json.loads((setting.folder / "night" / "truth.json").read_bytes())
    place = reduction.locate(setting.folder / "night", out=setting.folder / "products")
    with private.prefect(setting.folder / "state"):
        private.place(place.places, cpu_slots=2, gpu_slots=1)
        first, report = _timed(place)
        runs = _task_runs()
        again, _ = _timed(place)
    busy = _union(runs)
    share = 1 - busy / first
    rows = (
        Row(
            what="whole night, first run",
            figure=f"{first:.1f} s",
            gates=(
                Gate(what="lights reduced", value=len(report.reduced), limit=len(truth["lights"]), at_least=True),
                Gate(
                    what="stacks",
                    value=len(report.stacks),
                    limit=len(request.units) * len(request.filters),
                    at_least=True,
                ),
            ),
        ),
        Row(
            what="of it no task runs: orchestration, target ≤ 5 %",
            figure=f"{share:.1%} ({first - busy:.1f} s, {len(runs)} tasks)",
            met=share <= LARGEST_SHARE,
        ),
        Row(what="the same night again", figure=f"{again:.1f} s ({again / first:.1%})"),
    )
    return Report(
        name="b10",
        title=f"A night of {len(request.units)} units, {len(truth['lights'])} lights",
        rows=rows,
        notes=(
            (
                "Wall time of the flow, its cluster's start and end included, without the server's start. Orchestration is "
                "the time in which not one task is running. There is no peer here that runs without its observatory."
            ),
        ),
    )


def _timed(place: reduction.NightPlace):
    started = time.perf_counter()
    report = night_flow(place.night, place.units)
    return time.perf_counter() - started, report


def _task_runs() -> list[TaskRun]:
    """Return all task runs that ended; the server hears of them a moment late."""
    time.sleep(3)
    runs: list[TaskRun] = []
    with get_client(sync_client=True) as client:
        while page := client.read_task_runs(limit=PAGE, offset=len(runs)):
            runs += page
    return [run for run in runs if run.start_time and run.end_time]


def _union(runs: Sequence[TaskRun]) -> float:
    """Return the time in s in which at least one task runs."""
    total, reached = 0.0, None
    for run in sorted(runs, key=lambda run: run.start_time):
        start: datetime = run.start_time if reached is None else max(run.start_time, reached)
        if run.end_time > start:
            total += (run.end_time - start).total_seconds()
            reached = run.end_time
    return total
