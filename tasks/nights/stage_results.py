"""Tasks that conclude a stage of a night and read its result."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks import naming, products, runtime
from tasks.errors import UnusableData
from tasks.io.nights import stage_results
from tasks.records import (
    CalibratedBatch,
    CandidateBatch,
    Difference,
    Frame,
    Inventory,
    Masters,
    ReducedBatch,
    Rejected,
    SolvedBatch,
    Stack,
    Stage,
    StageResult,
)
from tasks.science.nights import frame_accounting

log = logging.getLogger(__name__)

Failures = tuple[Rejected, ...]


def label(each: Frame | Stack) -> str:
    """Return a batch's label for the names of its task runs: unit, object and filter."""
    return f"{each.unit}-{naming.slug(each.object)}-{each.filter}"


@task(cache_policy=NO_CACHE, task_run_name="conclude-calibrate-{night}")
def conclude_calibration(
    night: date,
    root: Path,
    inventories: Sequence[Inventory],
    masters: Sequence[Masters],
    batches: Sequence[CalibratedBatch],
    failures: Failures,
    objects: Sequence[str] = (),
) -> tuple[StageResult, ...]:
    """Write each unit's ledger of calibration; it lists every light as calibrated or rejected."""
    results = []
    for inventory in inventories:
        calibrated = tuple(
            light for batch in batches for light in batch.calibrated if light.frame.unit == inventory.unit
        )
        left_out = [*(each.rejected for each in masters), *(each.rejected for each in batches)]
        own = (*inventory.rejected, *_of_unit(inventory.unit, left_out))
        lost = frame_accounting.unaccounted(
            [frame.path.name for batch in inventory.batches(1) for frame in batch],
            [light.frame.path.name for light in calibrated],
            own,
            failures,
            stage=Stage.CALIBRATE,
            unit=inventory.unit,
        )
        results.append(
            StageResult(
                stage=Stage.CALIBRATE,
                unit=inventory.unit,
                night=night,
                seconds=runtime.seconds(),
                inventory=inventory,
                calibrated=calibrated,
                rejected=(*own, *lost),
                masters=tuple(quality for each in masters if each.unit == inventory.unit for quality in each.quality),
            )
        )
    return _write(root, results, failures, objects)


@task(cache_policy=NO_CACHE, task_run_name="conclude-reduce-{night}")
def conclude_reduction(
    night: date,
    root: Path,
    calibrated: Sequence[StageResult],
    solutions: Sequence[SolvedBatch],
    batches: Sequence[ReducedBatch],
    failures: Failures,
    objects: Sequence[str] = (),
) -> tuple[StageResult, ...]:
    """Write each unit's ledger of reduction; it lists every calibrated light as reduced or rejected."""
    del night
    results = []
    for before in calibrated:
        reduced = tuple(light for batch in batches for light in batch.reduced if light.frame.unit == before.unit)
        left_out = [*(each.rejected for each in solutions), *(each.rejected for each in batches)]
        own = _of_unit(before.unit, left_out)
        lost = frame_accounting.unaccounted(
            [each.frame.path.name for each in before.calibrated],
            [light.frame.path.name for light in reduced],
            own,
            failures,
            stage=Stage.REDUCE,
            unit=before.unit,
        )
        solved = {each.frame.path.name: each.seconds for batch in solutions for each in batch.solved}
        own_s = {light.frame.path.name: solved.get(light.frame.path.name) for light in before.calibrated}
        solved_s = {name: seconds for name, seconds in own_s.items() if seconds is not None}
        result = _next(before, Stage.REDUCE)
        results.append(replace(result, reduced=reduced, rejected=(*own, *lost), solved_s=solved_s))
    return _write(root, results, failures, objects)


@task(cache_policy=NO_CACHE, task_run_name="conclude-stack-{night}")
def conclude_stacks(
    night: date,
    root: Path,
    reduced: Sequence[StageResult],
    stacks: Sequence[Stack],
    failures: Failures,
    objects: Sequence[str] = (),
) -> tuple[StageResult, ...]:
    """Write each unit's ledger of stacks, and one for the stacks of several units together.

    Frames left out of a stack are listed with the reason.
    """
    del night
    shared = sorted({each.unit for each in stacks} - {before.unit for before in reduced})
    results = []
    for before in (*reduced, *(replace(reduced[0], unit=unit) for unit in shared)):
        own = tuple(each for each in stacks if each.unit == before.unit)
        left_out = tuple(frame for each in own for frame in each.rejected)
        failed = _named_after(before.unit, failures)
        results.append(replace(_next(before, Stage.STACK), stacks=own, rejected=(*left_out, *failed)))
    return _write(root, results, failures, objects)


@task(cache_policy=NO_CACHE, task_run_name="conclude-search-{night}")
def conclude_search(
    night: date,
    root: Path,
    stacked: Sequence[StageResult],
    differences: Sequence[Difference],
    batches: Sequence[CandidateBatch],
    failures: Failures,
    objects: Sequence[str] = (),
) -> tuple[StageResult, ...]:
    """Write each unit's ledger of differences and candidates."""
    del night
    results = []
    for before in stacked:
        own = [batch for batch in batches if batch.difference.stack.unit == before.unit]
        results.append(
            replace(
                _next(before, Stage.SEARCH),
                differences=tuple(each for each in differences if each.stack.unit == before.unit),
                candidates=tuple(candidate for batch in own for candidate in batch.candidates),
                tables=tuple(batch.table for batch in own),
                searched_s=tuple(batch.seconds for batch in own),
                rejected=_named_after(before.unit, failures),
            )
        )
    return _write(root, results, failures, objects)


@task(cache_policy=NO_CACHE, task_run_name="read-{stage}-{night}")
def read_stage(
    root: Path, night: date, units: Sequence[str], stage: Stage, objects: Sequence[str] = ()
) -> tuple[StageResult, ...]:
    """Read the results of a stage for the given units and objects, or for all that have it."""
    tree = naming.NightTree(root=root)
    paths = [tree.stage(unit, night, stage) for unit in units] or sorted(tree.report(night).glob(f"*/{stage}.json"))
    if not paths:
        raise UnusableData(f"no unit has finished stage {stage} of {night} in {root}: run it first")
    return tuple(frame_accounting.only(stage_results.read_stage(path), objects) for path in paths)


def _of_unit(unit: str, groups: Iterable[Sequence[Rejected]]) -> Failures:
    return tuple(each for group in groups for each in group if each.unit == unit)


def _named_after(unit: str, failures: Failures) -> Failures:
    """Return the failed tasks whose names hold the unit, as losses of that unit."""
    return tuple(replace(each, unit=unit) for each in failures if f"{unit}-" in each.name)


def _next(before: StageResult, stage: Stage) -> StageResult:
    return StageResult(stage=stage, unit=before.unit, night=before.night, seconds=runtime.seconds())


def _write(
    root: Path, results: Sequence[StageResult], failures: Failures, objects: Sequence[str]
) -> tuple[StageResult, ...]:
    """Write the ledgers, merging a run for some objects into the ledger of all; raise if no unit succeeded."""
    if not results:
        reasons = "; ".join(f"{failure.name}: {failure.reason}" for failure in failures) or "there was none"
        raise UnusableData(f"no unit could be used: {reasons}")
    strays = tuple(each for each in failures if not any(result.unit in each.name for result in results))
    results = [replace(results[0], rejected=(*results[0].rejected, *strays)), *results[1:]]
    tree = naming.NightTree(root=root)
    for result in results:
        place = tree.stage(result.unit, result.night, result.stage)
        whole = (
            frame_accounting.merged(stage_results.read_stage(place), result, objects)
            if objects and place.exists()
            else result
        )
        products.write_bytes(place, stage_results.stage_bytes(whole))
        log.info("%s %s: %d done, %d rejected", result.unit, result.stage, result.done, len(result.rejected))
    return tuple(results)
