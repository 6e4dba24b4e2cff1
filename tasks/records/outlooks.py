"""Records of how a place in the sky can be observed in the hours to come."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, kw_only=True)
class View:
    """The first span in which a telescope can observe a place, UTC, and how high it comes; or why it cannot."""

    telescope: str
    start: datetime | None = None
    end: datetime | None = None
    highest_deg: float | None = None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """A place's distances from Sun and Moon in degrees, at one time, and what telescopes see of it afterwards."""

    sun_deg: float
    moon_deg: float
    views: tuple[View, ...] = ()
