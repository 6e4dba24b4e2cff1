"""Records of how two sky maps of one event differ."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """A newer sky map beside an older one, by their 90 % regions, 0 to 1.

    ``outside`` is the part of the old region's area that lies outside the new region; ``held`` the new map's probability
    inside the old region.
    """

    outside: float
    held: float
