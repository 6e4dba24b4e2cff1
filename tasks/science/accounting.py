"""Accounting of frames: whatever goes into a stage comes out of it, as a product or as a reason."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import date

from tasks.records import (
    Calibrated,
    Difference,
    NightReport,
    Reduced,
    Rejected,
    Stack,
    Stage,
    StageResult,
    StageTiming,
)

UNKNOWN = "lost without a word: its task ended before it could say why"


def unaccounted(
    expected: Iterable[str],
    made: Iterable[str],
    rejected: Iterable[Rejected],
    failures: Iterable[Rejected],
    *,
    stage: str,
    unit: str,
) -> tuple[Rejected, ...]:
    """Return a rejection for every expected name that was neither made nor rejected.

    Parameters
    ----------
    expected, made
        Names that went into the stage, and those that came out of it.
    rejected
        What the stage itself rejected.
    failures
        Tasks of the stage that failed as a whole; those that name the unit give the reason.
    stage, unit
        For the rejections.
    """
    missing = set(expected) - set(made) - {each.name for each in rejected}
    failures = list(failures)
    causes = [each for each in failures if unit in each.name] or failures
    reason = "; ".join(dict.fromkeys(each.reason for each in causes)) or UNKNOWN
    passing = not causes or any(each.passing for each in causes)
    return tuple(
        Rejected(name=name, stage=stage, reason=reason, unit=unit, passing=passing) for name in sorted(missing)
    )


def summarise(night: date, results: Sequence[StageResult], *, seconds: float) -> NightReport:
    """Join the results of all stages and units into the night's report."""
    calibrations = [each for each in results if each.stage is Stage.CALIBRATE]
    reductions = [each for each in results if each.stage is Stage.REDUCE]
    kept = reductions or calibrations
    return NightReport(
        night=night,
        units=tuple(sorted({each.unit for each in results})),
        frames_ok=sum(len(each.reduced) or len(each.calibrated) for each in kept),
        rejected=tuple(rejection for each in results for rejection in each.rejected),
        reduced=tuple(frame for each in results for frame in each.reduced),
        stacks=tuple(stack for each in results for stack in each.stacks),
        differences=tuple(difference for each in results for difference in each.differences),
        candidates=tuple(candidate for each in results for candidate in each.candidates),
        masters=tuple(master for each in results for master in each.masters),
        qa={light.frame.path.name: light.qa for each in results for light in each.calibrated if light.qa},
        timings=tuple(_timing(stage, results) for stage in Stage if any(each.stage is stage for each in results)),
        seconds=seconds,
    )


def _timing(stage: Stage, results: Sequence[StageResult]) -> StageTiming:
    own = [each for each in results if each.stage is stage]
    times = sorted(item.seconds for each in own for item in _items(each))
    return StageTiming(
        stage=stage,
        seconds=max(each.seconds for each in own),
        done=sum(each.done for each in own),
        failed=sum(len(each.rejected) for each in own),
        p50_s=_quantile(times, 0.5),
        p95_s=_quantile(times, 0.95),
    )


def _items(result: StageResult) -> tuple[Calibrated | Reduced | Stack | Difference, ...]:
    return (*result.calibrated, *result.reduced, *result.stacks, *result.differences)


def _quantile(ordered: Sequence[float], part: float) -> float:
    """Return the smallest value that at least a part of all values do not exceed; 0 where there are none."""
    return round(ordered[max(0, math.ceil(part * len(ordered)) - 1)], 3) if ordered else 0.0
