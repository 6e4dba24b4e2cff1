"""Records of what was done about notices: how one was registered, and all that is known of an event."""

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
    """What a notice is to its event, judged by time of creation and content when it was registered."""

    FIRST = "first"
    UPDATE = "update"
    PROMOTED = "promoted"
    """Significant, while all before it were not."""
    CORRECTION = "correction"
    """Other content under the same type and time of creation: the later arrival counts."""
    LATE = "late"
    """Older than the newest known: stored, not acted upon."""
    DUPLICATE = "duplicate"
    """The same content as another notice of the event."""
    RETRACTION = "retraction"
    REINSTATED = "reinstated"
    """Newer than the event's retraction."""


class EventState(StrEnum):
    """Whether an event stands."""

    OPEN = "open"
    RETRACTED = "retracted"
    REINSTATED = "reinstated"


class PlanState(StrEnum):
    """How far a plan is."""

    RUNNING = "running"
    DONE = "done"
    EMPTY = "empty"
    """Planned, and nothing can be observed."""
    FAILED = "failed"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"


@dataclass(frozen=True, kw_only=True)
class Registered:
    """A notice in the registry; asking again gives the same answer.

    ``number`` counts the event's notices from 1 (duplicates not counted); ``previous`` is the newest notice before
    this one, ``previous_decision`` what was decided on it.
    """

    slug: str
    standing: Standing
    state: EventState
    number: int
    test: bool = False
    previous: Alert | None = None
    previous_decision: Decision | None = None
    decision: Decision | None = None
    """What was decided on this notice before; None the first time."""
    planned: bool = False
    """Whether a plan of the event stands."""

    @property
    def counts(self) -> bool:
        """Whether the notice is what one acts on now: neither late nor a duplicate nor of a retracted event."""
        stale = (Standing.LATE, Standing.DUPLICATE, Standing.RETRACTION)
        return self.standing not in stale and self.state is not EventState.RETRACTED


@dataclass(frozen=True, kw_only=True)
class StoredNotice:
    """The bytes of a notice and where they came from."""

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
    """One planning run in an event's history: one plan per telescope, or the reason why there is none."""

    notice_sha256: str
    telescopes: tuple[str, ...]
    state: PlanState
    created: datetime
    plans: tuple[Plan, ...] = ()
    reason: str = ""
    asked_by: str = ""
    observed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Ids of the tiles that were observed, by telescope."""


@dataclass(frozen=True, kw_only=True)
class PlanChange:
    """What a new plan of one telescope changes of the one before it; no tile is in two of the lists."""

    telescope: str
    keep: tuple[Tile, ...] = ()
    drop: tuple[Tile, ...] = ()
    add: tuple[Tile, ...] = ()
    observed: tuple[Tile, ...] = ()


@dataclass(frozen=True, kw_only=True)
class MessageEntry:
    """One message of an event: what kind, where, how far."""

    kind: str
    audience: Audience
    state: str
    created: datetime
    text: str
    sent: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class UploadEntry:
    """One file of an event in the product store: its remote path and how far it is."""

    remote: str
    state: str
    created: datetime


@dataclass(frozen=True, kw_only=True)
class Counterpart:
    """An event that another one is linked with, and when it was."""

    mission: str
    time: datetime


@dataclass(frozen=True, kw_only=True)
class EventHistory:
    """All that the registry knows of one event, in the order of arrival."""

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
    counterparts: tuple[Counterpart, ...] = ()
    """The linked events whose time is known."""

    actions: tuple[ActionEntry, ...] = ()
    muted: bool = False

    @property
    def newest(self) -> NoticeEntry:
        """The notice that counts: the newest by time of creation."""
        return next((entry for entry in self.notices if entry.alert.sha256 == self.newest_sha256), self.notices[-1])

    @property
    def shown(self) -> NoticeEntry:
        """The notice whose facts stand: the newest, or what stood before a retraction, which has no facts of its own."""
        told = [entry for entry in self.notices if not entry.alert.notice.retraction]
        return told[-1] if self.newest.alert.notice.retraction and told else self.newest

    @property
    def telescopes(self) -> tuple[str, ...]:
        """The telescopes that the decision on the newest notice names."""
        return self.newest.decision.telescopes if self.newest.decision else ()
