"""Coadding of frames on one grid: inverse-variance weighted mean, with outliers of single frames clipped.

The grid is processed in tiles, each of which reads only the pixels it needs from each frame. So a hundred frames need
no more memory than nine, and frames stay on disk or on a device.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from astropy.wcs import WCS

from tasks import constants
from tasks.errors import UnusableData
from tasks.science.arrays import Array, array_namespace, to_host
from tasks.science.images import combining, compiled_loops, masks, resampling
from tasks.science.images.backgrounds import Background, Window
from tasks.science.images.resampling import GridMap

Mode: TypeAlias = Literal["clipped", "mean", "seed"]
Floats = np.ndarray[Any, Any]

# a frame rotated by a degree needs a few rows more than its tile has
TILE_ROWS, TILE_COLUMNS = 256, 1024
# smaller tiles read more margin than tile
SMALLEST_TILE = 64
MEDIAN_EFFICIENCY = (1.0, 1.0, 1.0, 0.743, 0.838, 0.697, 0.776, 0.679, 0.743, 0.669, 2 / np.pi)
"""Variance of a mean over that of a median, by the number of normal values; the last one holds for more."""


@dataclass(frozen=True, kw_only=True)
class CoaddInput:
    """A frame of ``shape`` (ny, nx): its pixels without their sky, WCS, and the factor on its flux."""

    window: Window
    shape: tuple[int, int]
    wcs: WCS
    scale: float = 1.0


@dataclass(frozen=True, kw_only=True)
class CoaddRecipe:
    """How the values of one pixel are combined.

    ``clipped`` is the weighted mean without values further from the median than ``sigma`` of their own noise plus
    ``fraction`` of the median (Gruen, Seitz and Bernstein 2014, PASP 126, 158); ``mean`` keeps
    all; ``seed`` is the median.
    """

    mode: Mode = "clipped"
    sigma: float = 5.0
    fraction: float = 0.3


@dataclass(frozen=True, kw_only=True)
class Coadd:
    """The combined image, its inverse variance (0 where no frame has a value), and how many frames each pixel has."""

    image: Floats
    weight: Floats
    count: Floats


def without_sky(window: Window, background: Background) -> Window:
    """Return a function that gives parts of an image less its background, and of its weight."""

    def flat(rows: slice, columns: slice) -> tuple[Floats, Floats]:
        image, weight = window(rows, columns)
        return background.less(image, rows, columns), weight

    return flat


def coadd(
    exposures: Sequence[CoaddInput],
    grid: WCS,
    *,
    shape: tuple[int, int],
    recipe: CoaddRecipe = CoaddRecipe(),
    memory_mb: float = 512,
    threads: int = 2,
    xp: Any = np,
) -> Coadd:
    """Resample exposures onto a grid of ``shape`` (ny, nx) and combine them.

    Parameters
    ----------
    exposures
        Frames, in any order; they are read several times, in parts.
    grid
        WCS of the result.
    shape
        Rows and columns of the result.
    recipe
        How values are combined.
    memory_mb
        Most memory for the resampled values of all frames, beside the result, in MiB; more frames have smaller tiles.
    threads
        Tiles processed at a time, on the CPU.
    xp
        Array module to work with.

    Raises
    ------
    UnusableData
        If there are no exposures, or one of them does not overlap the grid.
    """
    if not exposures:
        raise UnusableData("a stack needs at least one frame, got none")
    ready = [ReorientedImage.of(exposure, grid) for exposure in exposures]
    stack = Coadd(
        image=np.empty(shape, np.float32), weight=np.empty(shape, np.float32), count=np.empty(shape, np.uint16)
    )

    def work(tile: tuple[slice, slice]) -> None:
        values, weights = _stacked([frame.on(*tile, xp) for frame in ready], xp)
        parts = map(to_host, combine(values, weights, recipe=recipe))
        stack.image[tile], stack.weight[tile], stack.count[tile] = parts

    with ThreadPoolExecutor(threads if xp is np else 1) as pool:
        list(pool.map(work, _tiles(shape, threads * len(ready), memory_mb)))
    return stack


def combine(values: Array, weights: Array, *, recipe: CoaddRecipe) -> tuple[Array, Array, Array]:
    """Return image, weight and number of values of stacks ``(n, ny, nx)``, float32; overwrites neither."""
    if array_namespace(values) is not np:
        return by_arrays(values, weights, recipe=recipe)
    shape = values.shape[1:]
    image, total, count = np.empty(shape, np.float32), np.empty(shape, np.float32), np.empty(shape, np.uint16)
    clipped, median = _plan(len(values), recipe)
    limits = np.array([recipe.sigma if clipped else np.inf, recipe.fraction], np.float32)
    efficiency = np.array(MEDIAN_EFFICIENCY if median else (), np.float32)
    compiled_loops.combine(values, weights, _steps(len(values)), limits, efficiency, image, total, count)
    return image, total, count


def by_arrays(values: Array, weights: Array, *, recipe: CoaddRecipe) -> tuple[Array, Array, Array]:
    """Do what ``combine`` does, with NumPy or CuPy alone."""
    xp = array_namespace(values)
    clipped, median = _plan(len(values), recipe)
    present = weights > 0
    centre = _median(values, present) if clipped or median else None
    if clipped:
        noise = 1 / xp.sqrt(xp.where(present, weights, xp.float32(1)))
        limit = xp.float32(recipe.sigma) * noise + xp.float32(recipe.fraction) * xp.abs(centre)
        present &= xp.abs(values - centre) <= limit
    count = present.sum(axis=0).astype(xp.uint16)
    weights = weights * present
    total = weights.sum(axis=0)
    if median:
        efficiency = xp.asarray(MEDIAN_EFFICIENCY, xp.float32)
        return centre, total * efficiency[xp.minimum(count, efficiency.size - 1)], count
    mean = (values * weights).sum(axis=0) / xp.where(total > 0, total, xp.float32(1))
    return mean, total, count


def _plan(number: int, recipe: CoaddRecipe) -> tuple[bool, bool]:
    """Return whether values are clipped, and whether the median is computed."""
    return recipe.mode == "clipped" and number >= constants.SMALLEST_CLIPPED, recipe.mode == "seed"


@functools.cache
def _steps(number: int) -> Floats:
    return np.array([step[:2] for step in combining.network(number)], np.int64).reshape(-1, 2)


def _tiles(shape: tuple[int, int], parts: int, memory_mb: float) -> Iterator[tuple[slice, slice]]:
    """Yield the tiles of a grid; ``parts`` at a time stay within the memory."""
    # image and weight, resampled, and as read
    pixels = memory_mb * 2**20 / (parts * 2 * 2 * 4)
    columns = int(min(TILE_COLUMNS, max(SMALLEST_TILE, pixels // TILE_ROWS)))
    rows = int(min(TILE_ROWS, max(SMALLEST_TILE, pixels // columns)))
    for row in range(0, shape[0], rows):
        for column in range(0, shape[1], columns):
            yield slice(row, min(row + rows, shape[0])), slice(column, min(column + columns, shape[1]))


def _stacked(parts: Sequence[tuple[Array, Array]], xp: Any) -> tuple[Array, Array]:
    return xp.stack([part[0] for part in parts]), xp.stack([part[1] for part in parts])


@dataclass(frozen=True, kw_only=True)
class ReorientedImage:
    """An exposure turned as the grid is."""

    exposure: CoaddInput
    mapping: GridMap

    @classmethod
    def of(cls, exposure: CoaddInput, grid: WCS) -> ReorientedImage:
        """Return an exposure turned to the grid's orientation."""
        return cls(exposure=exposure, mapping=resampling.grid_map(exposure.wcs, grid, shape=exposure.shape))

    def on(self, rows: slice, columns: slice, xp: Any) -> tuple[Array, Array]:
        """Return a tile of the grid on the common flux scale."""
        tall, wide = resampling.window(self.mapping, rows, columns)
        if min(tall.stop - tall.start, wide.stop - wide.start) < resampling.TAPS:
            nothing = xp.zeros((rows.stop - rows.start, columns.stop - columns.start), xp.float32)
            return nothing, nothing
        image, weight = (xp.asarray(self.mapping.upright(plane)) for plane in self._part(tall, wide))
        first = (tall.start, wide.start)
        return resampling.resample(image, weight, self.mapping, rows, columns, first=first, scale=self.exposure.scale)

    def _part(self, tall: slice, wide: slice) -> tuple[Floats, Floats]:
        """Return a part of the frame; pixels beside one without value lose theirs, of which half would be made up."""
        rows, columns = self.mapping.original(tall, wide)
        ny, nx = self.exposure.shape
        wider = (
            slice(max(0, rows.start - 1), min(ny, rows.stop + 1)),
            slice(max(0, columns.start - 1), min(nx, columns.stop + 1)),
        )
        image, weight = self.exposure.window(*wider)
        bad = ~(weight > 0) | ~np.isfinite(image)
        if bad.any():
            weight = np.where(masks.grow(bad), np.float32(0), weight)
            image = np.where(np.isfinite(image), image, np.float32(0))
        inner = tuple(
            slice(part.start - around.start, part.stop - around.start)
            for part, around in zip((rows, columns), wider, strict=True)
        )
        return image[inner], weight[inner]


def _median(values: Array, present: Array) -> Array:
    """Return the median of the values present; 0 where there are none."""
    xp = array_namespace(values)
    n = len(values)
    sorted_rows = xp.where(present, values, xp.inf).astype(xp.float32)
    ordered = xp.stack(combining.sort_rows(list(sorted_rows), combining.network(n)))
    number = present.sum(axis=0)
    low = xp.take_along_axis(ordered, xp.maximum(number - 1, 0)[None] // 2, axis=0)[0]
    high = xp.take_along_axis(ordered, xp.minimum(number // 2, n - 1)[None], axis=0)[0]
    return xp.where(number > 0, (low + high) * xp.float32(0.5), xp.float32(0))
