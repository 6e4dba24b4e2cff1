"""Records of plans: mode, tiles, and the plan of one telescope."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class PlanMode(StrEnum):
    """Whether a plan starts: never, when somebody presses the button, by itself; or the one before stays as it is."""

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


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What one telescope should observe for one event.

    ``probability`` is the map's probability over the union of the footprints, ``area_deg2`` the union's area,
    ``seconds`` the time spent on planning; ``reason`` says why there are no tiles, or is empty. ``not_taken`` counts
    the tiles that were considered and left out, by reason; ``remarks`` are sentences on how the plan came about.
    ``priority`` is that of the decision, 0 to 100.
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
    """A request to plan a notice for some telescopes; ``parameters_sha256`` is a hash of all that shapes the plan."""

    notice_sha256: str
    telescopes: tuple[str, ...]
    parameters_sha256: str

    @property
    def joined_telescopes(self) -> str:
        """The telescopes as one word, whatever the order they were given in."""
        return joined(self.telescopes)

    @property
    def key(self) -> str:
        """What makes two requests the same."""
        return f"{self.notice_sha256}:{self.joined_telescopes}:{self.parameters_sha256}"


def joined(telescopes: Iterable[str]) -> str:
    """Name a set of telescopes, whatever the order they were given in."""
    return ",".join(sorted(set(telescopes)))


Corners = tuple[tuple[float, float], ...]
"""Corners of a polygon in the tangent plane of a pointing: x to the east, y to the north, in degrees."""


@dataclass(frozen=True, kw_only=True)
class Observed:
    """Pointings of one instrument.

    ``by`` says whose they are. ``telescope`` names one of our telescopes, ``tiles`` the ids of its tiles, one for each
    centre. ``footprint`` holds polygons; where it is empty it is the telescope's field.
    """

    by: str
    centres_deg: tuple[tuple[float, float], ...]
    telescope: str = ""
    tiles: tuple[str, ...] = ()
    footprint: tuple[Corners, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Already:
    """All that was observed of an event already; ``remarks`` say what could not be asked."""

    observed: tuple[Observed, ...] = ()
    remarks: tuple[str, ...] = ()


NONE_OBSERVED = Already()
