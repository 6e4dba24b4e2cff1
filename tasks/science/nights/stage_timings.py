"""Timings of a night's processes, under the observers' names for them: items done and failed, and durations."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from tasks.records import ProcessTiming, Stage, StageResult

# processes of ours that others do in several: their time is in that of the process named
WITHIN: Mapping[str, str] = {
    "cr_removal": "data_reduction",
    "astrometry_solve_field": "astrometry_scamp",
    "pre_source_extractor": "astrometry_scamp",
    "missfits": "astrometry_scamp",
    "get_polygon_info": "astrometry_scamp",
    "photometry_com": "image_stack",
    "photometry_sub": "transient_search",
}
NAMES = (
    "master_frame_bias",
    "master_frame_dark",
    "master_frame_flat",
    "data_reduction",
    "cr_removal",
    "astrometry_solve_field",
    "pre_source_extractor",
    "astrometry_scamp",
    "missfits",
    "get_polygon_info",
    "photometry",
    "image_stack",
    "photometry_com",
    "subtraction",
    "photometry_sub",
    "transient_search",
)


def of_night(results: Sequence[StageResult]) -> tuple[ProcessTiming, ...]:
    """Return the processes of the stages that ran, in order; items are frames, masters, stacks or differences."""
    timings = {**_masters(results), **_lights(results), **_stacks(results)}
    ran = [name for name in NAMES if WITHIN.get(name, name) in timings]
    return tuple(_within(timings, name) if name in WITHIN else timings[name] for name in ran)


def quantile(values: Iterable[float], part: float) -> float:
    """Return the smallest value that at least a ``part`` of all values do not exceed; 0 without values."""
    ordered = sorted(values)
    return round(ordered[max(0, math.ceil(part * len(ordered)) - 1)], 3) if ordered else 0.0


def _within(found: Mapping[str, ProcessTiming], name: str) -> ProcessTiming:
    whole = found[WITHIN[name]]
    return replace(whole, process=name, within=whole.process, seconds=0.0, p50_s=0.0, p95_s=0.0)


def _masters(results: Sequence[StageResult]) -> dict[str, ProcessTiming]:
    calibrations = [each for each in results if each.stage is Stage.CALIBRATE]
    timings = {}
    for kind in ("bias", "dark", "flat") if calibrations else ():
        own = [each for result in calibrations for each in result.masters if each.kind == kind]
        faulty = sum(bool(each.faults) for each in own)
        borrowed = sum(each.status == "borrowed" and not each.faults for each in own)
        times = [each.seconds for each in own if each.seconds]
        name = f"master_frame_{kind}"
        timings[name] = _timing(name, len(own) - faulty - borrowed, faulty, times, skipped=borrowed)
    return timings


def _lights(results: Sequence[StageResult]) -> dict[str, ProcessTiming]:
    lost = _counter(results, lambda each: len(each.rejected))
    calibrated = [each for result in results for each in result.calibrated]
    timings = {}
    if any(each.stage is Stage.CALIBRATE for each in results):
        times = [each.seconds for each in calibrated]
        timings["data_reduction"] = _timing("data_reduction", len(calibrated), lost(Stage.CALIBRATE), times)
    if any(each.stage is Stage.REDUCE for each in results):
        reduced = [each for result in results for each in result.reduced]
        solved = {name: seconds for result in results for name, seconds in result.solved_s.items()}
        without = [each.frame.path.name for each in calibrated if each.frame.path.name not in solved]
        times = [max(0.0, each.seconds - solved.get(each.frame.path.name, 0.0)) for each in reduced]
        timings["astrometry_scamp"] = _timing("astrometry_scamp", len(solved), len(without), solved.values())
        timings["photometry"] = _timing("photometry", len(reduced), len(solved) - len(reduced), times)
    return timings


def _stacks(results: Sequence[StageResult]) -> dict[str, ProcessTiming]:
    lost = _counter(results, lambda each: len(each.rejected))
    stacks = [each for result in results for each in result.stacks]
    timings = {}
    if any(each.stage is Stage.STACK for each in results):
        timings["image_stack"] = _timing(
            "image_stack", len(stacks), lost(Stage.STACK), [each.seconds for each in stacks]
        )
    if any(each.stage is Stage.SEARCH for each in results):
        differences = [each for result in results for each in result.differences]
        searched = [seconds for result in results for seconds in result.searched_s]
        failed = len(stacks) - len(differences)
        timings["subtraction"] = _timing(
            "subtraction", len(differences), failed, [each.seconds for each in differences]
        )
        timings["transient_search"] = _timing(
            "transient_search", len(searched), len(differences) - len(searched), searched
        )
    return timings


def _counter(results: Sequence[StageResult], number: Callable[[StageResult], int]) -> Callable[[Stage], int]:
    return lambda stage: sum(number(each) for each in results if each.stage is stage)


def _timing(process: str, done: int, failed: int, times: Iterable[float], *, skipped: int = 0) -> ProcessTiming:
    times = list(times)
    return ProcessTiming(
        process=process,
        seconds=round(sum(times), 3),
        done=done,
        failed=max(0, failed),
        skipped=skipped,
        p50_s=quantile(times, 0.5),
        p95_s=quantile(times, 0.95),
    )
