"""A light binned to a small image, for the search of halos and trails."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tasks.records import MaskBit
from tasks.science.arrays import Array, nmad
from tasks.science.calibration import correction
from tasks.science.calibration.correction import LightPlanes

# approximate number of columns of the binned light; blocks have at most 8 px
SMALL_WIDTH, LARGEST_BLOCK_PX = 600, 8
# wider than most halos, narrower than the sky's gradients
LEVEL_BOX_PX, LEAST_BOX = 192, 8


@dataclass(frozen=True, kw_only=True)
class BinnedLight:
    """A binned light: excess over the local level in units of its noise, ``block`` px per pixel, and valid pixels.

    ``noise_adu`` is that of one pixel of the large image.
    """

    excess: Array
    valid: Array
    saturated: Array
    block: int
    noise_adu: float
    scale_adu: float


def shrink(planes: LightPlanes) -> BinnedLight:
    """Bin a calibrated light."""
    ny, nx = planes.image.shape
    block = min(max(1, nx // SMALL_WIDTH), LARGEST_BLOCK_PX, ny)
    means = _blocks(planes.image, block) / np.float32(block * block)
    saturated = _blocks((planes.mask & np.uint8(MaskBit.SATURATED)) != 0, block) > 0
    holes = _blocks((planes.mask & np.uint8(MaskBit.BAD | MaskBit.NO_DATA)) != 0, block) > block * block / 2
    deviation = means - correction.local_level(means, box_px=max(LEAST_BOX, LEVEL_BOX_PX // block))
    scale = max(float(nmad(deviation)), 1e-6)
    return BinnedLight(
        excess=deviation / np.float32(scale),
        valid=~(holes | saturated),
        saturated=saturated,
        block=block,
        noise_adu=math.sqrt(float(np.median(planes.variance[::block, ::block]))),
        scale_adu=scale,
    )


def _blocks(image: Array, block: int) -> Array:
    """Return the sums of square blocks; incomplete blocks at the edges are left out."""
    ny, nx = (size // block for size in image.shape)
    whole = image[: ny * block, : nx * block]
    rows = whole.reshape(ny, block, nx * block).sum(axis=1, dtype=np.float32)
    return rows.reshape(ny, nx, block).sum(axis=2)
