"""What was observed of an event already, by us or by others."""

from __future__ import annotations

from dataclasses import dataclass

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


NOTHING = Already()
