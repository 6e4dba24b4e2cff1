"""Measurement of sources on stamps of a difference: fluxes, shapes, surroundings, masks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from tasks import constants
from tasks.science import arrays
from tasks.science.arrays import Array
from tasks.science.candidates.matched_filter import Maps, SearchPlanes, mesh, windows
from tasks.science.sources.stars import Floats

Booleans = np.ndarray[Any, Any]

DIPOLE_REACH = 1.5  # FWHM: the lobes of a shifted star, filtered with the PSF, are 1.2 FWHM apart
# noise beside a source seldom falls lower
OPPOSITE_SNR = -3.0
# a shallower hole does not explain the source; as for dipoles
HOLE_RATIO = 0.3
APERTURES_FWHM = (0.75, 1.5)  # radii of the inner and outer aperture
# radii of the ring of the local background: outside the larger aperture
RING_FWHM = (2.5, 4.0)
# at each pixel, relative to the model: without it every bright star would fail in chi²
PSF_ERROR = 0.1
# wings of a bright source in the ring, as a fraction of its peak
WINGS = 0.002


@dataclass(frozen=True, kw_only=True)
class Detections:
    """Sources on a difference, the most significant first: one value each.

    ``sign`` is +1 for new light, -1 for missing light; ``flux`` is signed. Lengths are in px, fluxes in ADU.
    ``width`` and ``ellipticity`` are from windowed second moments, the former relative to the PSF's.
    """

    x: Floats
    y: Floats
    sign: Any
    snr: Floats
    flux: Floats
    flux_error: Floats
    aperture_flux: Floats
    aperture_error: Floats
    width: Floats
    ellipticity: Floats
    chi2: Floats
    delta_mag: Floats
    background: Floats
    background_error: Floats
    opposite_ratio: Floats
    opposite: Any
    dark: Floats
    below: Floats
    masked_core: Any
    masked_weight: Floats
    filled: Any
    uncovered: Any
    extraction: Any
    star_ratio: Floats

    def __len__(self) -> int:
        """Return the number of detections."""
        return len(self.x)

    def where(self, keep: Any) -> Detections:
        """Return the detections that ``keep`` (booleans or indices) selects."""
        return Detections(**{name: getattr(self, name)[keep] for name in self.__dataclass_fields__})


def measure(
    planes: SearchPlanes, flat: Floats, maps: Maps, x: Floats, y: Floats, column: Any, row: Any, gain: Floats
) -> Detections:
    """Measure each detection on the stamps around it.

    Parameters
    ----------
    flat
        The difference without its background.
    x, y, column, row
        Sub-pixel positions, and the peak pixels.
    gain
        Peak height of the filtered source over that at its pixel.
    """
    half = int(np.ceil(RING_FWHM[1] * planes.fwhm_px))
    radius = np.hypot(*np.meshgrid(*[np.arange(-half, half + 1)] * 2)) / planes.fwhm_px
    snr, flux = (arrays.to_host(plane)[row, column] * gain for plane in (maps.snr, maps.flux))
    sign = np.where(snr >= 0, 1, -1)
    data = windows(flat, row, column, half, fill=0.0) * sign[:, None, None]
    noise = windows(planes.variance, row, column, half, fill=np.inf)
    bad = windows(planes.mask, row, column, half, fill=True).astype(bool)
    psf = _fitted(planes.psf, half)
    level, level_error = _ring(data, bad, radius)
    shape = _moments(data, x - column, y - row, planes)
    return Detections(
        x=x,
        y=y,
        sign=sign,
        snr=snr,
        flux=flux,
        flux_error=np.abs(flux) / np.maximum(np.abs(snr), 1e-9),
        **_apertures(data, noise, bad, radius, sign),
        **shape,
        chi2=_chi2(data, noise, bad, psf, np.abs(flux), radius, x - column, y - row),
        background=level * sign,
        background_error=np.hypot(level_error, WINGS * np.abs(flux) * psf.max()),
        **_opposite(maps, row, column, sign, planes.fwhm_px),
        dark=_darkness(planes, row, column, flux, psf, radius),
        below=_below(data, bad, level, radius, planes),
        **_masks(planes, row, column, bad, psf, radius, half),
        star_ratio=_star_ratio(planes, row, column, flux, psf, half, radius),
    )


def _fitted(psf: Floats, half: int) -> Floats:
    """Return the PSF padded or cut to (2 half + 1) square."""
    own = psf.shape[0] // 2
    return np.pad(psf, half - own) if own <= half else psf[own - half : own + half + 1, own - half : own + half + 1]


def _ring(data: Floats, bad: Booleans, radius: Floats) -> tuple[Floats, Floats]:
    """Return the median of the ring around each detection and its error."""
    values = _ring_values(data, bad, radius)
    count = np.isfinite(values).sum(axis=1)
    scatter = np.asarray(arrays.nmad(values, axis=1))
    # error of a median: sqrt(pi / 2) times that of a mean
    return np.nanmedian(values, axis=1), np.sqrt(np.pi / 2) * scatter / np.sqrt(np.maximum(count, 1))


def _ring_values(data: Floats, bad: Booleans, radius: Floats) -> Floats:
    """Return the good pixels of the ring, (n, pixels), NaN if bad; 0 if all are bad."""
    ring = (radius >= RING_FWHM[0]) & (radius <= RING_FWHM[1])
    values = np.where(bad[:, ring], np.nan, data[:, ring])
    values[np.isnan(values).all(axis=1)] = 0.0
    return np.asarray(values)


def _apertures(data: Floats, noise: Floats, bad: Booleans, radius: Floats, sign: Any) -> dict[str, Floats]:
    """Sum the outer aperture, and compare it with the inner one in magnitudes."""
    inner, outer = (radius <= limit for limit in APERTURES_FWHM)
    clean = np.where(bad, 0, data)
    small, large = clean[:, inner].sum(axis=1), clean[:, outer].sum(axis=1)
    error = np.sqrt(np.where(bad | ~np.isfinite(noise), 0, noise)[:, outer].sum(axis=1))
    ratio = np.where((small > 0) & (large > 0), small / np.where(large > 0, large, 1), np.nan)
    return {
        "aperture_flux": large * sign,
        "aperture_error": error,
        "delta_mag": -2.5 * np.log10(np.where(ratio > 0, ratio, np.nan)),
    }


def concentration(image: Array, x: Floats, y: Floats, *, fwhm_px: float) -> Floats:
    """Return inner minus outer aperture magnitude of stars on a sky-subtracted image."""
    half = int(np.ceil(RING_FWHM[1] * fwhm_px))
    radius = np.hypot(*np.meshgrid(*[np.arange(-half, half + 1)] * 2)) / fwhm_px
    row, column = np.round(y).astype(int), np.round(x).astype(int)
    data = windows(image, row, column, half, fill=0.0)
    nothing = np.zeros(data.shape, dtype=bool)
    level, _ = _ring(data, nothing, radius)
    noise = np.ones_like(data)  # unused here
    return _apertures(data - level[:, None, None], noise, nothing, radius, np.ones(len(row)))["delta_mag"]


def concentration_of_psf(planes: SearchPlanes) -> float:
    """Return the same magnitude difference of the difference's PSF."""
    centre = np.array([float(planes.psf.shape[0] // 2)])
    return float(concentration(planes.psf, centre, centre, fwhm_px=planes.fwhm_px)[0])


def _moments(data: Floats, dx: Floats, dy: Floats, planes: SearchPlanes) -> dict[str, Floats]:
    """Return width over the PSF's and ellipticity, from moments in a Gaussian window as wide as the PSF."""
    half = data.shape[-1] // 2
    sigma = planes.fwhm_px / constants.SIGMA_TO_FWHM
    mine = _window_moments(data, dx, dy, sigma)
    point = _window_moments(_fitted(planes.psf, half)[None], np.zeros(1), np.zeros(1), sigma)
    size, size_psf = ((m[0] + m[1]) / 2 for m in (mine, point))
    spread = np.hypot(mine[0] - mine[1], 2 * mine[2]) / 2
    major, minor = (_unwindowed(np.clip(axis, 0, None), sigma) for axis in (size + spread, size - spread))
    return {
        "width": np.sqrt(np.clip(_unwindowed(size, sigma) / _unwindowed(size_psf, sigma), 0, None)),
        "ellipticity": 1 - np.sqrt(minor / major),
    }


def _window_moments(data: Floats, dx: Floats, dy: Floats, sigma: float) -> tuple[Floats, Floats, Floats]:
    half = data.shape[-1] // 2
    steps = np.arange(-half, half + 1)
    u = steps[None, None, :] - dx[:, None, None]
    v = steps[None, :, None] - dy[:, None, None]
    weighted = data * np.exp(-(u**2 + v**2) / (2 * sigma**2))
    total = weighted.sum(axis=(1, 2))
    total = np.where(total > 0, total, np.inf)
    return tuple((weighted * term).sum(axis=(1, 2)) / total for term in (u * u, v * v, u * v))  # type: ignore[return-value]  # mypy sees a tuple of unknown length


def _unwindowed(moment: Floats, sigma: float) -> Floats:
    """Remove the effect of the window on a Gaussian: 1/moment = 1/variance + 1/sigma²; at most (4 sigma)²."""
    inverse = 1 / np.clip(moment, 1e-3, None) - 1 / sigma**2
    return np.asarray(1 / np.clip(inverse, 1 / (16 * sigma**2), None))


def _chi2(
    data: Floats, noise: Floats, bad: Booleans, psf: Floats, flux: Floats, radius: Floats, dx: Floats, dy: Floats
) -> Floats:
    """Return the reduced chi² of a point source at the detection's position, within the outer aperture.

    The PSF is assumed to be uncertain by a tenth, so that bright sources are not rejected for its errors.
    """
    near = (radius <= APERTURES_FWHM[1])[None] & ~bad & np.isfinite(noise)
    models = np.stack([ndimage.shift(psf, (v, u), order=3) for u, v in zip(dx, dy, strict=True)] or [psf])
    models = models[: len(data)] * flux[:, None, None]
    error2 = np.where(near, noise, 1) + (PSF_ERROR * models) ** 2
    return np.asarray((np.where(near, (data - models) ** 2, 0) / error2).sum((1, 2)) / np.maximum(near.sum((1, 2)), 1))


def _opposite(maps: Maps, row: Any, column: Any, sign: Any, fwhm: float) -> dict[str, Any]:
    """Return the strongest opposite sign within 1.5 FWHM over the detection, and whether it is detected."""
    half = max(2, int(np.ceil(DIPOLE_REACH * fwhm)))
    near = np.hypot(*np.meshgrid(*[np.arange(-half, half + 1)] * 2)) <= DIPOLE_REACH * fwhm
    snr = windows(maps.snr, row, column, half, fill=0.0) * sign[:, None, None]
    flux = windows(maps.flux, row, column, half, fill=0.0) * sign[:, None, None]
    lowest = np.where(near, snr, np.inf).min(axis=(1, 2)) if len(row) else np.zeros(0)
    other = np.where(near, flux, np.inf).min(axis=(1, 2)) if len(row) else np.zeros(0)
    own = flux[:, half, half]
    return {
        "opposite_ratio": np.clip(-other, 0, None) / np.where(own > 0, own, np.inf),
        "opposite": lowest < OPPOSITE_SNR,
    }


def _darkness(planes: SearchPlanes, row: Any, column: Any, own: Floats, psf: Floats, radius: Floats) -> Floats:
    """Return how far the image without the source falls below its sky, in sigma of a point source.

    It is measured at nine positions within one FWHM; a hole with less than 0.3 of the detection's flux ``own`` (signed)
    cannot explain the detection and counts as 0.
    """
    half, step = psf.shape[0] // 2, max(1, round(0.7 * planes.fwhm_px))
    deepest = np.zeros((2, len(row)))
    for index, image in enumerate((planes.reference, planes.science)):
        data = windows(image - mesh(image, planes.mask), row, column, half + step, fill=0.0)
        noise = windows(planes.variance, row, column, half, fill=np.inf)
        # between crowded stars the sky is below the ring; beside a galaxy the ring is the better estimate
        around, _ = _ring(data[:, step:-step, step:-step], np.zeros(noise.shape, dtype=bool), radius)
        level = np.minimum(around, 0)
        error = np.sqrt(np.median(noise, axis=(1, 2)) / (psf**2).sum())
        for v, u in np.ndindex(3, 3):
            part = data[:, v * step : v * step + 2 * half + 1, u * step : u * step + 2 * half + 1]
            flux = ((part - level[:, None, None]) * psf).sum(axis=(1, 2)) / (psf**2).sum()
            depth = np.where(-flux > HOLE_RATIO * np.abs(own), -flux, 0)
            deepest[index] = np.maximum(deepest[index], depth / np.where(error > 0, error, np.inf))
    return np.asarray(np.where(own > 0, deepest[0], deepest[1]))


def _below(data: Floats, bad: Booleans, level: Floats, radius: Floats, planes: SearchPlanes) -> Floats:
    """Return the fraction of the box of +-1 FWHM below the background by more than the sky's sigma."""
    half = data.shape[-1] // 2
    box = max(1, round(planes.fwhm_px))
    cut = np.s_[:, half - box : half + box + 1, half - box : half + box + 1]
    sky = np.asarray(arrays.nmad(_ring_values(data, bad, radius), axis=1))
    low = (data[cut] < (level - sky)[:, None, None]) & ~bad[cut]
    return np.asarray(low.mean(axis=(1, 2)))


def _masks(
    planes: SearchPlanes, row: Any, column: Any, bad: Booleans, psf: Floats, radius: Floats, half: int
) -> dict[str, Any]:
    """Return the mask measurements of each detection."""
    core, box = radius <= 0.5, radius <= 1.0
    filled = windows(planes.filled, row, column, half, fill=True)
    uncovered = windows(~planes.covered, row, column, half, fill=True)
    saturated = windows(planes.saturated, row, column, half, fill=False)
    # Source Extractor's bits: 4 saturated, 8 cut by the border, 16 aperture incomplete
    outside = (row < half // 2) | (column < half // 2)
    outside |= (row >= planes.mask.shape[0] - half // 2) | (column >= planes.mask.shape[1] - half // 2)
    bits = (
        4 * saturated[:, core].any(axis=1) + 8 * outside + 16 * (bad[:, radius <= APERTURES_FWHM[1]].mean(axis=1) > 0.1)
    )
    return {
        "masked_core": bad[:, core].any(axis=1),
        "masked_weight": (bad * psf).sum(axis=(1, 2)),
        "filled": filled[:, box].any(axis=1),
        "uncovered": uncovered[:, core].any(axis=1),
        "extraction": bits,
    }


def _star_ratio(
    planes: SearchPlanes, row: Any, column: Any, flux: Floats, psf: Floats, half: int, radius: Floats
) -> Floats:
    """Return |flux| over that of the point source in both images (infinity without one)."""
    common = np.minimum(arrays.to_host(planes.science), arrays.to_host(planes.reference))
    data = windows(common, row, column, half, fill=0.0)
    level, _ = _ring(data, np.zeros(data.shape, dtype=bool), radius)
    star = ((data - level[:, None, None]) * psf).sum(axis=(1, 2)) / (psf**2).sum()
    return np.asarray(np.abs(flux) / np.where(star > 0, star, 1e-30))
