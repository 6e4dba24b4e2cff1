"""Replay stored notices in their order and at their times, up to the decisions: no message, no run, no plan."""

from __future__ import annotations

import hashlib
import logging
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tasks import policies, registry
from tasks.errors import UnusableData
from tasks.io.notices import parsing
from tasks.io.skymaps import sky_map_files
from tasks.records import Alert, Decision, Policy, Rejected
from tasks.records.events import Registered
from tasks.registry import Registry, events
from tasks.science.alerts import assembly, decisions

log = logging.getLogger(__name__)

LONGEST_WAIT_S = 3600.0


@dataclass(frozen=True, kw_only=True)
class DatedAlert:
    """A parsed notice of the folder, with its creation time."""

    path: Path
    moment: datetime
    alert: Alert


@dataclass(frozen=True, kw_only=True)
class Step:
    """Result of one notice: its place in its event, and the decision."""

    stored: DatedAlert
    registered: Registered
    decision: Decision


def read_folder(folder: Path) -> tuple[tuple[DatedAlert, ...], tuple[Rejected, ...]]:
    """Parse all files of a folder except hidden ones; return the notices in time order, and the rejected files.

    Raises
    ------
    UnusableData
        If it is not a folder, or contains no notice.
    """
    if not folder.is_dir():
        raise UnusableData(f"{folder} is not a folder; expected one with stored notices")
    stored, rejected = [], []
    for path in _files(folder):
        try:
            stored.append(understand(path))
        except UnusableData as error:
            rejected.append(Rejected(name=str(path.relative_to(folder)), stage="parse", reason=str(error)))
    if not stored:
        raise UnusableData(f"{folder} contains no notice: {len(rejected)} files were read, none could be parsed")
    return tuple(sorted(stored, key=lambda alert: (alert.moment, alert.path))), tuple(rejected)


def understand(path: Path) -> DatedAlert:
    """Parse a stored notice and summarise its sky maps."""
    payload = parsing.read(path)
    alert = assembly.assemble(
        parsing.parse(payload), sha256=hashlib.sha256(payload).hexdigest(), read=sky_map_files.read
    )
    written = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    return DatedAlert(path=path, moment=alert.notice.time_created or alert.notice.time or written, alert=alert)


def replay(
    stored: tuple[DatedAlert, ...],
    policy: Policy,
    *,
    speed: float | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Step]:
    """Register each notice and decide, at the time it was created.

    Parameters
    ----------
    stored
        Notices, in time order.
    policy
        Rules of the decisions.
    speed
        Factor by which waits between notices are shortened; None does not wait. No wait is longer than an hour.
    sleep
        Function that waits, in s.
    """
    with tempfile.TemporaryDirectory(prefix="siren-replay-") as scratch:
        scratch_registry = registry.open(f"sqlite:///{scratch}/registry.sqlite")
        before = stored[0].moment if stored else None
        for alert in stored:
            if speed and before is not None:
                sleep(min((alert.moment - before).total_seconds() / speed, LONGEST_WAIT_S))
            before = alert.moment
            yield decide(scratch_registry, alert, policy)
        scratch_registry.close()


def decide(database: Registry, stored: DatedAlert, policy: Policy) -> Step:
    """Register one notice at its creation time and decide."""
    with database.begin() as session:
        registered = events.record_alert(session, stored.alert, now=stored.moment)
        decision = decisions.decide(stored.alert, policy, previous=registered.previous_decision, now=stored.moment)
        events.record_decision(session, stored.alert, decision, now=stored.moment)
    return Step(stored=stored, registered=registered, decision=decision)


@dataclass(frozen=True, kw_only=True)
class ReplayDifference:
    """A field of a notice that differs between replay and registry, with both values."""

    file: str
    event_id: str
    field: str
    registry: str
    replay: str


COMPARED = ("policy", "rule", "score", "action", "telescopes", "audience", "mention")


def compare(database: Registry, steps: Sequence[Step], folder: Path) -> tuple[ReplayDifference, ...]:
    """Compare a replay with the registry's records of the same notices.

    If the registry has a decision of the same policy, that one is compared. Plans are not compared, because an automatic
    plan depends on the notice's age on that day.

    Parameters
    ----------
    database
        Registry with the records.
    steps
        Results of the replay.
    folder
        Folder of the notices, for relative names.
    """
    return tuple(
        difference
        for step in steps
        for difference in _differences(database, step, str(step.stored.path.relative_to(folder)))
    )


def _differences(database: Registry, step: Step, file: str) -> Iterator[ReplayDifference]:
    alert, decision = step.stored.alert, step.decision
    with database.read() as session:
        recorded = events.on_record(session, alert.sha256, policy_sha256=decision.policy_sha256)

    def difference(field: str, registry: object, replay: object) -> ReplayDifference:
        values = {"registry": _shown(registry), "replay": _shown(replay)}
        return ReplayDifference(file=file, event_id=alert.notice.event_id, field=field, **values)

    if recorded is None:
        yield difference("notice", "not there", step.registered.standing.value)
        return
    standing, before = recorded
    if standing is not None and standing != step.registered.standing:
        yield difference("standing", standing.value, step.registered.standing.value)
    if before is None:
        yield difference("decision", "none", decision.action)
        return
    pairs = ((name, getattr(before, name), getattr(decision, name)) for name in COMPARED)
    yield from (difference(*pair) for pair in pairs if pair[1] != pair[2])


def _shown(value: object) -> str:
    return ", ".join(map(str, value)) or "none" if isinstance(value, tuple) else str(value)


def load_policy(name: str | None) -> Policy:
    """Load a policy by its name, or from a TOML file."""
    chosen = name or policies.DEFAULT
    return policies.load(Path(chosen) if chosen.endswith(".toml") else chosen)


def _files(folder: Path) -> list[Path]:
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]
