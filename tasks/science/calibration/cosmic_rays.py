"""Detection of cosmic rays by L.A.Cosmic (van Dokkum 2001, PASP 113, 1420).

The mask equals that of astroscrappy with separable medians, except at the borders, which astroscrappy skips. One pass
over the image finds the few pixels whose Laplacian may exceed the limit; noise, medians and fine structure are computed
only at those and their neighbours. Later rounds search only around the pixels cleaned last. Nothing is approximated:
the first pass uses a lower bound of the noise in each pixel's neighbourhood.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tasks.science.arrays import Array, array_namespace
from tasks.science.images import combining

# distance from a pixel to the furthest one that affects it: growth 2, median of S 3, median of variance 3
REACH = 8
# more than REACH, so that all neighbours of a pixel lie on the padded image
PAD = 12
# side of the boxes whose least variance bounds the noise; the 3 x 3 boxes around a pixel contain its median window
BOX = 32
# the bound of astroscrappy, which keeps the noise above 0
LEAST_VARIANCE = 1e-5
# the bound of van Dokkum's lacos_im and of astroscrappy, which keeps the contrast finite
LEAST_STRUCTURE = 0.01
# number of pixels gathered at once: 81 rows of them fit a second-level cache
GATHER = 1 << 12
# number of pixels of a band of rows: its Laplacian stays in a cache
BAND_PIXELS = 1 << 15


@dataclass(frozen=True, kw_only=True)
class CosmicRayLimits:
    """The limits of L.A.Cosmic.

    ``sigma`` is the limit of the Laplacian over noise; ``fraction`` is the factor on it next to a hit; ``contrast`` is
    the least ratio of Laplacian to fine structure; ``rounds`` is the largest number of searches.
    """

    sigma: float = 4.5
    fraction: float = 0.3
    contrast: float = 5.0
    rounds: int = 4


STANDARD = CosmicRayLimits()


def detect(image: Array, variance: Array, *, ignore: Array, limits: CosmicRayLimits = STANDARD) -> Array:
    """Return a mask of the pixels hit by cosmic rays.

    Parameters
    ----------
    image, variance
        Image ``(ny, nx)`` with its sky, and its variance in the image's unit squared; finite.
    ignore
        Mask of pixels that are neither marked as hits nor used to replace one.
    limits
        See ``CosmicRayLimits``.
    """
    field = _Field(image, variance, ignore)
    where = _first_candidates(field, limits)
    for _ in range(limits.rounds):
        hits = _round(field, where, limits)
        if not hits.size:
            break
        field.hit[hits] = True
        _clean(field)
        where = field.around(hits, REACH)
    ny, nx = image.shape
    return field.hit.reshape(ny + 2 * PAD, nx + 2 * PAD)[PAD:-PAD, PAD:-PAD].copy()


class _Field:
    """An image padded by its edge and flattened, so that each neighbour is at a constant step."""

    def __init__(self, image: Array, variance: Array, ignore: Array) -> None:
        self.xp = array_namespace(image)
        self.width = image.shape[1] + 2 * PAD
        self.height = image.shape[0] + 2 * PAD
        self.data = self.xp.pad(image.astype(self.xp.float32), PAD, mode="edge").ravel()
        self.variance = self.xp.pad(variance.astype(self.xp.float32), PAD, mode="edge").ravel()
        self.allowed = ~self.xp.pad(ignore, PAD, mode="constant", constant_values=True).ravel()
        self.hit = self.xp.zeros(self.data.shape, bool)
        self.scratch = self.xp.empty_like(self.data)

    def around(self, where: Array, radius: int) -> Array:
        """Return all pixels within ``radius`` rows and columns of ``where``, each once, sorted."""
        marked = self.xp.zeros(self.data.shape, bool)
        for dy in range(-radius, radius + 1):
            marked[where + dy * self.width] = True
        (column,) = self.xp.nonzero(marked)
        for dx in range(-radius, radius + 1):
            marked[self.xp.clip(column + dx, 0, marked.size - 1)] = True
        return self.xp.nonzero(marked)[0]

    def separable_median(self, values: Array, where: Array, radius: int) -> Array:
        """Return medians along rows, then of those along columns, at some pixels."""
        result = self.xp.empty(where.shape, self.xp.float32)
        for piece in self._pieces(where.size):
            columns = [
                _median([values[where[piece] + (dy * self.width + dx)] for dx in range(-radius, radius + 1)])
                for dy in range(-radius, radius + 1)
            ]
            result[piece] = _median(columns)
        return result

    def noise(self, where: Array) -> Array:
        """Return the noise of a pixel without a hit."""
        smooth = self.separable_median(self.variance, where, 3)
        return self.xp.sqrt(self.xp.maximum(smooth, self.xp.float32(LEAST_VARIANCE)))

    def signal(self, where: Array) -> Array:
        """Return the Laplacian over noise, S in the paper."""
        step = self.width
        rows = [self.data[where + offset] for offset in (0, -step, step, -1, 1)]
        return _laplacian(*rows) / (2 * self.noise(where))

    def sharpness(self, where: Array) -> Array:
        """Return S minus its median around, S' in the paper."""
        near = self.around(where, 3)
        self.scratch[near] = self.signal(near)
        return self.scratch[where] - self.separable_median(self.scratch, where, 3)

    def structure(self, where: Array) -> Array:
        """Return the fine structure over noise: the part that a median of 5 keeps and one of 9 removes."""
        near = self.around(where, 4)
        self.scratch[near] = self.separable_median(self.data, near, 2)
        fine = self.scratch[where] - self.separable_median(self.scratch, where, 4)
        return self.xp.maximum(fine / self.noise(where), self.xp.float32(LEAST_STRUCTURE))

    def _pieces(self, size: int) -> Iterator[slice]:
        step = GATHER if self.xp is np else max(size, 1)
        yield from (slice(start, start + step) for start in range(0, size, step))


def _round(field: _Field, where: Array, limits: CosmicRayLimits) -> Array:
    """Return the hits among some pixels and their neighbours."""
    where = where[field.allowed[where]]
    where = where[field.signal(where) > limits.sigma]
    if not where.size:
        return where
    sharp = field.sharpness(where)
    where, sharp = where[sharp > limits.sigma], sharp[sharp > limits.sigma]
    where = where[sharp / field.structure(where) > limits.contrast]
    for limit in (limits.sigma, limits.sigma * limits.fraction):
        if where.size:
            where = field.around(where, 1)
            where = where[field.allowed[where]]
            where = where[field.sharpness(where) > limit]
    return where


def _first_candidates(field: _Field, limits: CosmicRayLimits) -> Array:
    """Return the pixels whose Laplacian exceeds the limit for the lower bound of their noise."""
    xp, height, width = field.xp, field.height, field.width
    data = field.data.reshape(height, width)
    least = _least_noise(field)
    candidates = []
    rows = max(1, BAND_PIXELS // width) if xp is np else height
    for start in range(PAD, height - PAD, rows):
        stop = min(start + rows, height - PAD)
        centre, up, down = data[start:stop], data[start - 1 : stop - 1], data[start + 1 : stop + 1]
        inner = [centre[:, 1:-1], up[:, 1:-1], down[:, 1:-1], centre[:, :-2], centre[:, 2:]]
        limit = xp.repeat(least[xp.arange(start, stop) // BOX], BOX, axis=1)[:, 1 : width - 1]
        y, x = xp.nonzero(_laplacian(*inner) > xp.float32(2 * limits.sigma) * limit)
        candidates.append((y + start) * width + (x + 1))
    return xp.concatenate(candidates)


def _least_noise(field: _Field) -> Array:
    """Return a lower bound of the noise for each box of the padded image."""
    xp = field.xp
    rows, columns = -(-field.height // BOX), -(-field.width // BOX)
    whole = xp.full((rows * BOX, columns * BOX), xp.inf, xp.float32)
    whole[: field.height, : field.width] = field.variance.reshape(field.height, field.width)
    boxes = whole.reshape(rows, BOX, columns, BOX).min(axis=(1, 3))
    wide = xp.pad(boxes, 1, mode="edge")
    for axis, size in ((0, rows), (1, columns)):
        wide = xp.stack([xp.take(wide, xp.arange(size) + step, axis=axis) for step in range(3)]).min(axis=0)
    return xp.sqrt(xp.maximum(wide, xp.float32(LEAST_VARIANCE)))


def _laplacian(centre: Array, up: Array, down: Array, left: Array, right: Array) -> Array:
    """Return the positive Laplacian of the image sampled at half the step, averaged back: L+ in the paper.

    Each of the four sub-pixels borders on two neighbours and twice on its own pixel.
    """
    xp = array_namespace(centre)
    twice = centre + centre
    total = xp.zeros_like(twice)
    for vertical in (up, down):
        part = twice - vertical
        for horizontal in (left, right):
            total += xp.maximum(part - horizontal, 0)
    return total * xp.float32(0.25)


def _median(rows: list[Array]) -> Array:
    middle = len(rows) // 2
    return combining.sort_rows(rows, combining.network(len(rows), (middle,)))[middle]


def _clean(field: _Field) -> None:
    """Replace hits, in image and variance, by the mean of the good pixels within 2 px, or else by the median."""
    xp = field.xp
    (where,) = xp.nonzero(field.hit)
    steps = [dy * field.width + dx for dy in range(-2, 3) for dx in range(-2, 3)]
    good = xp.stack([field.allowed[where + step] & ~field.hit[where + step] for step in steps])
    number = good.sum(axis=0)
    for values in (field.data, field.variance):
        near = xp.stack([values[where + step] for step in steps])
        mean = xp.where(good, near, 0).sum(axis=0, dtype=xp.float32) / xp.maximum(number, 1)
        if bool((number == 0).any()):
            mean = xp.where(number == 0, xp.median(values[field.allowed]), mean)
        values[where] = mean
