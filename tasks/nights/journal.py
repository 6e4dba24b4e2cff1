"""The journal of nights: records begin, end and failure of runs, and writes each unit's log."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks import naming, products
from tasks.io.nights import night_journal
from tasks.io.nights.night_journal import NightState
from tasks.records import NightFolder, NightReport, NightTrouble

log = logging.getLogger(__name__)

NO_LIGHT = "No Light Frame"
NOTE_LENGTH = 300


@task(cache_policy=NO_CACHE, task_run_name="begin-{night}")
def begin(night: date, root: Path, folders: Sequence[NightFolder]) -> None:
    """Record that a run for these folders has begun."""
    for unit, own in _by_unit(folders).items():
        _write(root, NightState(unit=unit, night=night, folders=own, state="running", start=datetime.now(UTC)))


@task(cache_policy=NO_CACHE, task_run_name="end-{night}")
def end(night: date, root: Path, folders: Sequence[NightFolder], report: NightReport) -> None:
    """Record that a run ended; its state is ``partial`` if items were lost for a temporary reason."""
    for unit in _by_unit(folders):
        passing = [loss for loss in report.rejected if loss.passing and loss.unit in ("", unit)]
        note = f"{len(passing)} losses that may not happen again" if passing else ""
        _finish(root, night, unit, "partial" if passing else "done", note or _nothing(report))


def _nothing(report: NightReport) -> str:
    """Say that a night has no reduced frame; empty if it has one."""
    if report.frames_ok:
        return ""
    return f"None of {len(report.rejected)} frames could be used" if report.rejected else NO_LIGHT


@task(cache_policy=NO_CACHE, task_run_name="fail-{night}")
def fail(night: date, root: Path, folders: Sequence[NightFolder], reason: str) -> None:
    """Record that a run failed, with the reason."""
    for unit in _by_unit(folders):
        _finish(root, night, unit, "failed", " ".join(reason.split())[:NOTE_LENGTH])


@task(cache_policy=NO_CACHE, task_run_name="crash-{trouble.night}")
def crash(trouble: NightTrouble, root: Path) -> tuple[str, ...]:
    """Mark the units of a crashed run as failed; return those that were still marked as running."""
    if trouble.what != "crashed":
        return ()
    tree = naming.NightTree(root=root)
    crashed = []
    for unit in trouble.units or tree.begun(trouble.night):
        before = night_journal.read_state(tree.journal(unit, trouble.night))
        # a newer run replaces the state of a crashed one
        if before is not None and before.state == "running" and before.start <= trouble.since:
            _finish(root, trouble.night, unit, "failed", f"crashed: {trouble.reason}"[:NOTE_LENGTH])
            crashed.append(unit)
    return tuple(crashed)


def _finish(root: Path, night: date, unit: str, state: str, note: str) -> None:
    before = night_journal.read_state(naming.NightTree(root=root).journal(unit, night))
    if before is None:
        return
    now = datetime.now(UTC)
    after = NightState(
        unit=unit, night=night, folders=before.folders, state=state, start=before.start, end=now, note=note
    )
    _write(root, after)


def _write(root: Path, state: NightState) -> None:
    """Write a state, and rewrite the unit's log from all its states."""
    tree = naming.NightTree(root=root)
    products.write_bytes(tree.journal(state.unit, state.night), night_journal.state_bytes(state))
    paths = sorted(tree.journal(state.unit, state.night).parents[2].glob(f"*/{state.unit}/journal.json"))
    states = [earlier for path in paths if (earlier := night_journal.read_state(path)) is not None]
    products.write_text(tree.log(state.unit), night_journal.night_log(states))
    log.info("%s %s: %s", state.unit, state.night, state.state)


def _by_unit(folders: Sequence[NightFolder]) -> dict[str, tuple[Path, ...]]:
    units: dict[str, tuple[Path, ...]] = {}
    for night_folder in folders:
        units[night_folder.unit] = (*units.get(night_folder.unit, ()), night_folder.folder)
    return units
