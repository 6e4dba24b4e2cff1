"""How even the noise of a light's sky is: a part that is noisier than its variance says has a fault of its own."""

from __future__ import annotations

import itertools
import math

import numpy as np

from tasks.science.arrays import MAD_TO_SIGMA, Array
from tasks.science.images import fast_medians

# parts of a light, across and up, whose noise is compared; about so many pixels of each are looked at
SKY_GRID = (16, 8)
PART_PIXELS, FEWEST_PAIRS = 1 << 14, 200


def sky_unevenness(image: Array, variance: Array, mask: Array, *, grid: tuple[int, int] = SKY_GRID) -> float:
    """Return how far the noise of the sky in one part of a light is from what its variance says, beside the others.

    The noise is that of differences between neighbours, which neither stars nor gradients change much. 0 is a light
    whose noise is as its variance says everywhere, or everywhere the same times as much; 0.5 one with a part where it is
    half as large again.

    Parameters
    ----------
    image, variance, mask
        The planes of a calibrated light, on the host.
    grid
        Numbers of parts across and up.
    """
    ny, nx = image.shape
    rows, columns = np.linspace(0, ny, grid[1] + 1).astype(int), np.linspace(0, nx, grid[0] + 1).astype(int)
    boxes = itertools.product(itertools.pairwise(rows), itertools.pairwise(columns))
    ratios = np.array([_noise_ratio(image, variance, mask, box) for box in boxes])
    ratios = ratios[np.isfinite(ratios)]
    return float(np.abs(ratios / np.median(ratios) - 1).max()) if ratios.size else 0.0


def _noise_ratio(image: Array, variance: Array, mask: Array, box: tuple[tuple[int, int], tuple[int, int]]) -> float:
    """Return measured over expected noise in a part of a light; NaN where it has too few good pixels."""
    (bottom, top), (left, right) = box
    step = math.ceil((top - bottom) * (right - left) / PART_PIXELS)
    part = (slice(bottom, top, step), slice(left, right))
    good = mask[part] == 0
    pairs = good[:, 1:] & good[:, :-1]
    if pairs.sum() < FEWEST_PAIRS:
        return math.nan
    difference = np.diff(image[part], axis=1)[pairs]
    scatter = MAD_TO_SIGMA * fast_medians.median(
        np.abs(difference - difference.dtype.type(fast_medians.median(difference)))
    )
    return float(scatter / math.sqrt(2 * fast_medians.median(variance[part][good])))
