"""Records of bursts: what many notices of one trigger say together."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from tasks.records.alerts import Notice


@dataclass(frozen=True, kw_only=True)
class Burst:
    """What is known of a burst from all its notices.

    ``facts`` is the trigger with what later notices added: significance and duration from the first that has them, slew
    and magnitude from the last, flags from all. ``position`` is the notice with the best position, ``before`` the one
    whose position was the best until then; ``outlook`` says how it can be observed.
    """

    facts: Notice
    position: Notice | None = None
    before: Notice | None = None
    outlook: Outlook | None = None


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """A number with its error, where that was given."""

    value: float
    error: float | None = None


@dataclass(frozen=True, kw_only=True)
class Fluence:
    """A fluence of 15-150 keV: of the whole burst in erg/cm², or a flux of its 1-s peak in erg/cm²/s, of one model."""

    span: str
    model: str
    energy: Measurement


@dataclass(frozen=True, kw_only=True)
class BatPage:
    """What the page says so far; the team fills it in over hours.

    ``t90_s`` is of 15-150 keV, ``t90_hard_s`` of 50-300 keV; ``hardness`` is the ratio of energy fluences.
    """

    t90_s: Measurement | None = None
    t90_hard_s: Measurement | None = None
    hardness: Measurement | None = None
    fluences: tuple[Fluence, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether nothing that we know was found."""
        return self == BatPage()

    @property
    def complete(self) -> bool:
        """Whether nothing more is to be expected."""
        spans = {fluence.span for fluence in self.fluences}
        return self.t90_s is not None and self.hardness is not None and len(spans) > 1


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
