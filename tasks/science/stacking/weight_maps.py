"""Weights of pixels: the inverse variance of the sky, measured once per frame and evaluated for any part of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit

from tasks.errors import UnusableData
from tasks.records import MaskBit
from tasks.science.images import backgrounds, fast_medians

Floats = np.ndarray[Any, Any]
Planes = Callable[[slice, slice], tuple[Floats, Floats]]
"""Gives variance and mask of some rows and columns."""

# a pixel with one of these bits has no value; a saturated one has a value, and keeps its bit in the stack
VALUELESS = (MaskBit.BAD | MaskBit.COSMIC_RAY | MaskBit.INTERPOLATED | MaskBit.NO_DATA | MaskBit.TRAIL).value
# the noise of 4096 pixels is known to about 2 %; larger blocks follow the sky less
BLOCK_PX = 64


@dataclass(frozen=True, kw_only=True)
class SkyNoise:
    """The variance of the sky as medians of blocks of ``height`` x ``width`` px, joined by straight lines.

    The variance of a star's own photons must not enter: the sharpest frame would count least in the star's core, and
    the stack would lose 2 % of the flux of bright stars. Medians over blocks keep vignetting and remove the stars.
    """

    medians: Floats
    height: int
    width: int

    @classmethod
    def of(cls, planes: Planes, shape: tuple[int, int]) -> SkyNoise:
        """Measure a frame of ``shape`` (ny, nx); raise ``UnusableData`` where it has no usable pixel."""
        ny, nx = (max(1, size // BLOCK_PX) for size in shape)
        height, width = shape[0] // ny, shape[1] // nx
        levels = np.full((ny, nx), np.nan)
        for row in range(ny):
            variance, mask = planes(slice(row * height, (row + 1) * height), slice(0, nx * width))
            if (good := usable(variance, mask)).any():
                # blocks without a good pixel get the median of their row of blocks
                values = np.where(good, variance, variance.dtype.type(fast_medians.median(variance[good])))
                levels[row] = [fast_medians.median(block.ravel()) for block in np.split(values, nx, axis=1)]
        if np.isnan(levels).all():
            raise UnusableData("no pixel of the frame is usable")
        return cls(medians=backgrounds.filled(levels), height=height, width=width)

    def weight(self, variance: Floats, mask: Floats, rows: slice, columns: slice) -> Floats:
        """Return the inverse variance of the sky, 0 where a pixel has no value; a saturated one has."""
        low, high, share = _between(rows, self.height, len(self.medians))
        down = self.medians[low] * (1 - share[:, None]) + self.medians[high] * share[:, None]
        weights = np.empty(variance.shape, np.float32)
        good = usable(variance, mask)
        _invert(good, down, *_between(columns, self.width, self.medians.shape[1]), weights)
        return weights


def usable(variance: Floats, mask: Floats) -> Floats:
    """Return which pixels have a value."""
    good: Floats = ((mask & VALUELESS) == 0) & np.isfinite(variance) & (variance > 0)
    return good


def _between(part: slice, step: int, number: int) -> tuple[Floats, Floats, Floats]:
    """Return the two of ``number`` blocks, ``step`` px wide, around each pixel, and the weight of the second one."""
    place = np.clip((np.arange(part.start, part.stop) + 0.5) / step - 0.5, 0, number - 1)
    low = np.minimum(np.floor(place).astype(int), max(0, number - 2))
    return low, np.minimum(low + 1, number - 1), place - low


@njit(nogil=True, cache=True, error_model="numpy")
def _invert(good: Floats, down: Floats, low: Floats, high: Floats, share: Floats, weights: Floats) -> None:
    """Write the inverse of the sky between blocks with interpolated rows, and 0 for pixels without value."""
    ny, nx = weights.shape
    for y in range(ny):
        for x in range(nx):
            sky = down[y, low[x]] * (1 - share[x]) + down[y, high[x]] * share[x]
            weights[y, x] = 1 / sky if good[y, x] else 0
