"""Evenness of a light's sky noise: a part noisier than its variance has a fault of its own."""

from __future__ import annotations

import itertools
import math

import numpy as np

from tasks.science.arrays import MAD_TO_SIGMA, Array
from tasks.science.images import fast_medians

# parts of a light, across and up, whose noise is compared
SKY_GRID = (16, 8)
# approximate number of pixels used in each; with fewer pairs than these the noise is uncertain by more than 8 %
PART_PIXELS, FEWEST_PAIRS = 1 << 14, 200


def sky_unevenness(image: Array, variance: Array, mask: Array, *, grid: tuple[int, int] = SKY_GRID) -> float:
    """Return the largest deviation of sky noise over expected noise among the parts of a light.

    The noise is that of differences between neighbours, which stars and gradients hardly affect. The value is 0 if the
    ratio to the noise from the variance plane is the same everywhere, 0.5 if one part has a ratio 1.5 times that of the
    others.

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
    """Return measured over expected noise in a part of a light; NaN if it has too few good pixels."""
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
