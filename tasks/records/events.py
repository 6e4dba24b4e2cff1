"""Records of events in the registry: notices, plans, messages and uploads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from tasks.records.alerts import Alert, Audience, Decision, Kind
from tasks.records.buttons import ActionEntry
from tasks.records.plans import Plan, Tile


class Standing(StrEnum):
    """A notice's place in its event's history, by time of creation and content at registration."""

    FIRST = "first"
    UPDATE = "update"
    PROMOTED = "promoted"
    """The first significant notice after others."""
    CORRECTION = "correction"
    """Other content with the same type and time of creation; the later arrival counts."""
    LATE = "late"
    """Older than the newest notice: stored, not acted on."""
    DUPLICATE = "duplicate"
    """The same content as another notice of the event."""
    RETRACTION = "retraction"
    REINSTATED = "reinstated"
    """Newer than the event's retraction."""


class EventState(StrEnum):
    """Whether an event is retracted."""

    OPEN = "open"
    RETRACTED = "retracted"
    REINSTATED = "reinstated"


class PlanState(StrEnum):
    """The state of a plan."""

    RUNNING = "running"
    DONE = "done"
    EMPTY = "empty"
    """Planned, but nothing is observable."""
    FAILED = "failed"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"


@dataclass(frozen=True, kw_only=True)
class Registered:
    """A registered notice; registering it again gives the same record.

    ``number`` counts the event's notices from 1, without duplicates; ``previous`` is the newest notice before this one,
    ``previous_decision`` the decision on it.
    """

    slug: str
    standing: Standing
    state: EventState
    number: int
    test: bool = False
    previous: Alert | None = None
    previous_decision: Decision | None = None
    decision: Decision | None = None
    """The earlier decision on this notice; None if there is none."""
    planned: bool = False
    """Whether a plan of the event is in force."""

    @property
    def counts(self) -> bool:
        """Whether to act on the notice: it is neither late nor a duplicate nor of a retracted event."""
        stale = (Standing.LATE, Standing.DUPLICATE, Standing.RETRACTION)
        return self.standing not in stale and self.state is not EventState.RETRACTED


@dataclass(frozen=True, kw_only=True)
class StoredNotice:
    """The bytes of a notice and their origin."""

    sha256: str
    path: Path
    received: datetime
    topic: str | None = None
    partition: int | None = None
    offset: int | None = None

    def parameters(self) -> dict[str, str | int | None]:
        """Return the parameters of a run of ``respond`` for this notice."""
        return {
            "path": str(self.path),
            "sha256": self.sha256,
            "topic": self.topic,
            "partition": self.partition,
            "offset": self.offset,
        }


@dataclass(frozen=True, kw_only=True)
class NoticeEntry:
    """One notice in an event's history."""

    alert: Alert
    standing: Standing
    received: datetime
    deliveries: int = 1
    decision: Decision | None = None


@dataclass(frozen=True, kw_only=True)
class PlanEntry:
    """One planning run in an event's history: one plan per telescope, or the reason if there is none."""

    notice_sha256: str
    telescopes: tuple[str, ...]
    state: PlanState
    created: datetime
    plans: tuple[Plan, ...] = ()
    reason: str = ""
    asked_by: str = ""
    observed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Ids of observed tiles by telescope."""


@dataclass(frozen=True, kw_only=True)
class PlanChange:
    """Changes from one telescope's plan to the next; no tile is in two of the lists."""

    telescope: str
    keep: tuple[Tile, ...] = ()
    drop: tuple[Tile, ...] = ()
    add: tuple[Tile, ...] = ()
    observed: tuple[Tile, ...] = ()


@dataclass(frozen=True, kw_only=True)
class MessageEntry:
    """One message of an event: kind, audience and state."""

    kind: str
    audience: Audience
    state: str
    created: datetime
    text: str
    sent: datetime | None = None
    given_up: str = ""
    """Why the message was given up and not dropped; empty if it was not."""


@dataclass(frozen=True, kw_only=True)
class UploadEntry:
    """One file of an event in the product store: remote path and state."""

    remote: str
    state: str
    created: datetime
    given_up: str = ""
    """Why the upload was given up and not dropped; empty if it was not."""


@dataclass(frozen=True, kw_only=True)
class Counterpart:
    """A linked event: its mission and time."""

    mission: str
    time: datetime


@dataclass(frozen=True, kw_only=True)
class EventHistory:
    """An event's complete history in the registry, in order of arrival."""

    slug: str
    kind: Kind
    mission: str
    name: str
    state: EventState
    test: bool
    time: datetime | None
    notices: tuple[NoticeEntry, ...]
    newest_sha256: str | None = None
    plans: tuple[PlanEntry, ...] = ()
    messages: tuple[MessageEntry, ...] = ()
    uploads: tuple[UploadEntry, ...] = ()
    linked: tuple[str, ...] = field(default=())
    evidence: tuple[str, ...] = ()
    """Why each of ``linked`` may be the same source."""

    counterparts: tuple[Counterpart, ...] = ()
    """The linked events with known times."""

    actions: tuple[ActionEntry, ...] = ()
    muted: bool = False

    @property
    def newest(self) -> NoticeEntry:
        """The newest notice by time of creation."""
        return next((entry for entry in self.notices if entry.alert.sha256 == self.newest_sha256), self.notices[-1])

    @property
    def shown(self) -> NoticeEntry:
        """The notice with the valid facts: the newest, or the last one before a retraction, which has no facts."""
        factual = [entry for entry in self.notices if not entry.alert.notice.retraction]
        return factual[-1] if self.newest.alert.notice.retraction and factual else self.newest

    @property
    def telescopes(self) -> tuple[str, ...]:
        """The telescopes named in the decision on the newest notice."""
        return self.newest.decision.telescopes if self.newest.decision else ()
