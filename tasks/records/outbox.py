"""Records of the outbox: waiting, claimed and sent messages and uploads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tasks.records.alerts import Audience

DIGEST = "digest"
"""Subject of digests of several events; the key of each is the end of its time span in ISO format."""
SKY_MAP = "sky-map"
"""Kind of the message that posts a notice's sky map in the thread; the top message shows the newest one, small."""


@dataclass(frozen=True, kw_only=True)
class Outgoing:
    """A message for the outbox.

    ``subject`` is ``event:<slug>``, ``night:<date>``, ``notice:<sha256>`` or similar; messages of one subject are sent in
    order. ``key`` identifies the content: a second message with the same subject, kind and key is never
    enqueued. ``mode``: ``top`` opens the subject's thread, ``reply`` goes into it, ``edit`` rewrites its top
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
    """A message claimed by one sender; ``attempt`` is a fencing token: every claim has a new one.

    ``thread`` is the timestamp of the subject's top message if it was sent, ``channel`` its channel. ``uncertain`` means
    that an earlier attempt may have succeeded: search before sending. ``picture`` is Slack's id of the newest sky map in
    the thread, for a message that rewrites the top message.
    """

    id: int
    attempt: int
    message: Outgoing
    channel: str | None = None
    thread: str | None = None
    uncertain: bool = False
    picture: str | None = None
    failed_before: bool = False
    """Whether an earlier attempt failed."""


@dataclass(frozen=True, kw_only=True)
class Sent:
    """Location of a sent message; ``ts`` is None for one that rewrote another, ``file`` is Slack's id of a picture."""

    channel: str
    ts: str | None
    file: str | None = None


@dataclass(frozen=True, kw_only=True)
class StoreFile:
    """A file for the product store: where it lies, its path there, the hash and the size (bytes) of its content."""

    source: Path
    remote: str
    sha256: str
    size: int


@dataclass(frozen=True, kw_only=True)
class ClaimedUpload:
    """An upload claimed by one sender."""

    id: int
    attempt: int
    source: Path
    remote: str
    sha256: str
    failed_before: bool = False


@dataclass(frozen=True, kw_only=True)
class LaneState:
    """How a lane of the outbox stands: its rows counted by state, and when it has something to send, if ever."""

    counts: Mapping[str, int]
    due: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Unsent:
    """A message (id ``m…``) or upload (``u…``) that is not sent: what it is, and why the last attempt failed."""

    id: str
    what: str
    reason: str
    created: datetime
    due: datetime
    attempts: int


@dataclass(frozen=True, kw_only=True)
class Drained:
    """Result of sending an outbox: numbers of messages sent, waiting for a retry, and given up."""

    sent: int = 0
    waiting: int = 0
    failed: int = 0
    reasons: tuple[str, ...] = ()
    touched: tuple[str, ...] = ()
    """Ids (``m…``, ``u…``) of what was given up now, and of what went at a later try."""
