"""The median of many numbers, for compiled loops: exact, and several times faster than by partition."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

Floats = np.ndarray[Any, Any]

BINS = 1024
# of numbers closer than this, equal ones among them, the width of a bin cannot be told
SMALLEST_SPAN = 1e-300


@njit(nogil=True, cache=True)
def median(values: Floats) -> float:
    """Return the median of numbers ``(n,)``; NaN where there are none, or one is not finite.

    Counting them in bins between the least and the largest first leaves only those of the middle bin to be sorted.
    """
    number = len(values)
    if number == 0:
        return np.nan
    low, high, odd = values[0], values[0], False
    for value in values:
        low = min(low, value)
        high = max(high, value)
        odd |= np.isnan(value)
    span = np.float64(high) - np.float64(low)
    if odd or not np.isfinite(span):
        return np.nan
    if span * BINS < SMALLEST_SPAN:
        return float(np.median(values))
    scale = BINS / span
    counts = np.zeros(BINS + 1, np.int64)
    for value in values:
        counts[int((np.float64(value) - low) * scale)] += 1
    first, below = _bin_of((number - 1) // 2, counts)
    last, before_last = _bin_of(number // 2, counts)
    middle = np.empty(before_last + counts[last] - below, values.dtype)
    taken = 0
    for value in values:
        if first <= int((np.float64(value) - low) * scale) <= last:
            middle[taken] = value
            taken += 1
    middle.sort()
    return (np.float64(middle[(number - 1) // 2 - below]) + np.float64(middle[number // 2 - below])) / 2


@njit(nogil=True, cache=True)
def _bin_of(rank: int, counts: Floats) -> tuple[int, int]:
    """Return which bin holds the number of a rank, counted from 0, and how many lie in those below it."""
    below, place = 0, 0
    while below + counts[place] <= rank:
        below += counts[place]
        place += 1
    return place, below
