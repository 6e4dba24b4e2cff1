"""The inner loops of resampling and coadding, compiled for the CPU; ``resampling`` and ``coadding`` define them.

Along a run of pixels whose integer positions advance by one, the neighbours are contiguous in memory, so vector
instructions read and sum them. A tile's intermediate rows stay in a core's second-level cache. All functions release
the interpreter's lock. They are compiled once; the code is cached beside this file or in the user's cache.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

Floats = np.ndarray[Any, Any]
# allow fused multiply-add; values are finite, so a minimum need not check for NaN
FAST = {"contract", "nnan", "nsz"}
FAR = np.float32(3e38)
"""Placeholder of missing values in a sort."""


@njit(nogil=True, cache=True, fastmath=FAST)
def _across(surface: Floats, row: float, powers: Floats) -> tuple[float, float, float, float, float, float]:
    """Return a surface's coefficients of powers of the scaled column, for one row."""
    r = (row - surface[6, 0]) / surface[6, 1]
    for j in range(6):
        value = surface[5, j]
        for i in range(4, -1, -1):
            value = value * r + surface[i, j]
        powers[j] = value
    return powers[0], powers[1], powers[2], powers[3], powers[4], powers[5]


@njit(nogil=True, cache=True, fastmath=FAST)
def _places(surface: Floats, row: float, first: int, less: float, powers: Floats, out: Floats) -> None:
    """Write a surface's values minus a constant for one row, at the columns from ``first`` on."""
    p0, p1, p2, p3, p4, p5 = _across(surface, row, powers)
    p0 -= less
    centre, scale = surface[6, 2], 1.0 / surface[6, 3]
    for x in range(out.size):
        c = (first + x - centre) * scale
        out[x] = ((((p5 * c + p4) * c + p3) * c + p2) * c + p1) * c + p0


@njit(nogil=True, cache=True, fastmath=FAST)
def _split(place: Floats, whole: Floats, part: Floats) -> None:
    """Write the pixel left of each position, and the offset of the position from the midpoint to the next pixel."""
    for x in range(place.size):
        floor = np.floor(place[x])
        whole[x] = np.int32(floor)
        part[x] = np.float32(place[x] - floor - 0.5)


@njit(nogil=True, cache=True, fastmath=FAST, inline="always")
def _power_sum(c: Floats, q: float) -> Any:
    return ((((c[5] * q + c[4]) * q + c[3]) * q + c[2]) * q + c[1]) * q + c[0]


@njit(nogil=True, cache=True, fastmath=FAST, inline="always")
def _weights(kernel: Floats, s: float) -> tuple[float, float, float, float, float, float]:
    """Return the weights of six neighbours: even and odd polynomials of the step from the middle."""
    q = s * s
    e0, e1, e2 = _power_sum(kernel[0], q), _power_sum(kernel[1], q), _power_sum(kernel[2], q)
    o0, o1, o2 = s * _power_sum(kernel[3], q), s * _power_sum(kernel[4], q), s * _power_sum(kernel[5], q)
    return e0 + o0, e1 + o1, e2 + o2, e2 - o2, e1 - o1, e0 - o0


@njit(nogil=True, cache=True, fastmath=FAST)
def _along(line: Floats, part: Floats, kernel: Floats, out: Floats) -> None:
    """Interpolate a run of a row: the value at ``x`` uses the six pixels from ``x`` on."""
    for x in range(part.size):
        w0, w1, w2, w3, w4, w5 = _weights(kernel, part[x])
        out[x] = (
            w0 * line[x] + w1 * line[x + 1] + w2 * line[x + 2] + w3 * line[x + 3] + w4 * line[x + 4] + w5 * line[x + 5]
        )


@njit(nogil=True, cache=True, fastmath=FAST)
def _down(lines: Floats, part: Floats, area: Floats, scale: np.float32, kernel: Floats, out: Floats) -> None:
    """Interpolate a run across six rows, times the pixel's area and the flux factor."""
    for x in range(part.size):
        w0, w1, w2, w3, w4, w5 = _weights(kernel, part[x])
        value = (
            w0 * lines[0, x]
            + w1 * lines[1, x]
            + w2 * lines[2, x]
            + w3 * lines[3, x]
            + w4 * lines[4, x]
            + w5 * lines[5, x]
        )
        out[x] = value * (np.float32(area[x]) * scale)


@njit(nogil=True, cache=True, fastmath=FAST)
def _stretch(
    image: Floats,
    first: tuple[int, int],
    along: Floats,
    column: int,
    low: int,
    kernel: Floats,
    out: Floats,
    powers: Floats,
) -> None:
    """Interpolate rows of a window, from its row ``low`` on, at the columns of the grid from ``column`` on."""
    width, nx = out.shape[1], image.shape[1]
    place = np.empty(width, np.float64)
    whole, part = np.empty(width, np.int32), np.empty(width, np.float32)
    for j in range(out.shape[0]):
        _places(along, first[0] + low + j, column, first[1], powers, place)
        _split(place, whole, part)
        line = image[low + j]
        x = 0
        while x < width:
            step = whole[x] - x
            end = x + 1
            if whole[x] < 2 or whole[x] > nx - 4:
                # the edge pixels extend beyond the frame
                start = min(max(whole[x] - 2, 0), nx - 6)
                _along(line[start : start + 6], part[x:end], kernel, out[j, x:end])
            else:
                while end < width and whole[end] - end == step and whole[end] <= nx - 4:
                    end += 1
                _along(line[step - 2 + x :], part[x:end], kernel, out[j, x:end])
            x = end


@njit(nogil=True, cache=True, fastmath=FAST)
def _nearest(
    weight: Floats,
    first: tuple[int, int],
    shape: tuple[int, int],
    v: Floats,
    u: Floats,
    area: Floats,
    scale: np.float32,
    out: Floats,
) -> None:
    """Write the weight of the nearest pixel, 0 unless all six neighbours are on the frame."""
    left, right = 2 - first[1], shape[1] - 3 - first[1]
    bottom, top = 2 - first[0], shape[0] - 3 - first[0]
    for x in range(out.size):
        if left <= u[x] < right and bottom <= v[x] < top:
            factor = np.float32(area[x]) * scale
            out[x] = weight[int(np.rint(v[x])), int(np.rint(u[x]))] / (factor * factor)
        else:
            out[x] = 0


@njit(nogil=True, cache=True, fastmath=FAST)
def _reach(across: Floats, first: int, row: int, rows: int, column: int, width: int, powers: Floats) -> tuple[int, int]:
    """Return the range of window rows that a tile uses (end excluded); the map is nearly linear."""
    place = np.empty(width, np.float64)
    _places(across, row, column, first, powers, place)
    low, high = place.min(), place.max()
    _places(across, row + rows - 1, column, first, powers, place)
    return int(min(low, place.min())) - 4, int(max(high, place.max())) + 6


@njit(nogil=True, cache=True, fastmath=FAST)
def resample(
    image: Floats,
    weight: Floats,
    first: tuple[int, int],
    shape: tuple[int, int],
    surfaces: Floats,
    kernel: Floats,
    scale: np.float32,
    row: int,
    column: int,
    out: Floats,
    out_weight: Floats,
) -> None:
    """Write the tile of the grid from ``row`` and ``column`` on, and its weight; see ``resampling.resample``.

    Parameters
    ----------
    image, weight
        A window of the upright frame, which begins at ``first``; the whole frame has ``shape``.
    surfaces
        ``along``, ``across``, ``column`` and ``area``, each its coefficients (6, 6) and a row of centre and half range.
    kernel
        Coefficients of the weights, from ``resampling``.
    scale
        Factor on the flux; weights are divided by its square.
    out, out_weight
        Where to write, shape (rows, columns), float32.
    """
    along, across, columns, areas = surfaces[0], surfaces[1], surfaces[2], surfaces[3]
    rows, width = out.shape
    powers = np.empty(6)
    low, high = _reach(across, first[0], row, rows, column, width, powers)
    low, high = max(low, 0), min(high, image.shape[0])
    if high - low < 6 or image.shape[1] < 6:
        out[:] = 0
        out_weight[:] = 0
        return
    stretched = np.empty((high - low, width), np.float32)
    _stretch(image, first, along, column, low, kernel, stretched, powers)
    v, u, area = np.empty(width), np.empty(width), np.empty(width)
    whole, part = np.empty(width, np.int32), np.empty(width, np.float32)
    for y in range(rows):
        _places(across, row + y, column, first[0], powers, v)
        _places(columns, row + y, column, first[1], powers, u)
        _places(areas, row + y, column, 0.0, powers, area)
        _split(v, whole, part)
        x = 0
        while x < width:
            end = x + 1
            while end < width and whole[end] == whole[x]:
                end += 1
            base = min(max(whole[x] - 2 - low, 0), high - low - 6)
            _down(stretched[base : base + 6, x:end], part[x:end], area[x:end], scale, kernel, out[y, x:end])
            x = end
        _nearest(weight, first, shape, v, u, area, scale, out_weight[y])


@njit(nogil=True, cache=True, fastmath=FAST)
def subtract(image: Floats, heights: Floats, widths: Floats, column: int, out: Floats) -> None:
    """Write an image minus the sum of ``heights`` (ny, n) times ``widths`` (n, nx from ``column`` on)."""
    for y in range(out.shape[0]):
        out[y] = image[y]
        for k in range(heights.shape[1]):
            height = heights[y, k]
            width = widths[k]
            for x in range(out.shape[1]):
                out[y, x] -= height * width[column + x]


@njit(nogil=True, cache=True, fastmath=FAST)
def _exchange(low: Floats, high: Floats) -> None:
    for x in range(low.size):
        a, b = low[x], high[x]
        low[x], high[x] = min(a, b), max(a, b)


@njit(nogil=True, cache=True, fastmath=FAST)
def _medians(values: Floats, weights: Floats, steps: Floats, ordered: Floats, number: Floats, out: Floats) -> None:
    """Write the medians of the values that have weight, along one row ``(n, nx)``; 0 if there are none."""
    n, width = values.shape
    number[:] = 0
    for i in range(n):
        for x in range(width):
            there = weights[i, x] > 0
            ordered[i, x] = values[i, x] if there else FAR
            number[x] += 1 if there else 0
    for k in range(steps.shape[0]):
        _exchange(ordered[steps[k, 0]], ordered[steps[k, 1]])
    low, high = ordered[(n - 1) // 2], ordered[n // 2]
    half = np.float32(0.5)
    for x in range(width):
        out[x] = (low[x] + high[x]) * half
    for x in range(width):
        count = number[x]
        if count < n:
            out[x] = (ordered[(count - 1) // 2, x] + ordered[count // 2, x]) * half if count > 0 else 0


@njit(nogil=True, cache=True, fastmath=FAST)
def _means(
    values: Floats, weights: Floats, centre: Floats, limits: Floats, total: Floats, count: Floats, out: Floats
) -> None:
    """Write the weighted means of one row's values within the clipping limits."""
    out[:] = 0
    total[:] = 0
    count[:] = 0
    sigma, fraction = limits[0], limits[1]
    for i in range(values.shape[0]):
        for x in range(out.size):
            value, weight = values[i, x], weights[i, x]
            # |d| <= sigma / sqrt(w) + rest, without a root
            beyond = max(abs(value - centre[x]) - fraction * abs(centre[x]), np.float32(0))
            keep = weight > 0 and beyond * beyond * weight <= sigma * sigma
            used = weight if keep else np.float32(0)
            out[x] += value * used
            total[x] += used
            count[x] += 1 if keep else 0
    for x in range(out.size):
        out[x] = out[x] / (total[x] if total[x] > 0 else np.float32(1))


@njit(nogil=True, cache=True, fastmath=FAST)
def combine(
    values: Floats,
    weights: Floats,
    steps: Floats,
    limits: Floats,
    efficiency: Floats,
    out: Floats,
    total: Floats,
    count: Floats,
) -> None:
    """Write the combination of stacks ``(n, ny, nx)``, its weight and the number of values; see ``coadding.combine``.

    ``steps`` is a sorting network ``(k, 2)``; ``limits`` are sigma and fraction of the clipping, infinite for
    none; ``efficiency`` is that of a median relative to a mean, by number of values, empty for the mean.
    """
    n, ny, nx = values.shape
    ordered, centre, number = np.empty((n, nx), np.float32), np.zeros(nx, np.float32), np.empty(nx, np.uint16)
    median = efficiency.size > 0
    clipped = limits[0] < np.inf
    for y in range(ny):
        if clipped or median:
            _medians(values[:, y], weights[:, y], steps, ordered, number, centre)
        _means(values[:, y], weights[:, y], centre, limits, total[y], count[y], out[y])
        if median:
            out[y] = centre
            for x in range(nx):
                total[y, x] *= efficiency[min(count[y, x], efficiency.size - 1)]
