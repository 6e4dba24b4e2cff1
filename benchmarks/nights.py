"""B10: a small simulated night through the flow ``night``, against the same binaries in the order of gppy-gpu.

What orchestration takes of it, how long the first frames wait for their candidates, and the same night again.
"""

from __future__ import annotations

import json
import multiprocessing
import re
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import TaskRun

from benchmarks import seed_night
from benchmarks.harness import Gate, Report, Row, Setting, Timing, seconds
from deployments.local import night
from deployments.server import temporary_server
from flows.nights.night import night as night_flow
from tasks import simulation
from tasks.records import LOCAL, Stage
from tasks.science.simulation.plan import Request

LARGEST_SHARE = 0.05
LONGEST_WAIT_S = 60.0
PAGE = 200
# products of both sides: masters, images with a WCS, stacks, catalogues
PRODUCT = re.compile(
    r"zero\.fits|dark-[\d.]+\.fits|n[a-z]\w*\.fits|calib_[\w.]+?(\.com)?\.fits|calib_[\w.]+\.phot\.cat"
)
# a stage is also a task run of the calling flow, and covers the time between its tasks
SUBFLOW = re.compile(r"(calibrate|reduce|stack|search)-\d+")
PLANE = re.compile(r"\.(var|mask|psf|subt|conv|weight|number)\b")


def run(setting: Setting) -> Report:
    """Time a small night and its peers; with full frames, which take the peers an hour, only the orchestration."""
    request = Request(seed=10, **({"lights": 3} if setting.quick else {}))
    if setting.full:
        request = replace(request, scale="full", units=request.units[:1], lights=2)
    simulation.make_night(setting.folder / "night", request)
    truth = json.loads((setting.folder / "night" / "truth.json").read_bytes())
    peers = [] if setting.full else _peers(setting, truth, request)
    with temporary_server.prefect(setting.folder / "state"):
        rows = _rows(setting, truth, request, peers)
    return Report(
        name="b10-full" if setting.full else "b10",
        title=f"A night of {len(request.units)} units, {len(truth['lights'])} lights of {request.scale} size",
        rows=rows,
        notes=(
            (
                "Wall time of the flow, its cluster's start and end included, without the server's start; of the peer "
                "without the start of its processes and their imports. Orchestration is the time in which not one task is "
                "running. The peer ends with stacks, as its subtraction needs HOTPANTS, and is given the true pointings "
                "instead of solve-field; ours finds them. Ours also makes variance and mask of each image, finds cosmic "
                "rays, checks every solution, and syncs and hashes what it writes."
            ),
        ),
    )


def _peers(setting: Setting, truth: dict[str, Any], request: Request) -> list[tuple[str, Timing, set[str]]]:
    ways = (
        ("its own settings", "seed", seed_night.SEED_MATCH),
        ("without SCAMP's search", "pointed", seed_night.POINTED),
    )
    return [(words, *_peer(setting, truth, request, match, name)) for words, name, match in ways]


def _rows(
    setting: Setting, truth: dict[str, Any], request: Request, peers: Sequence[tuple[str, Timing, set[str]]]
) -> tuple[Row, ...]:
    """Time two reductions of the night to candidates, the first one with compilation, and to stacks if there are peers."""
    compiling, stacked, whole = (
        night.locate(setting.folder / "night", out=setting.folder / name)
        for name in ("compiling", "stacked", "products")
    )
    rows = []
    if peers:
        compiled, _ = _timed(compiling, Stage.SEARCH)
        rows.append(_figure("the first night on a machine, which compiles what later ones find", compiled.median))
        taken, _ = _timed(stacked, Stage.STACK)
        ours = _products(setting.folder / "stacked")
        rows += [_against(name, taken, theirs, _missing(ours, made)) for name, theirs, made in peers]
    before = {run.id for run in _task_runs()}
    first, report = _timed(whole, Stage.SEARCH)
    runs = [run for run in _task_runs() if run.id not in before]
    again, _ = _timed(whole, Stage.SEARCH)
    return (
        *rows,
        _whole(first.median, report, truth, request),
        _orchestration(first.median, runs),
        _waiting(runs),
        _figure("the same night again", again.median),
    )


def _figure(what: str, taken: float) -> Row:
    return Row(what=what, figure=f"{taken:.1f} s")


def _peer(setting: Setting, truth: dict[str, Any], request: Request, match: Any, name: str) -> tuple[Timing, set[str]]:
    """Run the peer, a process per unit; return its time and its products."""
    root = setting.folder / "night"
    jobs = [
        seed_night.Job(
            raw=root / "obsdata" / unit / request.folder,
            out=setting.folder / name / unit,
            unit=unit,
            pointings={Path(row["file"]).name: root / row["wcs"] for row in truth["lights"] if row["unit"] == unit},
            astrometric=root / "catalogues" / "astrometric.ldac.fits",
            photometric=root / "catalogues" / "photometric.fits",
            match=match,
        )
        for unit in request.units
    ]
    context = multiprocessing.get_context("spawn")
    ready = context.Barrier(len(jobs) + 1)
    processes = [context.Process(target=_reduce_unit, args=(job, ready)) for job in jobs]
    for process in processes:
        process.start()
    ready.wait()
    started, busy = time.perf_counter(), _core_seconds()
    for process in processes:
        process.join()
    taken, cores = time.perf_counter() - started, _core_seconds() - busy
    if any(process.exitcode for process in processes):
        raise RuntimeError(f"the peer failed ({name})")
    return Timing(first=taken, times=(taken,), cpu=(cores,)), _products(setting.folder / name)


def _reduce_unit(job: seed_night.Job, ready: Barrier) -> None:
    ready.wait()
    seed_night.reduce_unit(job)


def _products(root: Path) -> set[str]:
    """Return the names of the products of both sides; masters are in a folder of their unit."""
    found = set()
    for path in root.rglob("*"):
        if not PRODUCT.fullmatch(path.name) or PLANE.search(path.name) or "master_frame" in str(path):
            continue
        unit = next((part for part in path.parts if re.fullmatch(r"7DT\d\d", part)), "")
        if "work" not in path.relative_to(root).parts:
            found.add(path.name if path.name.startswith("calib") else f"{unit}/{path.name}")
    return found


def _missing(ours: set[str], theirs: set[str]) -> Gate:
    return Gate(what=f"products that only one side has, of {len(theirs)}", value=float(len(ours ^ theirs)), limit=0)


def _against(name: str, ours: Timing, peer: Timing, gate: Gate) -> Row:
    return Row(what=f"to stacks, against gppy-gpu's order, {name}", ours=ours, peer=peer, target=2.0, gates=(gate,))


def _whole(first: float, report: Any, truth: dict[str, Any], request: Request) -> Row:
    return Row(
        what="whole night with subtraction and search, first run",
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
    )


def _orchestration(first: float, runs: Sequence[TaskRun]) -> Row:
    busy = _union(runs)
    share = 1 - busy / first
    return Row(
        what="of it no task runs: orchestration, target ≤ 5 %",
        figure=f"{share:.1%} ({first - busy:.1f} s, of which {_start(runs):.1f} s the workers' start; {len(runs)} tasks)",
        met=share <= LARGEST_SHARE,
    )


def _start(runs: Sequence[TaskRun]) -> float:
    """Return the time in s from the request for the cluster's slots to the start of the first stage."""
    asked = next(run for run in runs if run.name.startswith("slots-"))
    begun = next(run for run in runs if run.name == "progress-calibrate")
    return float((begun.start_time - asked.end_time).total_seconds())


def _waiting(runs: Sequence[TaskRun]) -> Row:
    """Return the 95th percentile of the times from the first task to a stack's candidates, with all frames on disk."""
    begun = min(run.start_time for run in runs)
    waits = [(run.end_time - begun).total_seconds() for run in runs if run.name.startswith("search-")]
    worst = float(np.percentile(waits, 95))
    return Row(
        what="all frames on disk → candidates of a stack, 95th percentile, target ≤ 60 s",
        figure=seconds(worst),
        met=worst <= LONGEST_WAIT_S,
    )


def _timed(place: night.NightPlace, until: Stage):
    temporary_server.place(place.places)
    started, busy = time.perf_counter(), _core_seconds()
    report = night_flow(place.night, place.units, until=until, blocks=LOCAL)
    taken = time.perf_counter() - started
    return Timing(first=taken, times=(taken,), cpu=(_core_seconds() - busy,)), report


def _core_seconds() -> float:
    """Return the CPU time of the machine's cores; workers are not children of this process."""
    spent = psutil.cpu_times()
    return float(spent.user + spent.nice + spent.system)


def _task_runs() -> list[TaskRun]:
    """Return all ended task runs; the server receives their states with a delay."""
    time.sleep(3)
    runs: list[TaskRun] = []
    with get_client(sync_client=True) as client:
        while page := client.read_task_runs(limit=PAGE, offset=len(runs)):
            runs += page
    return [run for run in runs if run.start_time and run.end_time and not SUBFLOW.fullmatch(run.name)]


def _union(runs: Sequence[TaskRun]) -> float:
    """Return the time in s during which at least one task ran."""
    total, reached = 0.0, None
    for run in sorted(runs, key=lambda run: run.start_time):
        start: datetime = run.start_time if reached is None else max(run.start_time, reached)
        if run.end_time > start:
            total += (run.end_time - start).total_seconds()
            reached = run.end_time
    return total
