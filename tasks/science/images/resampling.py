"""Resampling of images to another grid by Lanczos-3 interpolation, in two one-dimensional passes.

The pixel map is computed once: the frame's pixels are transformed to the sky and to the grid, and smooth surfaces are
fitted to the resulting positions. First each input row is interpolated at the columns of the grid, then each of those
columns at the rows of the grid: 12 values per pixel instead of 36 (Catmull and Smith 1980, SIGGRAPH 14, 279). A rotated
or mirrored frame is first turned by quarters, which only moves pixels, so that the map is nearly the identity.

``by_arrays`` is the definition, in whole-array operations, and runs on a GPU; on the CPU ``compiled_loops`` does the
same. ``kernel_weights`` is for interpolation along other maps (``subtraction.registration``).
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy.wcs import WCS

from tasks.errors import UnusableData
from tasks.science.arrays import Array, array_namespace
from tasks.science.images import compiled_loops

# half width of the kernel: LANCZOS3 of SWarp
LANCZOS = 3
# pixels along an axis that have a weight
TAPS = 2 * LANCZOS
# weights are tabulated at this many steps between two pixels: an error of at most 0.0001 px
STEPS = 4096
# the sum of the weights and their first three moments
MOMENTS = 4
# TPV distortions of 7DT are of degree 3; LARGEST_RESIDUAL_PX tells where this fails
DEGREE = 5
# along each axis: 1089 positions for the 21 coefficients of a surface
SAMPLES = 33
# half the 0.02 px by which stars of our stacks and of SWarp's may differ
LARGEST_RESIDUAL_PX = 0.01
# number of pixels of a pass that fit a cache with their indices and weights
CACHE_PIXELS = 1 << 15
Floats = np.ndarray[Any, Any]


@dataclass(frozen=True, kw_only=True)
class Surface:
    """A smooth function of row and column: coefficients of powers of row (first axis) and column, scaled to -1 to 1."""

    coefficients: Floats
    centre: tuple[float, float]
    half: tuple[float, float]

    def on(self, rows: Array, columns: Array) -> Array:
        """Return the surface's values on the grid of some rows and columns, float64."""
        xp = array_namespace(columns)
        coefficients = xp.asarray(self.coefficients)
        powers = xp.arange(DEGREE + 1)
        row = ((rows - self.centre[0]) / self.half[0])[:, None] ** powers
        column = ((columns - self.centre[1]) / self.half[1])[:, None] ** powers
        return (row @ coefficients) @ column.T

    def packed(self) -> Floats:
        """Return the surface as one array: the coefficients, then a row of centre and half range of both axes."""
        scaling = (self.centre[0], self.half[0], self.centre[1], self.half[1], 0.0, 0.0)
        return np.vstack([self.coefficients, scaling])


@dataclass(frozen=True, kw_only=True)
class GridMap:
    """The positions of the pixels of a grid on a frame turned upright.

    ``along`` gives the frame's column by grid column and frame row; ``across`` and ``column`` the frame's row and column
    by grid column and grid row; ``area`` the area of a grid pixel in frame pixels.
    """

    transpose: bool
    flip_x: bool
    flip_y: bool
    shape: tuple[int, int]
    along: Surface
    across: Surface
    column: Surface
    area: Surface

    @functools.cached_property
    def surfaces(self) -> Floats:
        """All four surfaces, packed."""
        return np.stack([surface.packed() for surface in (self.along, self.across, self.column, self.area)])

    def upright(self, image: Array) -> Array:
        """Return the frame turned by quarters and mirrored so that its axes point along the grid's."""
        xp = array_namespace(image)
        turned = image.T if self.transpose else image
        turned = turned[:, ::-1] if self.flip_x else turned
        return xp.ascontiguousarray(turned[::-1] if self.flip_y else turned)

    def original(self, rows: slice, columns: slice) -> tuple[slice, slice]:
        """Return the original frame's rows and columns of a part of the upright frame; ``upright`` also turns parts."""
        ny, nx = self.shape
        rows = slice(ny - rows.stop, ny - rows.start) if self.flip_y else rows
        columns = slice(nx - columns.stop, nx - columns.start) if self.flip_x else columns
        return (columns, rows) if self.transpose else (rows, columns)


def grid_map(frame: WCS, grid: WCS, *, shape: tuple[int, int]) -> GridMap:
    """Compute the positions of a grid's pixels on a frame of ``shape`` (ny, nx).

    Raises
    ------
    UnusableData
        If the frame is not on the grid's side of the sky, or its distortion exceeds a surface of degree 5.
    """
    u, v = np.meshgrid(np.linspace(0, shape[1] - 1, SAMPLES), np.linspace(0, shape[0] - 1, SAMPLES))
    x, y = grid.wcs_world2pix(*frame.all_pix2world(u, v, 0), 0)
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise UnusableData("the frame does not lie on the grid: its WCS leads to another part of the sky")
    (transpose, flip_x, flip_y), u, v, upright = _turned(u, v, x, y, shape)
    along, across, column = _fit(v, x, u), _fit(y, x, v), _fit(y, x, u)
    # the determinant of the map grid → frame, from differences of a tenth of a pixel
    right, left, up, down = ((y, x + 0.05), (y, x - 0.05), (y + 0.05, x), (y - 0.05, x))
    dudx, dvdx = ((_at(surface, *right) - _at(surface, *left)) / 0.1 for surface in (column, across))
    dudy, dvdy = ((_at(surface, *up) - _at(surface, *down)) / 0.1 for surface in (column, across))
    area = _fit(y, x, np.abs(dudx * dvdy - dudy * dvdx))
    return GridMap(
        transpose=transpose,
        flip_x=flip_x,
        flip_y=flip_y,
        shape=upright,
        along=along,
        across=across,
        column=column,
        area=area,
    )


def window(mapping: GridMap, rows: slice, columns: slice) -> tuple[slice, slice]:
    """Return the rows and columns of the upright frame that a tile of the grid needs; possibly empty."""
    x = np.linspace(columns.start, columns.stop - 1, SAMPLES)
    tall = _within(mapping.across.on(np.array([rows.start, rows.stop - 1], float), x), mapping.shape[0])
    wide = mapping.along.on(np.array([tall.start, max(tall.start, tall.stop - 1)], float), x)
    return tall, _within(wide, mapping.shape[1])


def resample(
    image: Array,
    weight: Array,
    mapping: GridMap,
    rows: slice,
    columns: slice,
    *,
    first: tuple[int, int] = (0, 0),
    scale: float = 1.0,
) -> tuple[Array, Array]:
    """Return a tile of a grid and its weight: surface brightness times area (conserving flux) times ``scale``.

    Parameters
    ----------
    image, weight
        Upright frame (see ``GridMap.upright``) and its inverse variance, 0 for missing values, float32; or the
        part of both given by ``window``.
    mapping
        From ``grid_map``.
    rows, columns
        The tile of the grid.
    first
        Row and column of the frame at which the part begins.
    scale
        Factor on the flux; weights are divided by its square.

    Returns
    -------
    image, weight
        Shape (rows, columns), float32; the weight is 0, and the image undefined, beyond the frame and at pixels
        with a neighbour without a value.
    """
    if array_namespace(image) is not np:
        return by_arrays(image, weight, mapping, rows, columns, first=first, scale=scale)
    out, weights = (np.empty((rows.stop - rows.start, columns.stop - columns.start), np.float32) for _ in range(2))
    parts = (mapping.surfaces, _polynomials())
    place = (rows.start, columns.start)
    compiled_loops.resample(image, weight, first, mapping.shape, *parts, np.float32(scale), *place, out, weights)
    return out, weights


def by_arrays(
    image: Array,
    weight: Array,
    mapping: GridMap,
    rows: slice,
    columns: slice,
    *,
    first: tuple[int, int] = (0, 0),
    scale: float = 1.0,
) -> tuple[Array, Array]:
    """Do the same as ``resample``, with NumPy or CuPy alone."""
    xp = array_namespace(image)
    across = xp.arange(columns.start, columns.stop, dtype=xp.float64)
    resampled, weights = (xp.zeros((rows.stop - rows.start, across.size), xp.float32) for _ in range(2))
    if min(image.shape) < TAPS:
        return resampled, weights
    stretched = _stretch(image, mapping, first, across)
    for piece in _pieces(rows, across.size, xp):
        place = xp.arange(piece.start, piece.stop, dtype=xp.float64)
        v, u = mapping.across.on(place, across), mapping.column.on(place, across)
        factor = mapping.area.on(place, across).astype(xp.float32) * xp.float32(scale)
        here = slice(piece.start - rows.start, piece.stop - rows.start)
        resampled[here] = _interpolate(stretched, v - first[0]) * factor
        weights[here] = _nearest(weight, v, u, first, mapping.shape) / (factor * factor)
    return resampled, weights


def kernel_weights(offset: Array) -> Array:
    """Return the weights of the six neighbours of positions ``offset`` (0 to 1) beyond a pixel's centre.

    Shape (6, *offset.shape), float32: the first is for the pixel two steps before; they sum to 1.
    """
    xp = array_namespace(offset)
    return xp.asarray(_table())[:, _step(offset)]


def _step(offset: Array) -> Array:
    """Return the nearest step of the table of weights to an offset."""
    xp = array_namespace(offset)
    return xp.rint(offset * STEPS).astype(xp.int64)


def _within(places: Floats, size: int) -> slice:
    """Return the range of pixels around some positions, limited to the frame."""
    # the extremes may lie between the samples, but the map is nearly linear
    low, high = int(places.min()) - TAPS, int(places.max()) + TAPS + 1
    start = min(max(low, 0), size)
    return slice(start, max(start, min(high, size)))


def _stretch(image: Array, mapping: GridMap, first: tuple[int, int], columns: Array) -> Array:
    """Interpolate the rows of a part of the frame at the columns of the grid."""
    xp = array_namespace(image)
    height, nx = image.shape
    out = xp.empty((height, columns.size), xp.float32)
    flat = image.reshape(-1)
    for piece in _pieces(slice(0, height), columns.size, xp):
        rows = xp.arange(piece.start, piece.stop)
        base, step = _split(mapping.along.on((rows + first[0]).astype(xp.float64), columns) - first[1], nx)
        base += (rows * nx)[:, None]
        out[piece] = _sum(flat, base, step, stride=1)
    return out


def _interpolate(stretched: Array, v: Array) -> Array:
    """Interpolate the columns of a stretched frame at its rows ``v``."""
    xp = array_namespace(stretched)
    height, width = stretched.shape
    base, step = _split(v, height)
    base *= width
    base += xp.arange(width)[None, :]
    return _sum(stretched.reshape(-1), base, step, stride=width)


def _split(place: Array, size: int) -> tuple[Array, Array]:
    """Return the first of six neighbours, clipped to the frame, and the step to the next pixel."""
    xp = array_namespace(place)
    whole = xp.floor(place)
    step = _step(place - whole)
    base = whole.astype(xp.int64)
    base -= LANCZOS - 1
    return xp.clip(base, 0, size - TAPS, out=base), step


def _sum(flat: Array, base: Array, step: Array, *, stride: int) -> Array:
    """Return the sum of six neighbours with Lanczos weights."""
    xp = array_namespace(flat)
    total = xp.zeros(base.shape, xp.float32)
    for weights in xp.asarray(_table()):
        part = flat.take(base)
        part *= weights.take(step)
        total += part
        base += stride
    return total


def _nearest(weight: Array, v: Array, u: Array, first: tuple[int, int], shape: tuple[int, int]) -> Array:
    """Return the weight of the nearest pixel, 0 unless all six neighbours are on the frame."""
    xp = array_namespace(weight)
    edge = LANCZOS - 1
    inside = (u >= edge) & (u < shape[1] - LANCZOS) & (v >= edge) & (v < shape[0] - LANCZOS)
    row, column = (
        xp.rint(xp.where(inside, place - start, 0)).astype(xp.int64) for place, start in zip((v, u), first, strict=True)
    )
    row *= weight.shape[1]
    row += column
    return weight.reshape(-1).take(row) * inside


@functools.cache
def _table() -> Floats:
    """Return the weights of six neighbours at each step between two pixels: shape (6, STEPS + 1)."""
    return _kernel(np.arange(STEPS + 1) / STEPS).astype(np.float32)


@functools.cache
def _polynomials() -> Floats:
    """Return the weights as polynomials of the step s from the middle: three even, three odd; shape (6, 6).

    Neighbours on opposite sides have mirrored weights: sum and difference of an even polynomial and an odd one, both of
    degree 5 in s². The error is at most 3e-5.
    """
    s = 0.5 * np.cos(np.pi * (np.arange(64) + 0.5) / 64)
    weights = _kernel(0.5 + s)
    powers = s[:, None] ** (2 * np.arange(6))
    even, odd = (weights[:3] + weights[:2:-1]) / 2, (weights[:3] - weights[:2:-1]) / 2
    fits = [np.linalg.lstsq(powers, even.T)[0].T, np.linalg.lstsq(s[:, None] * powers, odd.T)[0].T]
    return np.vstack(fits).astype(np.float32)


def _kernel(step: Floats) -> Floats:
    """Return the weights of six neighbours at steps from 0 to 1 between two pixels: shape (6, steps).

    Lanczos weights do not reproduce a slope: a star between two pixels moves by up to 0.02 px. The smallest cubic times
    the kernel's window is added that makes their sum 1 and their first three moments about the position 0.
    """
    distance = step - np.arange(1 - LANCZOS, LANCZOS + 1)[:, None]
    window = np.sinc(distance / LANCZOS)
    weights = np.sinc(distance) * window
    powers = np.stack([distance**power for power in range(MOMENTS)])
    missing = np.eye(MOMENTS)[0][:, None] - (powers * weights).sum(axis=1)
    matrix = np.einsum("ats,bts,ts->sab", powers, powers, window)
    cubic = np.linalg.solve(matrix, missing.T[..., None])[..., 0]
    corrected: Floats = weights + window * np.einsum("sa,ats->ts", cubic, powers)
    return corrected


def _pieces(rows: slice, width: int, xp: Any) -> Iterator[slice]:
    step = max(1, CACHE_PIXELS // width) if xp is np else rows.stop - rows.start
    for start in range(rows.start, rows.stop, step):
        yield slice(start, min(start + step, rows.stop))


def _turned(
    u: Floats, v: Floats, x: Floats, y: Floats, shape: tuple[int, int]
) -> tuple[tuple[bool, bool, bool], Floats, Floats, tuple[int, int]]:
    """Return the turns that make the frame upright, its positions then, and its shape."""
    middle = SAMPLES // 2
    across, down = (middle, slice(middle - 1, middle + 2, 2)), (slice(middle - 1, middle + 2, 2), middle)
    transpose = abs(np.ptp(x[across])) / np.ptp(u[across]) < abs(np.ptp(x[down])) / np.ptp(v[down])
    if transpose:
        u, v, x, y, shape = v.T, u.T, x.T, y.T, shape[::-1]
    flip_x, flip_y = bool(np.diff(x[across])[0] < 0), bool(np.diff(y[down])[0] < 0)
    u = shape[1] - 1 - u if flip_x else u
    v = shape[0] - 1 - v if flip_y else v
    if transpose:
        u, v = u.T, v.T
    return (bool(transpose), flip_x, flip_y), u, v, shape


def _fit(row: Floats, column: Floats, value: Floats) -> Surface:
    """Fit a surface of total degree 5 to values at rows and columns."""
    centre = (float(row.min() + row.max()) / 2, float(column.min() + column.max()) / 2)
    half = (max(float(np.ptp(row)) / 2, 1.0), max(float(np.ptp(column)) / 2, 1.0))
    r, c = ((row - centre[0]) / half[0]).ravel(), ((column - centre[1]) / half[1]).ravel()
    powers = [(i, j) for i in range(DEGREE + 1) for j in range(DEGREE + 1 - i)]
    design = np.stack([r**i * c**j for i, j in powers], axis=1)
    solution = np.linalg.lstsq(design, value.ravel(), rcond=None)[0]
    if (worst := float(np.abs(design @ solution - value.ravel()).max())) > LARGEST_RESIDUAL_PX:
        raise UnusableData(f"the frame's distortion is {worst:.3f} px off a surface of degree {DEGREE}")
    coefficients = np.zeros((DEGREE + 1, DEGREE + 1))
    for (i, j), number in zip(powers, solution, strict=True):
        coefficients[i, j] = number
    return Surface(coefficients=coefficients, centre=centre, half=half)


def _at(surface: Surface, row: Floats, column: Floats) -> Floats:
    """Return a surface's values at single points."""
    r, c = (row - surface.centre[0]) / surface.half[0], (column - surface.centre[1]) / surface.half[1]
    values: Floats = np.polynomial.polynomial.polyval2d(r, c, surface.coefficients)
    return values
