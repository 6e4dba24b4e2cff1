"""Records of the analysis that the Swift BAT team publishes of a burst."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A number with its error, where that was given."""

    value: float
    error: float | None = None


@dataclass(frozen=True, kw_only=True)
class Fluence:
    """A fluence of 15-150 keV: of the whole burst in erg/cm², or a flux of its 1-s peak in erg/cm²/s, of one model."""

    span: str
    model: str
    energy: Measured


@dataclass(frozen=True, kw_only=True)
class BatPage:
    """What the page says so far; the team fills it in over hours.

    ``t90_s`` is of 15-150 keV, ``t90_hard_s`` of 50-300 keV; ``hardness`` is the ratio of energy fluences.
    """

    t90_s: Measured | None = None
    t90_hard_s: Measured | None = None
    hardness: Measured | None = None
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
