"""Records of what is fetched from an archive after an outage."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, kw_only=True)
class Span:
    """A time in which nothing was heard, UTC."""

    since: datetime
    until: datetime


@dataclass(frozen=True, kw_only=True)
class Superevent:
    """An event as GraceDB lists it.

    ``record`` is its JSON document as text: records travel between processes.
    """

    event_id: str
    record: str


@dataclass(frozen=True, kw_only=True)
class Recovered:
    """What one event's files brought: hashes of notices that were new here, and how many were known already.

    ``refused`` says of what could not be used why.
    """

    event_id: str
    new: tuple[str, ...] = ()
    known: int = 0
    refused: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Backfilled:
    """What a back-fill came to."""

    spans: tuple[Span, ...] = ()
    events: int = 0
    new: int = 0
    known: int = 0
    refused: tuple[str, ...] = ()
