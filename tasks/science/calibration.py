"""From raw counts to calibrated lights: bias, dark, flat, noise, masks, and which frames may make a master.

Counts are ADU, gain is e-/ADU, read noise e-. A master is an image with the variance of that image. Masks on disk are
bits of ``MaskBit``; the equations are those of a linear detector whose dark current grows with the exposure time.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from tasks.errors import UnusableData
from tasks.records import MaskBit
from tasks.science.arrays import MAD_TO_SIGMA, Array, array_namespace, nmad

# pixels that share a cache: about 12 rows of float32 work space in 2 MiB
CACHE_PIXELS = 1 << 15
# NumPy works outside the interpreter's lock; a light is bound by memory, which more threads do not make faster
THREADS = 2
BAD_SIGMA = 5.0
BAD_FLAT = (0.5, 1.5)
OUTLIER_NMAD = 5.0
OUTLIER_SIGNAL = 0.02
# of three frames the scatter says little: a tenth of the dark signal is more than a dark current drifts
LARGEST_DRIFT = 0.1
OUTLIER_ADU = 1.0
BOX_PX = 64
FILL_RADII_PX = (1, 2, 4)
FLAT_PEAK_PERCENT = 99.9
# causes in a bad-pixel map
BAD_DARK, BAD_NOISE, BAD_FLAT_BIT = 1, 2, 4


@dataclass(frozen=True, kw_only=True)
class Master:
    """A master frame: an image ``(ny, nx)`` and the variance of that image, float32."""

    image: Array
    variance: Array


@dataclass(frozen=True, kw_only=True)
class Correction:
    """What turns a raw light into an image and its variance, worked out once for all lights that share masters.

    ``image = (raw - offset) inverse`` and ``variance = max(raw photons + start, base) + image² relative``, where
    ``photons`` is ``inverse²/gain`` and ``start`` is ``base - bias photons``: below the bias there are no photons.
    Where the flat has no value ``inverse`` is 0 and ``empty`` is True.
    """

    offset: Array
    inverse: Array
    photons: Array
    start: Array
    base: Array
    relative: Array
    empty: Array


@dataclass(frozen=True, kw_only=True)
class Planes:
    """A calibrated frame: image in ADU, variance in ADU² (float32) and ``MaskBit`` bits (uint8), each ``(ny, nx)``."""

    image: Array
    variance: Array
    mask: Array


def outliers(levels_adu: Sequence[float], *, signal_adu: float = 0.0) -> tuple[bool, ...]:
    """Tell which frames of a set have a level that the others do not have.

    Parameters
    ----------
    levels_adu
        Median level of each frame. Of fewer than three, none is called an outlier.
    signal_adu
        Dark signal in that level. Tolerated are 1 ADU, 2 % of the signal and 5 times the set's scatter, which counts
        as a tenth of the signal at most.
    """
    levels = np.asarray(levels_adu, float)
    if levels.size < 3:
        return (False,) * levels.size
    distance = np.abs(levels - np.median(levels))
    scatter = OUTLIER_NMAD * float(nmad(levels))
    if signal_adu > 0:
        scatter = min(scatter, LARGEST_DRIFT * signal_adu)
    limit = max(scatter, OUTLIER_SIGNAL * signal_adu, OUTLIER_ADU)
    return tuple(bool(far) for far in distance > limit)


def pair_noise(first: Array, second: Array) -> float:
    """Return the noise of one frame, in ADU, from the scatter of the difference of two of the same level."""
    xp = array_namespace(first)
    difference = first.astype(xp.float32) - second.astype(xp.float32)
    difference = difference - xp.median(difference)
    # a step of digitisation at least, else a median deviation of 0 would leave nothing
    limit = BAD_SIGMA * max(float(MAD_TO_SIGMA * xp.median(xp.abs(difference))), 1.0)
    kept = difference[xp.abs(difference) <= limit]
    return float(xp.sqrt(xp.mean(kept.astype(xp.float64) ** 2) / 2))


def subtract(dark: Master, bias: Master) -> Master:
    """Return a combined dark minus the master bias."""
    return Master(image=dark.image - bias.image, variance=dark.variance + bias.variance)


def flat_signal(raw: Array, bias: Master, dark: Master, *, scale: float) -> Array:
    """Return a raw flat minus bias and minus ``scale`` times the dark."""
    xp = array_namespace(raw)
    return raw.astype(xp.float32) - bias.image - xp.float32(scale) * dark.image


def renormalise(flat: Master) -> tuple[Master, float]:
    """Divide a flat by the median of its central quarter; return it and that factor."""
    xp = array_namespace(flat.image)
    ny, nx = flat.image.shape
    centre = flat.image[ny // 4 : ny - ny // 4, nx // 4 : nx - nx // 4]
    factor = float(xp.median(centre[xp.isfinite(centre)])) if bool(xp.isfinite(centre).any()) else 0.0
    if not factor > 0:
        raise UnusableData(f"the centre of the flat has the level {factor:g} (allowed: above 0)")
    return Master(image=flat.image / xp.float32(factor), variance=flat.variance / xp.float32(factor**2)), factor


def local_level(image: Array, *, box_px: int = BOX_PX) -> Array:
    """Return a smooth image: medians of boxes, joined linearly; constant beyond the outermost centres."""
    xp = array_namespace(image)
    ny, nx = image.shape
    by, bx = min(box_px, ny), min(box_px, nx)
    my, mx = ny // by, nx // bx
    boxes = image[: my * by, : mx * bx].reshape(my, by, mx, bx).swapaxes(1, 2).reshape(my, mx, by * bx)
    mesh = xp.median(boxes, axis=-1).astype(xp.float32)
    return _weights(xp, ny, by, my) @ mesh @ _weights(xp, nx, bx, mx).T


def bad_pixels(bias: Master, dark: Master) -> Array:
    """Return a map of bad pixels, uint8: bit 1 where the dark stands out, bit 2 where the bias is noisy."""
    xp = array_namespace(bias.image)
    finite = xp.isfinite(dark.image)
    deviation = dark.image - local_level(xp.where(finite, dark.image, xp.median(dark.image[finite])))
    sigma = max(float(nmad(deviation)), float(xp.sqrt(xp.median(dark.variance))))
    noise = xp.sqrt(bias.variance)
    noisy = noise - xp.median(noise) > BAD_SIGMA * nmad(noise)
    stands_out = ~(xp.abs(deviation) <= BAD_SIGMA * sigma)
    return stands_out.astype(xp.uint8) * xp.uint8(BAD_DARK) | noisy.astype(xp.uint8) * xp.uint8(BAD_NOISE)


def bad_flat(flat: Master) -> Array:
    """Return a map of bad pixels, uint8: bit 4 where the flat is not finite or far from its surroundings."""
    xp = array_namespace(flat.image)
    finite = xp.isfinite(flat.image)
    image = xp.where(finite, flat.image, xp.float32(1))
    ratio = image / xp.maximum(local_level(image), xp.float32(1e-6))
    good = finite & (ratio >= BAD_FLAT[0]) & (ratio <= BAD_FLAT[1])
    return (~good).astype(xp.uint8) * xp.uint8(BAD_FLAT_BIT)


def correction(
    bias: Master, dark: Master, flat: Master, *, scale: float, gain: float, read_noise_e: float
) -> Correction:
    """Work out what all lights of one filter and exposure time share; ``scale`` is t/t_dark."""
    xp = array_namespace(bias.image)
    empty = ~(xp.isfinite(flat.image) & (flat.image > 0))
    inverse = xp.where(empty, xp.float32(0), 1 / xp.where(empty, xp.float32(1), flat.image))
    square = inverse * inverse
    read = xp.float32((read_noise_e / gain) ** 2)
    photons = square / xp.float32(gain)
    base = (read + bias.variance + xp.float32(scale**2) * dark.variance) * square
    return Correction(
        offset=bias.image + xp.float32(scale) * dark.image,
        inverse=inverse,
        photons=photons,
        start=base - bias.image * photons,
        base=base,
        relative=xp.where(empty, xp.float32(0), flat.variance) * square,
        empty=empty,
    )


def calibrate(raw: Array, shared: Correction, *, bad: Array, saturation_adu: float) -> Planes:
    """Calibrate one raw light; nothing is interpolated yet.

    Parameters
    ----------
    raw
        Counts ``(ny, nx)``, any real type.
    shared
        From ``correction``, for this light's filter and exposure time.
    bad
        Map of bad pixels: not 0 where bad.
    saturation_adu
        Raw value at and above which a pixel is saturated.
    """
    xp = array_namespace(raw)
    image, variance = xp.empty(raw.shape, xp.float32), xp.empty(raw.shape, xp.float32)
    mask, saturated = xp.empty(raw.shape, xp.uint8), xp.empty(raw.shape, bool)

    def work(pieces: Sequence[slice]) -> None:
        for piece in pieces:
            _calibrate_rows(raw[piece], shared, piece, image[piece], variance[piece])
            _mask_rows(bad[piece], shared.empty[piece], mask[piece])
            xp.greater_equal(raw[piece], saturation_adu, out=saturated[piece])

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(work, _shares(raw.shape) if xp is np else [[slice(None)]]))
    if bool(saturated.any()):
        mask |= grow(saturated).view(xp.uint8) * xp.uint8(MaskBit.SATURATED)
    return Planes(image=image, variance=variance, mask=mask)


def grow(mask: Array) -> Array:
    """Return a mask grown by one pixel in all eight directions."""
    grown = mask.copy()
    grown[1:] |= mask[:-1]
    grown[:-1] |= mask[1:]
    across = grown.copy()
    across[:, 1:] |= grown[:, :-1]
    across[:, :-1] |= grown[:, 1:]
    return across


def interpolate(planes: Planes, holes: MaskBit = MaskBit.BAD | MaskBit.COSMIC_RAY | MaskBit.NO_DATA) -> Planes:
    """Fill pixels that carry any of the bits ``holes`` with the mean of the good ones around, and set bit 8.

    A hole that has no good pixel within 4 px gets the median of the frame's good pixels.
    """
    xp = array_namespace(planes.image)
    unusable = planes.mask != 0
    y, x = xp.divmod(xp.flatnonzero((planes.mask & xp.uint8(holes)).view(bool)), planes.mask.shape[1])
    if not y.size:
        return planes
    image, variance, mask = planes.image.copy(), planes.variance.copy(), planes.mask.copy()
    mask[y, x] |= xp.uint8(MaskBit.INTERPOLATED)
    for radius in FILL_RADII_PX:
        weight, value, noise = _ring_means(planes, unusable, y, x, radius)
        found = weight > 0
        image[y[found], x[found]] = value[found]
        variance[y[found], x[found]] = noise[found]
        y, x = y[~found], x[~found]
    if y.size:
        good = ~unusable
        image[y, x] = xp.median(planes.image[good]) if bool(good.any()) else xp.float32(0)
        variance[y, x] = xp.median(planes.variance[good]) if bool(good.any()) else xp.float32(0)
    return Planes(image=image, variance=variance, mask=mask)


def image_saturation(saturation_adu: float, bias: Master, dark: Master, flat: Master, *, scale: float) -> float:
    """Return the image value from which a pixel may be saturated: raw saturation, calibrated at the flat's peak."""
    xp = array_namespace(bias.image)
    peak = float(xp.percentile(flat.image[xp.isfinite(flat.image)], FLAT_PEAK_PERCENT))
    level = float(xp.median(bias.image)) + scale * float(xp.median(dark.image))
    return (saturation_adu - level) / peak


def count_bits(mask: Array) -> dict[MaskBit, int]:
    """Return how many pixels carry each of the bits that calibration sets."""
    xp = array_namespace(mask)
    bits = (MaskBit.BAD, MaskBit.SATURATED, MaskBit.COSMIC_RAY, MaskBit.INTERPOLATED, MaskBit.NO_DATA)
    return {bit: int(xp.count_nonzero(mask & xp.uint8(bit))) for bit in bits}


def _calibrate_rows(raw: Array, shared: Correction, piece: slice, image: Array, variance: Array) -> None:
    """Write image and variance of some rows into the arrays given, in place to stay in the cache."""
    xp = array_namespace(raw)
    xp.subtract(raw, shared.offset[piece], out=image, dtype=xp.float32)
    xp.multiply(image, shared.inverse[piece], out=image)
    xp.multiply(raw, shared.photons[piece], out=variance, dtype=xp.float32)
    xp.add(variance, shared.start[piece], out=variance)
    xp.maximum(variance, shared.base[piece], out=variance)
    flat_noise = image * image
    xp.multiply(flat_noise, shared.relative[piece], out=flat_noise)
    xp.add(variance, flat_noise, out=variance)


def _mask_rows(bad: Array, empty: Array, mask: Array) -> None:
    """Write the bits of bad pixels and of those without a flat into the array given."""
    xp = array_namespace(bad)
    xp.multiply(bad != 0, xp.uint8(MaskBit.BAD), out=mask)
    if bool(empty.any()):
        xp.bitwise_or(mask, empty.view(xp.uint8) * xp.uint8(MaskBit.NO_DATA), out=mask)


def _shares(shape: tuple[int, int]) -> list[list[slice]]:
    """Return rows that share a cache, piece by piece, for each thread those of one part of the frame."""
    step = max(1, CACHE_PIXELS // shape[1])
    pieces = [slice(start, start + step) for start in range(0, shape[0], step)]
    length = -(-len(pieces) // THREADS)
    return [pieces[first : first + length] for first in range(0, len(pieces), length)]


def _ring_means(planes: Planes, unusable: Array, y: Array, x: Array, radius: int) -> tuple[Array, Array, Array]:
    """Return number and means of image and variance of the good pixels in a square around each position."""
    xp = array_namespace(planes.image)
    ny, nx = planes.image.shape
    weight, value, noise = (xp.zeros(y.shape, xp.float32) for _ in range(3))
    for dy in range(-radius, radius + 1):
        for dx in range(-radius, radius + 1):
            ys, xs = xp.clip(y + dy, 0, ny - 1), xp.clip(x + dx, 0, nx - 1)
            good = ~unusable[ys, xs]
            weight += good
            value += xp.where(good, planes.image[ys, xs], xp.float32(0))
            noise += xp.where(good, planes.variance[ys, xs], xp.float32(0))
    number = xp.maximum(weight, xp.float32(1))
    return weight, value / number, noise / number


def _weights(xp: object, size: int, box: int, boxes: int) -> Array:
    """Return the matrix ``(size, boxes)`` of linear interpolation between the centres of boxes."""
    place = (np.arange(size) - (box - 1) / 2) / box
    place = np.clip(place, 0, boxes - 1)
    low = np.minimum(place.astype(int), max(boxes - 2, 0))
    weights = np.zeros((size, boxes), np.float32)
    weights[np.arange(size), low] = 1 - (place - low)
    if boxes > 1:
        weights[np.arange(size), low + 1] = place - low
    return xp.asarray(weights)  # type: ignore[attr-defined]  # xp is a module: NumPy or CuPy
