"""Records of bursts: facts combined from all notices of one trigger."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from tasks.records.alerts import Notice


@dataclass(frozen=True, kw_only=True)
class Burst:
    """Facts of a burst combined from all its notices.

    ``facts`` is the trigger's notice with additions from later ones: significance and duration from the first that has
    them, slew and magnitude from the last, flags from all. ``position`` is the notice with the best position, ``before``
    the one with the best position until then; ``outlook`` is the position's observability.
    """

    facts: Notice
    position: Notice | None = None
    before: Notice | None = None
    outlook: Outlook | None = None


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """A number with its error, if given."""

    value: float
    error: float | None = None


@dataclass(frozen=True, kw_only=True)
class Fluence:
    """Fluence of the whole burst in erg/cm², or flux of its 1-s peak in erg/cm²/s, in 15-150 keV, for one model."""

    span: str
    model: str
    energy: Measurement


@dataclass(frozen=True, kw_only=True)
class BatPage:
    """Values of the BAT analysis page; the team adds them over hours.

    ``t90_s`` is for 15-150 keV, ``t90_hard_s`` for 50-300 keV; ``hardness`` is the ratio of energy fluences.
    """

    t90_s: Measurement | None = None
    t90_hard_s: Measurement | None = None
    hardness: Measurement | None = None
    fluences: tuple[Fluence, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether no value was found."""
        return self == BatPage()

    @property
    def complete(self) -> bool:
        """Whether all values are present that the page will have."""
        spans = {fluence.span for fluence in self.fluences}
        return self.t90_s is not None and self.hardness is not None and len(spans) > 1


@dataclass(frozen=True, kw_only=True)
class View:
    """The first span, UTC, in which a telescope can observe a position, and its highest altitude; or why there is none."""

    telescope: str
    start: datetime | None = None
    end: datetime | None = None
    highest_deg: float | None = None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """A position's distances from Sun and Moon in degrees at one time, and its visibility for telescopes afterwards."""

    sun_deg: float
    moon_deg: float
    views: tuple[View, ...] = ()
