"""Weights of pixels: the inverse variance of the sky, found once for a frame and given for any part of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tasks.errors import UnusableData
from tasks.records import MaskBit
from tasks.science import backgrounds

Floats = np.ndarray[Any, Any]
Planes = Callable[[slice, slice], tuple[Floats, Floats]]
"""Gives variance and mask of some rows and columns."""

# a pixel with one of these bits has no value; a saturated one has, and keeps its bit in the stack
VALUELESS = (MaskBit.BAD | MaskBit.COSMIC_RAY | MaskBit.INTERPOLATED | MaskBit.NO_DATA | MaskBit.TRAIL).value
BLOCK_PX = 64


@dataclass(frozen=True, kw_only=True)
class SkyNoise:
    """The variance of the sky as medians of blocks of ``height`` x ``width`` px, joined by straight lines.

    The variance of a star's own photons must not weigh: the sharpest frame would count least in the star's core, and
    the stack would lose 2 % of the flux of bright stars. Medians over blocks keep vignetting and drop the stars.
    """

    medians: Floats
    height: int
    width: int

    @classmethod
    def of(cls, planes: Planes, shape: tuple[int, int]) -> SkyNoise:
        """Measure a frame of ``shape`` (ny, nx); raise ``UnusableData`` where it has no usable pixel."""
        ny, nx = (max(1, size // BLOCK_PX) for size in shape)
        height, width = shape[0] // ny, shape[1] // nx
        medians = np.full((ny, nx), np.nan)
        for row in range(ny):
            variance, mask = planes(slice(row * height, (row + 1) * height), slice(0, nx * width))
            if (good := usable(variance, mask)).any():
                # blocks without a good pixel get the median of their row of blocks
                values = np.where(good, variance, np.median(variance[good]))
                medians[row] = np.median(values.reshape(height, nx, width).transpose(1, 0, 2).reshape(nx, -1), axis=1)
        if np.isnan(medians).all():
            raise UnusableData("no pixel of the frame is usable")
        return cls(medians=backgrounds.filled(medians), height=height, width=width)

    def weight(self, variance: Floats, mask: Floats, rows: slice, columns: slice) -> Floats:
        """Return the inverse variance of the sky, 0 where a pixel has no value; a saturated one has."""
        down = _between(self.medians, rows, self.height)
        sky = _between(down.T, columns, self.width).T
        weights: Floats = np.where(usable(variance, mask), 1 / sky, 0).astype(np.float32)
        return weights


def usable(variance: Floats, mask: Floats) -> Floats:
    """Tell which pixels have a value."""
    good: Floats = ((mask & VALUELESS) == 0) & np.isfinite(variance) & (variance > 0)
    return good


def _between(values: Floats, part: slice, step: int) -> Floats:
    """Interpolate the first axis from block centres ``step`` pixels apart at some pixels."""
    place = np.clip((np.arange(part.start, part.stop) + 0.5) / step - 0.5, 0, values.shape[0] - 1)
    low = np.minimum(np.floor(place).astype(int), max(0, values.shape[0] - 2))
    share = (place - low)[:, None]
    between: Floats = values[low] * (1 - share) + values[np.minimum(low + 1, values.shape[0] - 1)] * share
    return between
