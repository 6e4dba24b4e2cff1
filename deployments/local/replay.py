"""DatedAlert notices again, in their order and with the clock they had, up to the decisions: no message, no run, no plan."""

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
    """A notice of the folder, understood, and when it was made."""

    path: Path
    moment: datetime
    alert: Alert


@dataclass(frozen=True, kw_only=True)
class Step:
    """What one notice led to: its place in its event, and the decision."""

    stored: DatedAlert
    registered: Registered
    decision: Decision


def read_folder(folder: Path) -> tuple[tuple[DatedAlert, ...], tuple[Rejected, ...]]:
    """Understand every file of a folder, hidden ones left out; return notices in their order, and the others with reasons.

    Raises
    ------
    UnusableData
        Where the folder is none, or holds no notice at all.
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
        raise UnusableData(f"{folder} holds no notice: {len(rejected)} files were read, none could be understood")
    return tuple(sorted(stored, key=lambda each: (each.moment, each.path))), tuple(rejected)


def understand(path: Path) -> DatedAlert:
    """Parse a stored notice and reduce its maps to numbers."""
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
    """Give each notice its place and its decision, as on the day.

    Parameters
    ----------
    stored
        Notices, in their order.
    policy
        The rules.
    speed
        How many times faster than on the day; none does not wait. No wait is longer than an hour.
    sleep
        How to wait, in s.
    """
    with tempfile.TemporaryDirectory(prefix="siren-replay-") as scratch:
        book = registry.open(f"sqlite:///{scratch}/registry.sqlite")
        before = stored[0].moment if stored else None
        for each in stored:
            if speed and before is not None:
                sleep(min((each.moment - before).total_seconds() / speed, LONGEST_WAIT_S))
            before = each.moment
            yield decide(book, each, policy)
        book.close()


def decide(book: Registry, stored: DatedAlert, policy: Policy) -> Step:
    """Register one notice at its time and decide."""
    with book.begin() as session:
        registered = events.record_alert(session, stored.alert, now=stored.moment)
        decision = decisions.decide(stored.alert, policy, previous=registered.previous_decision, now=stored.moment)
        events.record_decision(session, stored.alert, decision, now=stored.moment)
    return Step(stored=stored, registered=registered, decision=decision)


@dataclass(frozen=True, kw_only=True)
class ReplayDifference:
    """What a replay says of a notice and the registry does not: the field, both values."""

    file: str
    event_id: str
    field: str
    registry: str
    replay: str


COMPARED = ("policy", "rule", "score", "action", "telescopes", "audience", "mention")


def compare(book: Registry, steps: Sequence[Step], folder: Path) -> tuple[ReplayDifference, ...]:
    """Compare a replay with what the registry has on record of the same notices.

    The registry's decision is the one of the same policy where there is one. Plans are not compared: whether one starts
    by itself goes by the notice's age on the day.

    Parameters
    ----------
    book
        The registry.
    steps
        What the replay came to.
    folder
        Where the notices lie, for their names.
    """
    return tuple(
        found for step in steps for found in _differences(book, step, str(step.stored.path.relative_to(folder)))
    )


def _differences(book: Registry, step: Step, file: str) -> Iterator[ReplayDifference]:
    alert, decision = step.stored.alert, step.decision
    with book.read() as session:
        known = events.on_record(session, alert.sha256, policy_sha256=decision.policy_sha256)

    def told(field: str, registry: object, replay: object) -> ReplayDifference:
        values = {"registry": _shown(registry), "replay": _shown(replay)}
        return ReplayDifference(file=file, event_id=alert.notice.event_id, field=field, **values)

    if known is None:
        yield told("notice", "not there", step.registered.standing.value)
        return
    standing, before = known
    if standing is not None and standing != step.registered.standing:
        yield told("standing", standing.value, step.registered.standing.value)
    if before is None:
        yield told("decision", "none", decision.action)
        return
    pairs = ((name, getattr(before, name), getattr(decision, name)) for name in COMPARED)
    yield from (told(*pair) for pair in pairs if pair[1] != pair[2])


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
