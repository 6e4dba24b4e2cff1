"""The offset between two lists of positions, by a vote of all pairs for their differences.

True pairs vote for one cell of a histogram, false pairs for random cells.
"""

from __future__ import annotations

import numpy as np

from tasks.science.astrometry.matching import Floats


def winner(start: Floats, goal: Floats, *, reach: float, cell: float) -> tuple[int, Floats]:
    """Return the number of pairs that agree on an offset from ``start`` to ``goal``, and the offset.

    Positions have shape (n, 2) and the unit of ``reach`` and ``cell``; the offset is at most ``reach`` in x and y. It
    is the middle of 2 x 2 cells of the histogram, summed so that no cell border divides a peak: accurate to one cell.
    """
    size = int(np.ceil(2 * reach / cell)) + 1
    column, row = (((goal[:, axis, None] - (start[None, :, axis] - reach)) * (1 / cell)).ravel() for axis in (0, 1))
    inside = (column >= 0) & (column < size) & (row >= 0) & (row < size)
    place = row[inside].astype(np.int64) * size + column[inside].astype(np.int64)
    count = np.bincount(place, minlength=size * size).reshape(size, size)
    summed = count[:-1, :-1] + count[1:, :-1] + count[:-1, 1:] + count[1:, 1:]
    high, wide = np.unravel_index(int(np.argmax(summed)), summed.shape)
    return int(summed[high, wide]), (np.array([wide, high]) + 1) * cell - reach
