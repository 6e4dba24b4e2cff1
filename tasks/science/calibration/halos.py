"""Halos and reflections of saturated stars."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from tasks.options import Reflection
from tasks.records import MaskBit
from tasks.science.arrays import Array
from tasks.science.calibration.shrunken_light import BinnedLight

# largest radius of a halo; it ends earlier if the median of a ring falls below the noise of a single pixel
LARGEST_HALO_PX, RINGS = 400.0, 14
# most halos end within this many binned pixels of the saturated ones
NEAR = 8.0
TRAIL_BIT, HALO_BIT, GHOST_BIT = (np.uint8(bit) for bit in (MaskBit.TRAIL, MaskBit.HALO, MaskBit.GHOST))


@dataclass(frozen=True, kw_only=True)
class Star:
    """A saturated star and its halo, 0-based pixels of the large image."""

    x: float
    y: float
    halo_px: float


def saturated_stars(small: BinnedLight) -> tuple[Star, ...]:
    """Find the saturated stars and the radii of their halos; sharp features (hot pixels, cosmic rays) have none."""
    labels, number = ndimage.label(small.saturated, np.ones((3, 3)))
    stars = []
    for box in ndimage.find_objects(labels, number):
        y, x = ((part.start + part.stop - 1) / 2 for part in box)
        inner = max(part.stop - part.start for part in box) / 2
        reach = _halo(small, y, x, inner)
        if reach > 0:
            middle = (small.block - 1) / 2
            stars.append(Star(x=x * small.block + middle, y=y * small.block + middle, halo_px=reach * small.block))
    return tuple(stars)


def reflected(star: Star, reflection: Reflection, shape: tuple[int, int]) -> tuple[float, float]:
    """Return the position of a star's reflection: 0-based x, y."""
    centre = ((shape[1] - 1) / 2, (shape[0] - 1) / 2)
    x, y = (
        middle + reflection.scale * (place - middle) for place, middle in zip((star.x, star.y), centre, strict=True)
    )
    return x + reflection.dx_px, y + reflection.dy_px


def _halo(small: BinnedLight, y: float, x: float, inner: float) -> float:
    """Return the radius, in binned pixels, to which the median around a position exceeds one pixel's noise."""
    edges = inner + 0.5 + np.concatenate([[0.0], np.geomspace(1.0, LARGEST_HALO_PX / small.block, RINGS)])
    near = edges[edges <= inner + NEAR]
    reach = _reach_of(small, y, x, near)
    return reach if reach < near[-1] else _reach_of(small, y, x, edges)


def _reach_of(small: BinnedLight, y: float, x: float, edges: Array) -> float:
    """Return the outer edge of the last ring whose median exceeds the noise."""
    limit = small.noise_adu / small.scale_adu
    top, left = max(0, int(y - edges[-1])), max(0, int(x - edges[-1]))
    part = (slice(top, int(y + edges[-1]) + 2), slice(left, int(x + edges[-1]) + 2))
    excess, valid = small.excess[part], ~small.saturated[part]
    rows, columns = np.ogrid[: excess.shape[0], : excess.shape[1]]
    distance = np.hypot(rows + top - y, columns + left - x)
    reach = 0.0
    for low, high in itertools.pairwise(edges):
        ring = excess[(distance >= low) & (distance < high) & valid]
        if ring.size < 4 or float(np.median(ring)) < limit:
            break
        reach = float(high)
    return reach


def inside(small: BinnedLight, stars: Sequence[Star]) -> Array:
    """Return the cells of the binned light within the halos of ``stars`` or one cell beyond."""
    covered = np.zeros(small.excess.shape, np.uint8)
    for star in stars:
        paint_disc(covered, star.x / small.block, star.y / small.block, star.halo_px / small.block + 1, np.uint8(1))
    return covered.astype(bool)


def paint_disc(mask: Array, x: float, y: float, radius: float, bit: np.uint8) -> None:
    """Set ``bit`` in the pixels of ``mask`` within ``radius`` of x, y (all in pixels)."""
    top, left = max(0, math.ceil(y - radius)), max(0, math.ceil(x - radius))
    part = mask[top : max(top, int(y + radius) + 1), left : max(left, int(x + radius) + 1)]
    rows, columns = np.ogrid[: part.shape[0], : part.shape[1]]
    part[(rows + top - y) ** 2 + (columns + left - x) ** 2 <= radius * radius] |= bit
