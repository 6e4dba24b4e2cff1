"""Records of plans: mode, tiles, and the plan of one telescope."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class PlanMode(StrEnum):
    """Start of a plan: never, by the button, automatic; or the earlier plan is kept."""

    NO = "no"
    BUTTON = "button"
    AUTOMATIC = "automatic"
    KEEP = "keep"


@dataclass(frozen=True, kw_only=True)
class Tile:
    """One pointing of a plan. ``probability`` is the map's probability inside the footprint (0 to 1)."""

    id: str
    ra_deg: float
    dec_deg: float
    start: datetime | None = None
    exposure_s: float = 0.0
    filter: str = ""
    probability: float = 0.0
    airmass: float | None = None
    moon_deg: float | None = None
    """Distance from the Moon at the start, up or not."""

    cumulative: float = 0.0
    """Probability of the union of this tile and those before it; the last one's is the plan's."""

    unit: str = ""
    """Unit of an array that observes the tile; empty: all of them."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The observations of one telescope for one event.

    ``probability`` is the map's probability over the union of the footprints, ``area_deg2`` the union's area,
    ``seconds`` the time spent on planning; ``reason`` is why there are no tiles, or empty. ``not_taken`` counts the tiles
    considered and left out, by reason; ``remarks`` are sentences on how the plan was made. ``priority`` is that of the
    decision, 0 to 100.
    """

    event_id: str
    telescope: str
    engine: str
    tiles: tuple[Tile, ...] = ()
    probability: float = 0.0
    area_deg2: float = 0.0
    seconds: float = 0.0
    reason: str = ""
    start: datetime | None = None
    end: datetime | None = None
    not_taken: Mapping[str, int] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    priority: int = 50


@dataclass(frozen=True, kw_only=True)
class PlanRequest:
    """A request to plan a notice for some telescopes; ``parameters_sha256`` is a hash of all that determines the plan."""

    notice_sha256: str
    telescopes: tuple[str, ...]
    parameters_sha256: str

    @property
    def joined_telescopes(self) -> str:
        """The telescopes as one text, independent of their order."""
        return joined(self.telescopes)

    @property
    def key(self) -> str:
        """The key of the request; equal requests have equal keys."""
        return f"{self.notice_sha256}:{self.joined_telescopes}:{self.parameters_sha256}"


def joined(telescopes: Iterable[str]) -> str:
    """Return a set of telescopes as one text, independent of their order."""
    return ",".join(sorted(set(telescopes)))


def separated(telescopes: str) -> tuple[str, ...]:
    """Return the telescopes of the text that ``joined`` made."""
    return tuple(name for name in telescopes.split(",") if name)


Corners = tuple[tuple[float, float], ...]
"""Corners of a polygon in the tangent plane of a pointing: x to the east, y to the north, in degrees."""


@dataclass(frozen=True, kw_only=True)
class Observed:
    """Pointings of one instrument.

    ``by`` is their observer. ``telescope`` names one of our telescopes, ``tiles`` the ids of its tiles, one for each
    centre. ``footprint`` holds polygons; if it is empty, the telescope's field is used.
    """

    by: str
    centres_deg: tuple[tuple[float, float], ...]
    telescope: str = ""
    tiles: tuple[str, ...] = ()
    footprint: tuple[Corners, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Already:
    """All observed pointings of an event; ``remarks`` name sources that could not be queried."""

    observed: tuple[Observed, ...] = ()
    remarks: tuple[str, ...] = ()


NONE_OBSERVED = Already()
