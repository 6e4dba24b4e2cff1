"""The offset between two lists of positions, whatever else either holds: every pair votes for the difference it shows.

True pairs vote for one cell of a histogram, false ones for random cells.
"""

from __future__ import annotations

import numpy as np

from tasks.science.astrometry.matching import Floats


def winner(start: Floats, goal: Floats, *, reach: float, cell: float) -> tuple[int, Floats]:
    """Return how many pairs agree on an offset from ``start`` to ``goal``, at most ``reach`` in x and y, and the offset.

    Positions have shape (n, 2) and the unit of ``reach`` and ``cell``. The offset is the middle of 2 x 2 cells of the
    histogram, which are summed so that no border divides a peak: it is good to one cell.
    """
    size = int(np.ceil(2 * reach / cell)) + 1
    column, row = (((goal[:, axis, None] - (start[None, :, axis] - reach)) * (1 / cell)).ravel() for axis in (0, 1))
    inside = (column >= 0) & (column < size) & (row >= 0) & (row < size)
    place = row[inside].astype(np.int64) * size + column[inside].astype(np.int64)
    count = np.bincount(place, minlength=size * size).reshape(size, size)
    summed = count[:-1, :-1] + count[1:, :-1] + count[:-1, 1:] + count[1:, 1:]
    high, wide = np.unravel_index(int(np.argmax(summed)), summed.shape)
    return int(summed[high, wide]), (np.array([wide, high]) + 1) * cell - reach
