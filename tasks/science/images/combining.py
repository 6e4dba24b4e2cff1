"""Combination of a stack of frames, pixel by pixel.

All modes except the mean sort each pixel's values by a network of compare-exchange steps between whole rows of the
stack. Each step is one vectorised minimum and maximum, the same on NumPy and CuPy, and much faster than sorting along
an axis. In sorted order the median is a row, the median absolute deviation a minimum over windows, and the values left
by a clip are neighbours. Sums run over sorted values, so the result does not depend on the order of the frames.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from tasks.science.arrays import MAD_TO_SIGMA, Array, array_namespace, free_memory_bytes, in_threads, to_host

Mode: TypeAlias = Literal["clipped", "seed", "median", "mean"]
Step: TypeAlias = tuple[int, int, bool, bool]
Prepare: TypeAlias = Callable[[Array, int, slice], Array]

# a piece of the stack and its work space fit one core's second-level cache
CACHE_BYTES = 1 << 20
# on a device a piece only has to fit its memory, beside the stack
DEVICE_BYTES = 1 << 31
# host memory for a band of a stack
BAND_BYTES = 1 << 28
# fraction of a device's free memory for a band: the rest is for its work space
DEVICE_FRACTION = 0.15
# a device without memory for this many rows is not used
FEWEST_ROWS = 16
# clipping of the first pipeline: at 3 sigma, in at most 5 rounds
SEED_SIGMA, SEED_ROUNDS = 3.0, 5
# with a population sigma one value of N reaches at most sqrt(N - 1) sigma, so up to 10 are never rejected
SEED_NEVER_REJECTED = 10
# margin: single precision selects pixels that may lose a value, double precision decides
GENEROUS = 0.99
MEDIAN_VARIANCE = math.pi / 2
"""Variance of a median over that of the mean, for many normal values."""


@dataclass(frozen=True, kw_only=True)
class Noise:
    """Least noise of one value: ``read_adu`` and the photon noise of ``value - pedestal_adu``.

    ``gain`` is in e-/ADU. ``scale_adu`` is the level by which frames were divided, 1 if they were not.
    """

    read_adu: float
    gain: float
    pedestal_adu: float = 0.0
    scale_adu: float = 1.0

    def variance(self, centre: Array) -> Array:
        """Return the least variance of a value at ``centre``, in the unit of the stack squared."""
        xp = array_namespace(centre)
        photons = xp.maximum(centre - xp.float32(self.pedestal_adu), 0) / xp.float32(self.gain * self.scale_adu)
        return photons + xp.float32((self.read_adu / self.scale_adu) ** 2)


@dataclass(frozen=True, kw_only=True)
class Combined:
    """A combined image, the variance of its values, and how many frames each pixel kept (float32, float32, uint16)."""

    image: Array
    variance: Array
    count: Array


def combine(stack: Array, *, mode: Mode, noise: Noise, clip_sigma: float = 5.0) -> Combined:
    """Combine frames along the first axis.

    Parameters
    ----------
    stack
        Frames ``(n, ny, nx)``, float32 or an unsigned integer type; NaN in one frame makes the pixel NaN.
    mode
        ``clipped``: mean of the values within ``clip_sigma`` of the median, sigma being the larger of 1.4826 times
        the median absolute deviation and the expected noise; this rejects one bad frame of five. ``seed``: at most
        five rounds that reject beyond 3 population sigma of the mean, then the median. ``median`` and ``mean``: plain.
    noise
        Least noise of a value.
    clip_sigma
        Limit of mode ``clipped``.
    """
    xp = array_namespace(stack)
    n, *shape = stack.shape
    flat = stack.reshape(n, -1)
    image, variance = (xp.empty(flat.shape[1], xp.float32) for _ in range(2))
    count = xp.empty(flat.shape[1], xp.uint16)

    def work(piece: slice) -> None:
        image[piece], variance[piece], count[piece] = _combine(flat[:, piece], mode, noise, clip_sigma)

    pieces = list(_pieces(flat))
    if xp is np:
        in_threads(work, pieces)
    else:
        for piece in pieces:
            work(piece)
    return Combined(image=image.reshape(shape), variance=variance.reshape(shape), count=count.reshape(shape))


def combine_bands(
    bands: Iterable[tuple[slice, Array]],
    shape: tuple[int, int],
    xp: Any,
    *,
    mode: Mode,
    noise: Noise,
    clip_sigma: float,
    prepare: Prepare | None = None,
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Combine frames that come in bands of rows; return image and variance on the host.

    Parameters
    ----------
    bands
        Row slices with their stacks ``(n, rows, nx)``, covering the frames.
    shape
        Shape of a frame.
    xp
        Array module to combine with.
    mode, noise, clip_sigma
        See ``combine``.
    prepare
        Function applied first to each plane of a stack, given the plane, the frame's number and the rows.
    """
    image, variance = (np.empty(shape, np.float32) for _ in range(2))
    for rows, raw in bands:
        stack = xp.asarray(raw)
        if prepare is not None:
            stack = xp.stack([prepare(plane, number, rows) for number, plane in enumerate(stack)])
        combined = combine(stack, mode=mode, noise=noise, clip_sigma=clip_sigma)
        image[rows], variance[rows] = to_host(combined.image), to_host(combined.variance)
    return image, variance


def attempts(number: int, shape: tuple[int, int], xp: Any) -> Iterator[tuple[Any, int]]:
    """Yield array module and rows per band for ``number`` frames, to try until memory suffices.

    On a device the rows are halved each time; the CPU comes last. The result does not depend on the choice.
    """
    row_bytes = number * shape[1] * np.dtype(np.float32).itemsize
    free = free_memory_bytes()
    budget = BAND_BYTES if xp is np or free is None else int(free * DEVICE_FRACTION)
    rows = min(shape[0], max(FEWEST_ROWS, budget // row_bytes))
    while xp is not np and rows >= FEWEST_ROWS:
        yield xp, rows
        rows //= 2
    yield np, min(shape[0], max(FEWEST_ROWS, BAND_BYTES // row_bytes))


def median(stack: Array) -> Array:
    """Return the plain median along the first axis, float32."""
    return combine(stack, mode="median", noise=Noise(read_adu=0, gain=1)).image


@functools.cache
def network(size: int, wanted: tuple[int, ...] | None = None) -> tuple[Step, ...]:
    """Return the compare-exchange steps that sort ``size`` values (Batcher's merge exchange, Knuth 5.2.2 M).

    A step ``(i, j, low, high)`` puts the smaller value at i and the larger at j; ``low`` and ``high`` are True if
    that value is used later. Steps that do not affect the ``wanted`` positions (None: all) are omitted.
    """
    used = set(range(size) if wanted is None else wanted)
    steps: list[Step] = []
    for i, j in reversed(list(_merge_exchange(size))):
        if i in used or j in used:
            steps.append((i, j, i in used, j in used))
            used |= {i, j}
    return tuple(reversed(steps))


def sort_rows(rows: Sequence[Array], steps: Sequence[Step]) -> list[Array]:
    """Apply a network to arrays of equal length, in place, and return them in order."""
    rows = list(rows)
    if not rows:
        return rows
    xp = array_namespace(rows[0])
    spare = xp.empty_like(rows[0])
    for i, j, low, high in steps:
        smaller, larger = rows[i], rows[j]
        if low and high:
            xp.minimum(smaller, larger, out=spare)
            xp.maximum(smaller, larger, out=larger)
            rows[i], spare = spare, smaller
        elif low:
            xp.minimum(smaller, larger, out=smaller)
        else:
            xp.maximum(smaller, larger, out=larger)
    return rows


def _merge_exchange(size: int) -> Iterator[tuple[int, int]]:
    top = 1 << max(0, (size - 1).bit_length() - 1)
    p = top if size > 1 else 0
    while p:
        q, r, d = top, 0, p
        while True:
            yield from ((i, i + d) for i in range(size - d) if i & p == r)
            if q == p:
                break
            d, q, r = q - p, q // 2, p
        p //= 2


def _pieces(flat: Array) -> Iterator[slice]:
    xp = array_namespace(flat)
    size = CACHE_BYTES if xp is np else DEVICE_BYTES
    # memory: the piece, its deviations in float32 and about eight rows of results
    length = max(1024, size // ((flat.dtype.itemsize + 4) * (flat.shape[0] + 8)))
    yield from (slice(start, start + length) for start in range(0, flat.shape[1], length))


def _combine(values: Array, mode: Mode, noise: Noise, clip_sigma: float) -> tuple[Array, Array, Array | int]:
    """Combine one piece ``(n, m)``."""
    n = values.shape[0]
    if mode == "mean":
        deviations = _deviations(list(values), values[0].astype("f4"))
        shift, variance = _moments(deviations, noise)
        return values[0] + shift, variance, n
    rows = sort_rows(list(values.copy()), network(n))
    centre = _middle(rows)
    deviations = _deviations(rows, centre)
    if mode == "clipped":
        return _clipped(deviations, centre, noise, clip_sigma)
    if mode == "seed" and n > SEED_NEVER_REJECTED:
        return _seed(deviations, centre, noise)
    return centre, MEDIAN_VARIANCE * _moments(deviations, noise)[1], n


def _middle(rows: Sequence[Array]) -> Array:
    """Return the median of sorted rows, float32."""
    n = len(rows)
    upper = rows[n // 2].astype("f4")
    return upper if n % 2 else (rows[n // 2 - 1].astype("f4") + upper) * upper.dtype.type(0.5)


def _deviations(rows: Sequence[Array], centre: Array) -> Array:
    xp = array_namespace(centre)
    deviations = xp.empty((len(rows), centre.size), xp.float32)
    for row, deviation in zip(rows, deviations, strict=True):
        xp.subtract(row, centre, out=deviation, dtype=xp.float32)
    return deviations


def _moments(deviations: Array, noise: Noise) -> tuple[Array, Array]:
    """Return the mean of the deviations and its variance, from the scatter of the values."""
    xp = array_namespace(deviations)
    n = len(deviations)
    total, square, squares = xp.zeros_like(deviations[0]), xp.empty_like(deviations[0]), xp.zeros_like(deviations[0])
    for deviation in deviations:
        total += deviation
        xp.multiply(deviation, deviation, out=square)
        squares += square
    mean = total / xp.float32(n)
    if n == 1:
        return mean, xp.full_like(mean, (noise.read_adu / noise.scale_adu) ** 2)
    return mean, xp.maximum(squares - mean * total, 0) / xp.float32(n * (n - 1))


def _mad(deviations: Array) -> Array:
    """Return the median absolute deviation of sorted deviations from their median.

    The k values nearest to the centre are neighbours in sorted order. So the k-th smallest distance is the minimum,
    over all runs of k values, of the larger distance of the run's two ends.
    """
    n = len(deviations)
    ranks = (n // 2 + 1,) if n % 2 else (n // 2, n // 2 + 1)
    distances = [_kth_distance(deviations, rank) for rank in ranks]
    return distances[0] if len(distances) == 1 else (distances[0] + distances[1]) * distances[0].dtype.type(0.5)


def _kth_distance(deviations: Array, k: int) -> Array:
    xp = array_namespace(deviations)
    nearest = xp.full_like(deviations[0], xp.inf)
    reach = xp.empty_like(nearest)
    for first, last in zip(deviations[: len(deviations) - k + 1], deviations[k - 1 :], strict=True):
        xp.negative(first, out=reach)
        xp.maximum(reach, last, out=reach)
        xp.minimum(nearest, reach, out=nearest)
    return nearest


def _clipped(deviations: Array, centre: Array, noise: Noise, clip_sigma: float) -> tuple[Array, Array, Array]:
    xp = array_namespace(centre)
    n = len(deviations)
    spread = xp.float32(MAD_TO_SIGMA) * _mad(deviations)
    limit = xp.float32(clip_sigma) * xp.sqrt(xp.maximum(spread * spread, noise.variance(centre)))
    mean, variance = _moments(deviations, noise)
    count = xp.full(centre.size, n, xp.uint16)
    (hit,) = xp.nonzero(xp.maximum(-deviations[0], deviations[-1]) > limit)
    if hit.size:
        kept = deviations[:, hit]
        keep = xp.abs(kept) <= limit[hit]
        mean[hit], variance[hit], count[hit] = _masked_moments(kept, keep, noise)
    return centre + mean, variance, count


def _seed(deviations: Array, centre: Array, noise: Noise) -> tuple[Array, Array, Array]:
    xp = array_namespace(centre)
    n = len(deviations)
    mean, variance = _moments(deviations, noise)
    limit = xp.float32(GENEROUS * SEED_SIGMA * math.sqrt(n - 1)) * xp.sqrt(variance)
    count = xp.full(centre.size, n, xp.uint16)
    (hit,) = xp.nonzero(xp.maximum(mean - deviations[0], deviations[-1] - mean) > limit)
    if hit.size:
        kept = deviations[:, hit]
        keep = _seed_survivors(kept)
        centre[hit] += _median_of_run(kept, keep)
        _, variance[hit], count[hit] = _masked_moments(kept, keep, noise)
    return centre, MEDIAN_VARIANCE * variance, count


def _seed_survivors(values: Array) -> Array:
    """Run the seed's rejection rounds exactly on a few pixels ``(n, m)``; return the mask of kept values.

    The test uses neither root nor quotient: sums of counts are exact, and a value at exactly three sigma is kept.
    """
    xp = array_namespace(values)
    values = values.astype(xp.float64)
    keep = xp.ones(values.shape, bool)
    for _ in range(SEED_ROUNDS):
        number = keep.sum(axis=0)
        kept = xp.where(keep, values, 0)
        total, squares = kept.sum(axis=0), (kept * kept).sum(axis=0)
        far = (number * values - total) ** 2 > SEED_SIGMA**2 * (number * squares - total * total)
        far &= number > SEED_NEVER_REJECTED
        if not bool((keep & far).any()):
            break
        keep &= ~far
    return keep


def _median_of_run(values: Array, keep: Array) -> Array:
    """Return the median of the kept values, which are neighbours in sorted order."""
    xp = array_namespace(values)
    first, number = keep.argmax(axis=0), keep.sum(axis=0)
    low, high = first + (number - 1) // 2, first + number // 2
    ends = xp.take_along_axis(values, xp.stack([low, high]), axis=0)
    return (ends[0] + ends[1]) * xp.float32(0.5)


def _masked_moments(values: Array, keep: Array, noise: Noise) -> tuple[Array, Array, Array]:
    xp = array_namespace(values)
    number = keep.sum(axis=0)
    mean = xp.where(keep, values, 0).sum(axis=0, dtype=xp.float32) / number
    squares = (xp.where(keep, values - mean, 0) ** 2).sum(axis=0, dtype=xp.float32)
    alone = (noise.read_adu / noise.scale_adu) ** 2
    variance = xp.where(number > 1, squares / xp.maximum(number * (number - 1), 1), alone)
    return mean.astype(xp.float32), variance.astype(xp.float32), number.astype(xp.uint16)
