"""Accounting of frames: each frame of a stage becomes a product or a rejection with a reason."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date

from tasks import naming
from tasks.records import Calibrated, Difference, NightReport, Reduced, Rejected, Stack, Stage, StageResult, StageTiming
from tasks.science.nights import stage_timings

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
    """Return a rejection for every expected name that has neither a product nor a rejection.

    Parameters
    ----------
    expected, made
        Names of the stage's inputs, and of its products.
    rejected
        Rejections by the stage itself.
    failures
        Tasks of the stage that failed as a whole; the reason is taken from those that name the unit.
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


def batches(lights: Sequence[Calibrated], known: Iterable[Sequence[str]]) -> tuple[tuple[Calibrated, ...], ...]:
    """Return lights in batches of one object and filter: the known batches, and new ones for all other lights.

    ``known`` are the raw frames' names of each earlier batch; a frame that no longer exists, or has another object or
    filter now, is dropped from it.
    """
    by_name = {light.frame.path.name: light for light in lights}
    groups: dict[tuple[int, str, str], list[Calibrated]] = {}
    for number, names in enumerate([*known, list(by_name)]):
        for light in (by_name.pop(name) for name in names if name in by_name):
            groups.setdefault((number, light.frame.object, light.frame.filter), []).append(light)
    batches_by_key = sorted(groups.items(), key=lambda item: (*item[0][1:], item[0][0]))
    return tuple(tuple(group) for _, group in batches_by_key)


def only(result: StageResult, objects: Sequence[str]) -> StageResult:
    """Return a stage's result for some objects or tiles; none means all."""
    return _divided(result, objects)[0] if objects else result


def merged(before: StageResult, after: StageResult, objects: Sequence[str]) -> StageResult:
    """Return a stage's new result for some objects, joined with its earlier one for the others."""
    others = _divided(before, objects)[1]
    names = {each.frame.path.name for each in after.calibrated} | {each.frame.path.name for each in after.reduced}
    names |= {each.name for each in after.rejected}
    return replace(
        after,
        inventory=before.inventory or after.inventory,
        calibrated=(*others.calibrated, *after.calibrated),
        reduced=(*others.reduced, *after.reduced),
        stacks=(*others.stacks, *after.stacks),
        differences=(*others.differences, *after.differences),
        candidates=(*others.candidates, *after.candidates),
        tables=tuple(dict.fromkeys((*before.tables, *after.tables))),
        rejected=(*(each for each in before.rejected if each.name not in names), *after.rejected),
    )


def _divided(result: StageResult, objects: Sequence[str]) -> tuple[StageResult, StageResult]:
    """Split a result into the part of some objects, and the rest."""
    slugs = naming.object_slugs(objects)

    def part(inside: bool) -> StageResult:  # noqa: FBT001 - the two halves of one division
        def belongs(name: str) -> bool:
            return (naming.slug(name) in slugs) is inside

        return replace(
            result,
            calibrated=tuple(each for each in result.calibrated if belongs(each.frame.object)),
            reduced=tuple(each for each in result.reduced if belongs(each.frame.object)),
            stacks=tuple(each for each in result.stacks if belongs(each.object)),
            differences=tuple(each for each in result.differences if belongs(each.stack.object)),
            candidates=tuple(each for each in result.candidates if belongs(each.object)),
        )

    return part(True), part(False)


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
        qa=_doubts(results),
        timings=tuple(_timing(stage, results) for stage in Stage if any(each.stage is stage for each in results)),
        processes=stage_timings.of_night(results),
        seconds=seconds,
    )


def _doubts(results: Sequence[StageResult]) -> dict[str, int]:
    """Return the quality bits, of calibration and photometry, of the lights that have any."""
    bits: dict[str, int] = {}
    calibrated = [(light.frame, light.qa) for each in results for light in each.calibrated]
    reduced = [(light.frame, light.qa) for each in results for light in each.reduced]
    for frame, qa in (*calibrated, *reduced):
        if qa:
            bits[frame.path.name] = bits.get(frame.path.name, 0) | qa
    return bits


def _timing(stage: Stage, results: Sequence[StageResult]) -> StageTiming:
    own = [each for each in results if each.stage is stage]
    times = [item.seconds for each in own for item in _items(each)]
    return StageTiming(
        stage=stage,
        seconds=max(each.seconds for each in own),
        done=sum(each.done for each in own),
        failed=sum(len(each.rejected) for each in own),
        p50_s=stage_timings.quantile(times, 0.5),
        p95_s=stage_timings.quantile(times, 0.95),
    )


def _items(result: StageResult) -> tuple[Calibrated | Reduced | Stack | Difference, ...]:
    return (*result.calibrated, *result.reduced, *result.stacks, *result.differences)
