"""The arithmetic of a calibrated light in one pass, compiled for the CPU; ``correction`` defines it.

Each pixel's counts and coefficients are read once, its image and variance written once; the result is bit-identical to
NumPy's. The functions release the interpreter's lock. They are compiled once; the code is cached beside this file or in
the user's cache.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

Floats = np.ndarray[Any, Any]


@njit(nogil=True, cache=True, error_model="numpy")
def image_alone(raw: Floats, offset: Floats, inverse: Floats, image: Floats) -> None:
    """Write the image of some rows."""
    rows, columns = raw.shape
    for y in range(rows):
        for x in range(columns):
            image[y, x] = (np.float32(raw[y, x]) - offset[y, x]) * inverse[y, x]


@njit(nogil=True, cache=True, error_model="numpy")
def image_and_variance(
    raw: Floats,
    offset: Floats,
    inverse: Floats,
    slope: Floats,
    start: Floats,
    base: Floats,
    relative: Floats,
    image: Floats,
    variance: Floats,
) -> None:
    """Write image and variance of some rows; the names are those of ``correction.Correction``."""
    rows, columns = raw.shape
    for y in range(rows):
        for x in range(columns):
            value = (np.float32(raw[y, x]) - offset[y, x]) * inverse[y, x]
            noise, least = value * slope[y, x] + start[y, x], base[y, x]
            # NaN stays NaN, as in numpy.maximum
            if noise < least or np.isnan(least):
                noise = least
            image[y, x] = value
            variance[y, x] = noise + value * value * relative[y, x]
