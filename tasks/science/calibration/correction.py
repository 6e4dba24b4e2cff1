"""Correction of raw counts: bias, dark, flat, noise, masks, and outliers among frames for a master.

Counts are ADU, gain is e-/ADU, read noise e-. A master is an image with the variance of that image. Masks on disk are
bits of ``MaskBit``; the equations are those of a linear detector whose dark current grows with the exposure time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tasks.errors import UnusableData
from tasks.records import MaskBit
from tasks.science import arrays
from tasks.science.arrays import MAD_TO_SIGMA, Array, array_namespace, nmad
from tasks.science.calibration import compiled_correction
from tasks.science.images import masks

# number of pixels whose coefficients stay in a core's cache for all lights of a batch; fewer cost more calls
CACHE_PIXELS = 1 << 17
# of normal noise 35 pixels of a frame of 61 million lie beyond
BAD_SIGMA = 5.0
# response relative to the surroundings; below one half the flat would more than double the noise
BAD_FLAT = (0.5, 1.5)
# frames of one set scatter less
OUTLIER_NMAD = 5.0
# of a dark's signal: the outliers among real darks (ASI120MC-S) were 18 to 23 % high
OUTLIER_SIGNAL = 0.02
# upper limit, since the scatter of three frames is uncertain: dark currents drift by less than a tenth
LARGEST_DRIFT = 0.1
# no level is known better than one digitisation step
OUTLIER_ADU = 1.0
# the median of 4096 pixels has 2 % of a pixel's noise; larger boxes blur gradients
BOX_PX = 64
# half widths of the neighbourhoods tried in turn: the nearest good pixels fill a hole
FILL_RADII_PX = (1, 2, 4)
# the maximum would be a hot pixel's
FLAT_PEAK_PERCENT = 99.9
# bits of a bad-pixel map
BAD_DARK, BAD_NOISE, BAD_FLAT_BIT = 1, 2, 4


@dataclass(frozen=True, kw_only=True)
class Master:
    """A master frame: an image ``(ny, nx)`` and the variance of that image, float32."""

    image: Array
    variance: Array


@dataclass(frozen=True, kw_only=True)
class LightMasters:
    """The masters of some lights, on one device; ``bad`` is nonzero at bad pixels.

    ``scale`` is the lights' exposure time over the dark's; the gain is in e-/ADU, the read noise in e-.
    """

    bias: Master
    dark: Master
    flat: Master
    bad: Array
    scale: float
    gain: float
    read_noise_e: float


@dataclass(frozen=True, kw_only=True)
class CorrectionTerms:
    """The terms of a light's equation for the masters added so far: ``raw = offset + image / inverse``.

    ``noise`` is the variance of the counts (ADU²) without photon noise; ``dark`` the dark signal (ADU), for its photon
    noise; ``flat_variance`` the variance of the relative response; ``mask`` the bits common to all lights.
    """

    offset: Array
    noise: Array
    dark: Array
    inverse: Array
    flat_variance: Array
    mask: Array


@dataclass(frozen=True, kw_only=True)
class Correction:
    """Coefficients that convert raw lights to planes, computed once for all lights that share masters.

    ``image = (raw - offset) inverse`` and ``variance = max(image slope + start, base) + image² relative``: ``slope`` is
    ``inverse/gain``, the photon noise; ``start`` is ``base`` plus the photon noise of the dark; below the bias there is
    no photon noise. Where the flat has no value ``inverse`` is 0. ``mask`` holds the bits common to all lights.
    """

    offset: Array
    inverse: Array
    slope: Array
    start: Array
    base: Array
    relative: Array
    mask: Array


@dataclass(frozen=True, kw_only=True)
class LightPlanes:
    """A calibrated frame: image in ADU, variance in ADU² (float32) and ``MaskBit`` bits (uint8), each ``(ny, nx)``."""

    image: Array
    variance: Array
    mask: Array


def outliers(levels_adu: Sequence[float], *, signal_adu: float = 0.0) -> tuple[bool, ...]:
    """Return which frames of a set have an outlying level.

    Parameters
    ----------
    levels_adu
        Median level of each frame. With fewer than three frames none is an outlier.
    signal_adu
        Dark signal in that level. The tolerance is the largest of 1 ADU, 2 % of the signal, and 5 times the set's
        scatter (for darks at most a tenth of the signal).
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
    """Return the noise of one frame, in ADU, from the scatter of the difference of two frames of equal level."""
    xp = array_namespace(first)
    difference = first.astype(xp.float32) - second.astype(xp.float32)
    difference = difference - xp.median(difference)
    # at least one digitisation step: a median deviation of 0 would reject all pixels
    limit = BAD_SIGMA * max(float(MAD_TO_SIGMA * xp.median(xp.abs(difference))), 1.0)
    unclipped = difference[xp.abs(difference) <= limit]
    return float(xp.sqrt(xp.mean(unclipped.astype(xp.float64) ** 2) / 2))


def subtract(dark: Master, bias: Master) -> Master:
    """Return a combined dark minus the master bias."""
    return Master(image=dark.image - bias.image, variance=dark.variance + bias.variance)


def scaled(master: Master, factor: float) -> Master:
    """Return a master times a factor."""
    xp = array_namespace(master.image)
    return Master(image=master.image * xp.float32(factor), variance=master.variance * xp.float32(factor**2))


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
    """Return a smooth image: medians of boxes, interpolated linearly; constant beyond the outermost centres."""
    xp = array_namespace(image)
    ny, nx = image.shape
    by, bx = min(box_px, ny), min(box_px, nx)
    my, mx = ny // by, nx // bx
    boxes = image[: my * by, : mx * bx].reshape(my, by, mx, bx).swapaxes(1, 2).reshape(my, mx, by * bx)
    mesh = xp.median(boxes, axis=-1).astype(xp.float32)
    return _weights(xp, ny, by, my) @ mesh @ _weights(xp, nx, bx, mx).T


def bad_pixels(bias: Master, dark: Master, *, limit: float = BAD_SIGMA) -> Array:
    """Return a map of bad pixels, uint8: bit 1 for outliers of the dark, bit 2 for noisy pixels of the bias."""
    xp = array_namespace(bias.image)
    finite = xp.isfinite(dark.image)
    deviation = dark.image - local_level(xp.where(finite, dark.image, xp.median(dark.image[finite])))
    sigma = max(float(nmad(deviation)), float(xp.sqrt(xp.median(dark.variance))))
    noise = xp.sqrt(bias.variance)
    noisy = noise - xp.median(noise) > limit * nmad(noise)
    stands_out = ~(xp.abs(deviation) <= limit * sigma)
    return stands_out.astype(xp.uint8) * xp.uint8(BAD_DARK) | noisy.astype(xp.uint8) * xp.uint8(BAD_NOISE)


def bad_flat(flat: Master, *, limits: tuple[float, float] = BAD_FLAT) -> Array:
    """Return a map of bad pixels, uint8: bit 4 if the flat is not finite or far from its surroundings."""
    xp = array_namespace(flat.image)
    finite = xp.isfinite(flat.image)
    image = xp.where(finite, flat.image, xp.float32(1))
    ratio = image / xp.maximum(local_level(image), xp.float32(1e-6))
    good = finite & (ratio >= limits[0]) & (ratio <= limits[1])
    return (~good).astype(xp.uint8) * xp.uint8(BAD_FLAT_BIT)


def no_terms(masters: LightMasters) -> CorrectionTerms:
    """Return the terms before any master: the read noise alone."""
    xp = array_namespace(masters.bias.image)
    zero = xp.float32(0)
    read = xp.float32((masters.read_noise_e / masters.gain) ** 2)
    return CorrectionTerms(
        offset=zero, noise=read, dark=zero, inverse=xp.float32(1), flat_variance=zero, mask=xp.uint8(0)
    )


def add_bias(terms: CorrectionTerms, masters: LightMasters) -> CorrectionTerms:
    """Add the bias: level and noise."""
    bias = masters.bias
    return replace(terms, offset=bias.image, noise=terms.noise + bias.variance)


def add_dark(terms: CorrectionTerms, masters: LightMasters) -> CorrectionTerms:
    """Add the dark, scaled to the light's exposure time: level, noise, photon noise."""
    xp, dark = array_namespace(masters.dark.image), masters.dark
    scaled = xp.float32(masters.scale) * dark.image
    noise = terms.noise + xp.float32(masters.scale**2) * dark.variance
    return replace(terms, offset=terms.offset + scaled, noise=noise, dark=scaled)


def add_flat(terms: CorrectionTerms, masters: LightMasters) -> CorrectionTerms:
    """Add the flat: response, noise, and pixels without a value."""
    xp, flat = array_namespace(masters.flat.image), masters.flat
    empty = ~(xp.isfinite(flat.image) & (flat.image > 0))
    return replace(
        terms,
        inverse=xp.where(empty, xp.float32(0), 1 / xp.where(empty, xp.float32(1), flat.image)),
        flat_variance=xp.where(empty, xp.float32(0), flat.variance),
        mask=terms.mask | empty * xp.uint8(MaskBit.NO_DATA),
    )


def add_bad_pixels(terms: CorrectionTerms, masters: LightMasters) -> CorrectionTerms:
    """Add the bad-pixel map."""
    xp = array_namespace(masters.bad)
    return replace(terms, mask=terms.mask | (masters.bad != 0) * xp.uint8(MaskBit.BAD))


def coefficients(terms: CorrectionTerms, *, gain: float) -> Correction:
    """Return the coefficients that convert counts to planes in one pass."""
    xp = array_namespace(terms.inverse)
    square = terms.inverse * terms.inverse
    base = terms.noise * square
    return Correction(
        offset=terms.offset,
        inverse=terms.inverse,
        slope=terms.inverse / xp.float32(gain),
        start=base + terms.dark * square / xp.float32(gain),
        base=base,
        relative=terms.flat_variance * square,
        mask=terms.mask.astype(xp.uint8),
    )


def calibrate(
    raws: Sequence[Array], shared: Correction, *, saturation_adu: float, into: Sequence[LightPlanes] = ()
) -> list[LightPlanes]:
    """Calibrate raw lights, without interpolation.

    On the CPU all lights are processed band by band of rows, so that the masters are read from memory only once.

    Parameters
    ----------
    raws
        Counts, each ``(ny, nx)``, any real type.
    shared
        From ``lights.shared_correction``, for the filter and exposure time of these lights.
    saturation_adu
        Raw value at and above which a pixel is saturated.
    into
        Unused planes to overwrite: new memory costs as much time as the arithmetic.
    """
    xp = array_namespace(shared.offset)
    lights = [*into[: len(raws)], *(_blank(raw.shape, xp) for raw in raws[len(into) :])]

    light_rows = _light_rows_in_one_pass if xp is np else _light_rows

    def work(rows: slice) -> None:
        for raw, planes in zip(raws, lights, strict=True):
            light_rows(raw, shared, rows, planes)
            _mask_rows(raw, shared, rows, planes.mask[rows], saturation_adu)

    arrays.by_rows(work, shared.offset.shape, xp, pixels=CACHE_PIXELS)
    return lights


def images(raws: Sequence[Array], shared: Correction, *, into: Sequence[Array] = ()) -> list[Array]:
    """Return only the images of raw lights, without variance and mask; see ``calibrate``."""
    xp = array_namespace(shared.offset)
    outputs = [*into[: len(raws)], *(xp.empty(raw.shape, xp.float32) for raw in raws[len(into) :])]

    image_rows = _image_rows_in_one_pass if xp is np else _image_rows

    def work(rows: slice) -> None:
        for raw, image in zip(raws, outputs, strict=True):
            image_rows(raw, shared, rows, image[rows])

    arrays.by_rows(work, shared.offset.shape, xp, pixels=CACHE_PIXELS)
    return outputs


def interpolate(
    planes: LightPlanes, holes: MaskBit = MaskBit.BAD | MaskBit.COSMIC_RAY | MaskBit.NO_DATA
) -> LightPlanes:
    """Fill pixels with any of the bits ``holes`` by the mean of the good pixels around them, and set bit 8.

    A hole without a good pixel within 4 px gets the median of the frame's good pixels.
    """
    copy = LightPlanes(image=planes.image.copy(), variance=planes.variance.copy(), mask=planes.mask.copy())
    fill(copy, holes)
    return copy


def fill(planes: LightPlanes, holes: MaskBit) -> None:
    """Do the same as ``interpolate`` in place; only good pixels are read and only holes written."""
    xp = array_namespace(planes.image)
    y, x = xp.divmod(xp.flatnonzero((planes.mask & xp.uint8(holes)).view(bool)), planes.mask.shape[1])
    if not y.size:
        return
    unusable = planes.mask != 0
    planes.mask[y, x] |= xp.uint8(MaskBit.INTERPOLATED)
    for radius in FILL_RADII_PX:
        weight, value, noise = _ring_means(planes, unusable, y, x, radius)
        filled = weight > 0
        planes.image[y[filled], x[filled]] = value[filled]
        planes.variance[y[filled], x[filled]] = noise[filled]
        y, x = y[~filled], x[~filled]
    if y.size:
        good = ~unusable
        planes.image[y, x] = xp.median(planes.image[good]) if bool(good.any()) else xp.float32(0)
        planes.variance[y, x] = xp.median(planes.variance[good]) if bool(good.any()) else xp.float32(0)


def image_saturation(saturation_adu: float, bias: Master, dark: Master, flat: Master, *, scale: float) -> float:
    """Return the image value from which a pixel may be saturated: raw saturation, calibrated at the flat's peak."""
    xp = array_namespace(bias.image)
    peak = float(xp.percentile(flat.image[xp.isfinite(flat.image)], FLAT_PEAK_PERCENT))
    level = float(xp.median(bias.image)) + scale * float(xp.median(dark.image))
    return (saturation_adu - level) / peak


def count_bits(mask: np.ndarray[Any, Any]) -> dict[MaskBit, int]:
    """Return the number of pixels with each bit of a mask on the host."""
    marked = np.bincount(mask[mask != 0], minlength=256)
    return {bit: int(marked[(np.arange(256) & bit) != 0].sum()) for bit in MaskBit}


def _blank(shape: tuple[int, int], xp: Any) -> LightPlanes:
    return LightPlanes(
        image=xp.empty(shape, xp.float32), variance=xp.empty(shape, xp.float32), mask=xp.empty(shape, xp.uint8)
    )


def _light_rows(raw: Array, shared: Correction, rows: slice, planes: LightPlanes) -> None:
    """Write image and variance of some rows into ``planes``."""
    _image_rows(raw, shared, rows, planes.image[rows])
    _variance_rows(planes.image[rows], shared, rows, planes.variance[rows])


def _light_rows_in_one_pass(raw: Array, shared: Correction, rows: slice, planes: LightPlanes) -> None:
    """Do the same as ``_light_rows``, on the CPU."""
    compiled_correction.image_and_variance(
        raw[rows],
        shared.offset[rows],
        shared.inverse[rows],
        shared.slope[rows],
        shared.start[rows],
        shared.base[rows],
        shared.relative[rows],
        planes.image[rows],
        planes.variance[rows],
    )


def _image_rows_in_one_pass(raw: Array, shared: Correction, rows: slice, image: Array) -> None:
    """Do the same as ``_image_rows``, on the CPU."""
    compiled_correction.image_alone(raw[rows], shared.offset[rows], shared.inverse[rows], image)


def _image_rows(raw: Array, shared: Correction, rows: slice, image: Array) -> None:
    """Write the image of some rows into ``image``."""
    xp = array_namespace(image)
    xp.subtract(raw[rows], shared.offset[rows], out=image, dtype=xp.float32)
    xp.multiply(image, shared.inverse[rows], out=image)


def _variance_rows(image: Array, shared: Correction, rows: slice, variance: Array) -> None:
    """Write the variance of some rows into ``variance``."""
    xp = array_namespace(image)
    xp.multiply(image, shared.slope[rows], out=variance)
    xp.add(variance, shared.start[rows], out=variance)
    xp.maximum(variance, shared.base[rows], out=variance)
    flat_noise = image * image
    xp.multiply(flat_noise, shared.relative[rows], out=flat_noise)
    xp.add(variance, flat_noise, out=variance)


def _mask_rows(raw: Array, shared: Correction, rows: slice, mask: Array, saturation_adu: float) -> None:
    """Write the bits of some rows into ``mask``; neighbours of saturated pixels are marked too."""
    mask[...] = shared.mask[rows]
    first = max(rows.start - 1, 0)
    near = raw[first : rows.stop + 1]
    saturated = near >= _own_type(near, saturation_adu)
    if bool(saturated.any()):
        grown = masks.grow(saturated)[rows.start - first :][: len(mask)]
        mask |= grown.view(mask.dtype) * mask.dtype.type(MaskBit.SATURATED)


def _own_type(raw: Array, limit: float) -> Any:
    """Return a limit in the type of the counts if possible, so that integers are compared without conversion."""
    if raw.dtype.kind != "u" or limit > np.iinfo(raw.dtype).max:
        return limit
    return raw.dtype.type(math.ceil(limit))


def _ring_means(planes: LightPlanes, unusable: Array, y: Array, x: Array, radius: int) -> tuple[Array, Array, Array]:
    """Return the number of good pixels and their means of image and variance in a square around each position."""
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
