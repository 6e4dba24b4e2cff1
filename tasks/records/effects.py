"""Records of what was done about notices: how one was registered, and all that is known of an event."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from tasks.records.alerts import Alert, Audience, Decision, Kind, Plan, Tile


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


class Button(StrEnum):
    """What somebody can press under an event's message."""

    RUN = "run-plan"
    CHOOSE = "choose-telescopes"
    CANCEL = "cancel-plan"
    REVIEW = "under-review"
    MUTE = "mute"
    UNMUTE = "unmute"


@dataclass(frozen=True, kw_only=True)
class ActionEntry:
    """Somebody pressed a button: who, which, when, and what came of it.

    ``done`` is False where it was refused, or was a question only. ``waits_for`` names the telescopes that were asked
    to be planned while no plan of them has begun.
    """

    user: str
    user_name: str
    button: Button
    created: datetime
    outcome: str
    done: bool = True
    waits_for: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Press:
    """A press of a button, as Slack tells of it: ``trigger`` is new for each, ``channel`` and ``ts`` name the message.

    ``telescopes`` is the answer of the window that asks for them.
    """

    trigger: str
    user: str
    user_name: str
    button: Button
    channel: str
    ts: str
    telescopes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Pressed:
    """A press on record; ``slug`` is empty where the message is none of ours."""

    id: int
    slug: str = ""
    audience: Audience = Audience.OPERATORS


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


DIGEST = "digest"
"""Subject of the messages that tell of many events together; each one's key is the end of its time, in ISO format."""


SKY_MAP = "sky-map"
"""Kind of the message that puts a notice's sky map into the thread; the top message shows the newest, small."""


@dataclass(frozen=True, kw_only=True)
class Outgoing:
    """A message to be put into the outbox.

    ``subject`` is what it speaks of (``event:<slug>``, ``night:<date>``, ``notice:<sha256>``); messages of one subject
    are sent in their order. ``key`` names the content it tells of: a second message with the same subject, kind and
    key is never made. ``mode``: ``top`` opens the subject's thread, ``reply`` goes into it, ``edit`` rewrites its top
    message, ``amend`` rewrites the last message of the same subject and kind, ``file`` adds a picture to the thread.
    """

    subject: str
    kind: str
    key: str
    audience: Audience
    mode: str
    text: str
    blocks: str = "[]"
    broadcast: bool = False
    attachment: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Claimed:
    """A message that one sender has taken: ``attempt`` is its fence, no later claim has the same.

    ``thread`` is the timestamp of the subject's top message, where that was sent; ``channel`` its channel.
    ``uncertain`` means that an earlier attempt may have got through: look before sending. ``picture`` is Slack's name of
    the newest sky map in the thread, for a message that rewrites the top.
    """

    id: int
    attempt: int
    message: Outgoing
    channel: str | None = None
    thread: str | None = None
    uncertain: bool = False
    picture: str | None = None


@dataclass(frozen=True, kw_only=True)
class Sent:
    """Where a message is now; ``ts`` is None for one that rewrote another, ``file`` is Slack's name of a picture."""

    channel: str
    ts: str | None
    file: str | None = None


@dataclass(frozen=True, kw_only=True)
class ClaimedUpload:
    """An upload that one sender has taken."""

    id: int
    attempt: int
    source: Path
    remote: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Drained:
    """What became of the outbox: how many were sent, wait for another try, were given up."""

    sent: int = 0
    waiting: int = 0
    failed: int = 0
    reasons: tuple[str, ...] = ()
