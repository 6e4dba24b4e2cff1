"""Simulated telescope and atmosphere: mapping from pixel to sky, point spread function, drawing of sources."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from astropy.wcs import WCS
from numpy.typing import NDArray
from scipy.signal import fftconvolve

from tasks.science.simulation.bands import Floats
from tasks.science.simulation.plan import SCALE_ARCSEC

Image = NDArray[np.float32]

# assumed: wings of a real star's kind, wider than a Gaussian's
MOFFAT_BETA = 3.0
# FWHM = 2 alpha sqrt(2^(1/beta) - 1)
FWHM_TO_ALPHA = 0.5 / np.sqrt(2 ** (1 / MOFFAT_BETA) - 1)
# the stamp of a source ends where its light has fallen to this, in e- per pixel, and not before 6 alpha
FAINTEST_E, STAMP_ALPHAS = 0.02, 6.0
# bounds the time of the brightest stars
LARGEST_STAMP_PX = 110
# published for 7DT: the FWHM grows by this much towards the corners
CORNER_FWHM_ARCSEC = 0.3
# half the light of an exponential disc lies within 1.678 scale lengths
HALF_LIGHT_TO_SCALE = 1 / 1.678
# parts of a pixel on each side: the centre of a disc is steep
OVERSAMPLING = 5
# TPV coefficients of about the size that SCAMP found for 7DT01 in r (degrees): radial cubic and smaller terms
RADIAL_CUBIC, QUADRATIC_SIGMA = -4.2e-3, 1.5e-3


@dataclass(frozen=True, kw_only=True)
class Optics:
    """One unit's optics: rotation on the sky, the optical axis' offset in px, TPV terms by (axis, number)."""

    rotation_deg: float
    axis_px: tuple[float, float]
    terms: tuple[tuple[int, int, float], ...]
    scale_arcsec: float = SCALE_ARCSEC


@dataclass(frozen=True, kw_only=True)
class Psf:
    """An elliptical Moffat profile of beta 3, wider and more elongated along the radius to the corners of ``shape``."""

    fwhm_px: float
    e1: float
    e2: float
    corner_fwhm_px: float
    corner_ellipticity: float
    shape: tuple[int, int]

    def matrices(self, x: Floats, y: Floats) -> tuple[Floats, Floats, Floats]:
        """Return a, b, c of q = 1 + a dx² + 2 b dx dy + c dy², the profile being q^-beta, at positions in px."""
        ny, nx = self.shape
        dx, dy = x - (nx - 1) / 2, y - (ny - 1) / 2
        ratio2 = (dx**2 + dy**2) / (nx**2 / 4 + ny**2 / 4)
        alpha = FWHM_TO_ALPHA * (self.fwhm_px + self.corner_fwhm_px * ratio2)
        angle = 2 * np.arctan2(dy, dx)
        e1 = self.e1 + self.corner_ellipticity * ratio2 * np.cos(angle)
        e2 = self.e2 + self.corner_ellipticity * ratio2 * np.sin(angle)
        # a shape of equal area: the determinant of the matrix stays 1 / alpha^4
        norm = 1 / (alpha**2 * np.sqrt(1 - e1**2 - e2**2))
        return norm * (1 - e1), -norm * e2, norm * (1 + e1)


def draw_optics(shape: tuple[int, int], rng: np.random.Generator) -> Optics:
    """Draw a unit's optics: rotated by 0.9 deg or so, distorted like 7DT01."""
    ny, nx = shape
    cubic = RADIAL_CUBIC * rng.normal(1.0, 0.05)
    quadratic = rng.normal(0.0, QUADRATIC_SIGMA, (2, 3))
    terms = [(axis, number, cubic) for axis in (1, 2) for number in (7, 9)]
    terms += [(axis, number, float(quadratic[axis - 1, number - 4])) for axis in (1, 2) for number in (4, 5, 6)]
    return Optics(
        rotation_deg=float(rng.normal(0.9, 0.1)),
        axis_px=(float(rng.uniform(-0.02, 0.02) * nx), float(rng.uniform(-0.02, 0.02) * ny)),
        terms=tuple(terms),
    )


def true_wcs(optics: Optics, ra_deg: float, dec_deg: float, *, shape: tuple[int, int]) -> WCS:
    """Return the exact mapping from pixel to sky of an exposure whose optical axis points at ``ra_deg, dec_deg``.

    The image is mirrored (east to the right with north up), as are the telescope's frames: rows are stored top down.
    """
    ny, nx = shape
    angle, scale = np.radians(optics.rotation_deg), optics.scale_arcsec / 3600
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TPV", "DEC--TPV"]
    wcs.wcs.cunit = ["deg", "deg"]
    wcs.wcs.crval = [ra_deg, dec_deg]
    wcs.wcs.crpix = [(nx + 1) / 2 + optics.axis_px[0], (ny + 1) / 2 + optics.axis_px[1]]
    wcs.wcs.cd = scale * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    wcs.wcs.set_pv([(1, 1, 1.0), (2, 1, 1.0), *optics.terms])
    wcs.wcs.radesys = "ICRS"
    wcs.array_shape = shape
    wcs.wcs.set()
    return wcs


def draw_psf(fwhm_arcsec: float, shape: tuple[int, int], rng: np.random.Generator) -> Psf:
    """Draw an exposure's point spread function: guiding makes it elliptical by about 0.05."""
    ellipticity, angle = rng.uniform(0.02, 0.08), rng.uniform(0, np.pi)
    return Psf(
        fwhm_px=fwhm_arcsec / SCALE_ARCSEC,
        e1=float(ellipticity / 2 * np.cos(2 * angle)),
        e2=float(ellipticity / 2 * np.sin(2 * angle)),
        corner_fwhm_px=CORNER_FWHM_ARCSEC / SCALE_ARCSEC,
        corner_ellipticity=0.03,
        shape=shape,
    )


def round_psf(fwhm_arcsec: float, shape: tuple[int, int]) -> Psf:
    """Return a round point spread function that is the same everywhere."""
    fwhm = fwhm_arcsec / SCALE_ARCSEC
    return Psf(fwhm_px=fwhm, e1=0, e2=0, corner_fwhm_px=0, corner_ellipticity=0, shape=shape)


def add_stars(image: Image, x: Floats, y: Floats, flux_e: Floats, psf: Psf) -> None:
    """Add point sources of total flux ``flux_e`` to ``image``, in place; those outside add the light falling inside."""
    a, b, c = psf.matrices(x, y)
    peak = flux_e * (MOFFAT_BETA - 1) / np.pi * np.sqrt(a * c - b**2)
    alpha = (a * c - b**2) ** -0.25
    radius = np.clip(alpha * (peak / FAINTEST_E) ** (0.5 / MOFFAT_BETA), STAMP_ALPHAS * alpha, LARGEST_STAMP_PX)
    radius = np.ceil(radius).astype(int)
    ny, nx = image.shape
    near = (x > -radius) & (x < nx - 1 + radius) & (y > -radius) & (y < ny - 1 + radius)
    for i in np.flatnonzero(near):
        box = _box(x[i], y[i], radius[i], image.shape)
        image[box] += _moffat(box, x[i], y[i], (a[i], b[i], c[i]), peak[i])


def add_galaxies(image: Image, x: Floats, y: Floats, flux_e: Floats, shapes: NDArray[np.float64], psf: Psf) -> None:
    """Add exponential discs, convolved with the point spread function, to ``image``, in place.

    ``shapes`` (n, 2, 2) holds the matrix whose quadratic form of (dx, dy) is the squared distance in scale lengths.
    """
    a, b, c = psf.matrices(x, y)
    for i in range(len(x)):
        half = int(np.ceil(12 / np.sqrt(np.linalg.eigvalsh(shapes[i])[0])))
        corner = np.round([y[i], x[i]]).astype(int) - half
        disc = _disc(x[i] - corner[1], y[i] - corner[0], shapes[i], 2 * half + 1)
        kernel_half = int(np.ceil(5 * STAMP_ALPHAS))
        kernel_box = (slice(0, 2 * kernel_half + 1), slice(0, 2 * kernel_half + 1))
        kernel = _moffat(kernel_box, kernel_half, kernel_half, (a[i], b[i], c[i]), 1.0)
        stamp = fftconvolve(disc, kernel / kernel.sum()) * flux_e[i]
        _paste(image, stamp.astype(np.float32), corner - kernel_half)


def disc_matrices(wcs: WCS, radius_arcsec: Floats, axis_ratio: Floats, angle_rad: Floats) -> NDArray[np.float64]:
    """Return (n, 2, 2) matrices in pixels of discs given on the sky, angles east of north."""
    major = radius_arcsec * HALF_LIGHT_TO_SCALE / 3600
    along = np.stack([np.sin(angle_rad), np.cos(angle_rad)], axis=-1)
    across = np.stack([np.cos(angle_rad), -np.sin(angle_rad)], axis=-1)
    on_sky = np.einsum("ni,nj,n->nij", along, along, major**-2)
    on_sky += np.einsum("ni,nj,n->nij", across, across, (major * axis_ratio) ** -2)
    jacobian = wcs.pixel_scale_matrix
    matrices: NDArray[np.float64] = np.einsum("ki,nkl,lj->nij", jacobian, on_sky, jacobian)
    return matrices


def _box(x: float, y: float, radius: int, shape: tuple[int, ...]) -> tuple[slice, slice]:
    i, j = round(float(x)), round(float(y))
    return (
        slice(max(j - radius, 0), min(j + radius + 1, shape[0])),
        slice(max(i - radius, 0), min(i + radius + 1, shape[1])),
    )


def _moffat(box: tuple[slice, slice], x: float, y: float, matrix: tuple[float, float, float], peak: float) -> Image:
    """Sample the profile at the pixels of ``box``; at FWHM > 3 px its sum is its integral."""
    a, b, c = (np.float32(term) for term in matrix)
    dy = (np.arange(box[0].start, box[0].stop) - y).astype(np.float32)[:, None]
    dx = (np.arange(box[1].start, box[1].stop) - x).astype(np.float32)
    q = a * dx**2 + (2 * b * dy) * dx + (np.float32(1) + c * dy**2)
    profile: Image = np.float32(peak) / (q * q * q)
    return profile


def _disc(x: float, y: float, matrix: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Integrate an exponential disc of flux 1 over pixels, by oversampling."""
    fine = (np.arange(size * OVERSAMPLING) + 0.5) / OVERSAMPLING - 0.5
    dx, dy = fine - x, (fine - y)[:, None]
    r2 = matrix[0, 0] * dx**2 + 2 * matrix[0, 1] * dx * dy + matrix[1, 1] * dy**2
    disc = np.exp(-np.sqrt(r2)).reshape(size, OVERSAMPLING, size, OVERSAMPLING).sum(axis=(1, 3))
    normed: NDArray[np.float64] = disc / disc.sum()
    return normed


def _paste(image: Image, stamp: Image, corner: NDArray[np.int64]) -> None:
    low = np.maximum(corner, 0)
    high = np.minimum(corner + stamp.shape, image.shape)
    if np.all(high > low):
        inner = tuple(slice(a, b) for a, b in zip(low - corner, high - corner, strict=True))
        image[low[0] : high[0], low[1] : high[1]] += stamp[inner]
