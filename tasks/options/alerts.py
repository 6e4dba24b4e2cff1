"""Options of the alert river."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from tasks.options.config import CONFIG


@dataclass(config=CONFIG, kw_only=True)
class PlanOptions:
    """Options of planning."""

    engine: Literal["gwemopt", "siren"] = "gwemopt"
    """Planner."""

    tiles: Annotated[int, Field(ge=1, le=2000)] = 50
    """Most tiles per telescope; of an array whose units spread, per unit."""

    mode: Literal["auto", "spread", "stare"] = "stare"
    """How an array is used: each unit on tiles of its own, all units on one tile, or as the area to cover asks for."""

    hours: Annotated[float, Field(gt=0, le=96)] = 24.0
    """Length of the window, in h."""

    region: Annotated[float, Field(gt=0, lt=1)] = 0.99
    """Credible region whose tiles are considered."""

    subtract_observed: bool = True
    """Leave out observed tiles, and subtract their probability from the map."""

    treasure_map: bool = False
    """Subtract also the fields that other observatories report to the Treasure Map."""

    second_look: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Weight of probability that another telescope has covered already, relative to uncovered probability."""

    program_timeout_s: Annotated[float, Field(gt=0)] = 300.0
    """Deadline of the planner, in s."""


@dataclass(config=CONFIG, kw_only=True)
class RevisitOptions:
    """Options of later looks at an event: a Swift burst's follow-up, a sky map that its notice gives by address."""

    xrt_minutes: Annotated[float, Field(gt=0, le=1440)] = 10.0
    """Time after the trigger at which a missing XRT position is reported, in min."""

    bat_page: bool = False
    """Read the BAT team's analysis page; off until access to it is verified."""

    bat_minutes: tuple[float, ...] = (3, 6, 10, 20, 40, 60, 120, 180, 240, 300, 360)
    """Times after the trigger at which the BAT page is read, in min."""

    bat_url: str = "https://swift.gsfc.nasa.gov/results/BATbursts/{id}/bascript/top.html"
    """Address of the BAT page, with the trigger number for ``{id}``."""

    map_minutes: tuple[Annotated[float, Field(ge=0, le=10080)], ...] = (1, 3, 10, 20, 40, 60, 180, 720)
    """Times after a notice at which the sky map at its address is fetched again if it was not there, in min; none: never."""


@dataclass(config=CONFIG, kw_only=True)
class BackfillOptions:
    """Options of fetching notices that the broker no longer has."""

    url: str = "https://gracedb.ligo.org/api/"
    """Address of GraceDB's interface."""

    silence_h: Annotated[float, Field(ge=1, le=240)] = 12.0
    """A longer time without any message is a gap, in h: test alerts arrive every hour."""

    days: Annotated[float, Field(ge=1, le=90)] = 30.0
    """Gaps are searched this far back, in d."""

    lookback_days: Annotated[float, Field(ge=0, le=90)] = 7.0
    """Events created up to this long before a gap are fetched too, since their updates may lie in it, in d."""
