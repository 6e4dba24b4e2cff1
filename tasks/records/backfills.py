"""Records of the back-fill of notices from GraceDB after an outage."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, kw_only=True)
class Span:
    """A time span without received notices, UTC."""

    since: datetime
    until: datetime


@dataclass(frozen=True, kw_only=True)
class Superevent:
    """An event as GraceDB lists it.

    ``record`` is its JSON document as text, since records are passed between processes.
    """

    event_id: str
    record: str


@dataclass(frozen=True, kw_only=True)
class Recovered:
    """Notices from one event's files: hashes of new ones, and the number of known ones.

    ``refused`` gives the reasons for files that could not be used.
    """

    event_id: str
    new: tuple[str, ...] = ()
    known: int = 0
    refused: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Backfilled:
    """The result of a back-fill: spans, numbers of events and notices, and reasons for refused files."""

    spans: tuple[Span, ...] = ()
    events: int = 0
    new: int = 0
    known: int = 0
    refused: tuple[str, ...] = ()
