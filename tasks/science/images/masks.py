"""Growth of masks of bad pixels."""

from __future__ import annotations

import math

from tasks.science.arrays import Array, array_namespace

# a disc of this radius contains the eight neighbours of a pixel
NEIGHBOURS_PX = 1.5


def grow(mask: Array, radius_px: float = NEIGHBOURS_PX) -> Array:
    """Return a mask (ny, nx) that is True within ``radius_px`` of a True pixel; the same mask if none is True."""
    if not bool(mask.any()):
        return mask
    grown = array_namespace(mask).zeros_like(mask)
    across, width = mask.copy(), 0
    # a disc consists of one row per step up and down, shorter further out
    for up in range(min(int(radius_px), len(mask) - 1), -1, -1):
        half = int(math.sqrt(radius_px**2 - up**2))
        for step in range(width + 1, half + 1):
            across[:, step:] |= mask[:, :-step]
            across[:, :-step] |= mask[:, step:]
        width = half
        grown[up:] |= across[: len(mask) - up]
        grown[: len(mask) - up] |= across[up:]
    return grown
