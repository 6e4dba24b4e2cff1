"""Subtract a reference from a science image after matching their PSFs: the engine ``siren``.

The sharper image is convolved with a kernel that varies slowly over the field, found by variance-weighted least squares
on stamps around stars; the difference is always on the science image's photometric scale, science minus reference.

References
----------
Alard and Lupton 1998, ApJ 503, 325; Alard 2000, A&AS 144, 363; Becker et al. 2012, MNRAS 425, 1341.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy import linalg, ndimage, spatial

from tasks.errors import AlgorithmError, UnusableData
from tasks.records import MaskBit
from tasks.science import arrays, exposures, kernels, stars
from tasks.science.arrays import Array
from tasks.science.exposures import Exposure
from tasks.science.kernels import VaryingKernel
from tasks.science.stars import Floats, Stars

log = logging.getLogger(__name__)

EQUAL_SEEING = 1.05  # within 5 % of each other the reference is convolved
SMALLEST_SIGMA_PX = 0.7  # narrowest difference of two PSFs that pixels can show
MINIMUM_STAMPS = 4
STAMPS_PER_CELL = 4
CELLS = 10
CLIP_SIGMA = 3.0
ROUNDS = 6
MODEL_ERROR = 0.005  # the PSF model is no better than half a per cent of a star's light
SATURATION_GROWTH_PX = 3
MEDIAN_CHI2 = 0.4549  # of one degree of freedom
LEAK = 0.02  # a pixel is bad when this part of the kernel's weight fell on bad ones


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How the kernel is modelled.

    ``basis`` is ``gauss`` (Gaussians times polynomials) or ``delta`` (one unknown per pixel); ``degree`` and
    ``background_degree`` are those of the polynomials over the field, None letting the number of stamps decide.
    """

    basis: Literal["gauss", "delta"] = "gauss"
    degree: int | None = None
    background_degree: int = 1
    direction: Literal["auto", "reference", "science"] = "auto"


@dataclass(frozen=True, kw_only=True)
class Subtraction:
    """Science minus reference on the scale of the science image.

    ``direction`` names the image that was convolved, ``kernel_sum`` is the factor from the reference's to the science
    image's scale, ``chi2`` the mean squared residual per variance on the stamps used, ``psf`` that of the difference.
    """

    difference: Array
    convolved: Array
    variance: Array
    mask: Array
    direction: str
    engine: str
    kernel_sum: float
    chi2: float
    substamps: int
    psf: Floats
    fwhm_science_px: float
    fwhm_reference_px: float
    x: Floats
    y: Floats


@dataclass(frozen=True, kw_only=True)
class _Stamps:
    """Cut-outs for the fit: design (n, functions + 1, pixels), data, variances of both images, and the positions."""

    design: Floats
    data: Floats
    noise: Floats
    noise_other: Floats
    x: Floats
    y: Floats


@dataclass(frozen=True, kw_only=True)
class Fit:
    """A kernel and a background (polynomial coefficients), the stamps' chi² and which stamps were used."""

    kernel: VaryingKernel
    background: Floats
    chi2: Floats
    used: Any


def subtract(
    science: Exposure,
    reference: Exposure,
    *,
    settings: Settings | None = None,
    found: tuple[Stars, Stars] | None = None,
) -> Subtraction:
    """Subtract ``reference``, already on the science image's pixels, from ``science``.

    Parameters
    ----------
    found
        Stars of the science image and of the reference, where they are known already.

    Raises
    ------
    UnusableData
        If the shapes differ or either image has too few stars.
    AlgorithmError
        If the kernel cannot be determined or has no positive sum.
    """
    if science.shape != reference.shape:
        raise UnusableData(f"science {science.shape} and reference {reference.shape} differ in shape (ny, nx)")
    settings = settings or Settings()
    sci_stars, ref_stars = found or (
        stars.find(science.image, science.mask),
        stars.find(reference.image, reference.mask),
    )
    widths = sci_stars.typical_fwhm, ref_stars.typical_fwhm
    direction = _direction(settings, *widths)
    sharp, blurred = (reference, science) if direction == "reference" else (science, reference)
    picked = _pick(sci_stars if direction == "reference" else ref_stars, science, reference, max(widths))
    fit = _solve(sharp, blurred, picked, settings, widths)
    return _assemble(science, reference, fit, direction=direction, widths=widths, found=(sci_stars, ref_stars))


def bits(result: Subtraction, science: Exposure, reference: Exposure) -> Array:
    """Return the difference's mask as bits: bad, saturated in either image, without data in the reference."""
    xp = arrays.array_namespace(result.mask)
    saturated = science.saturated | reference.saturated
    empty = xp.zeros_like(result.mask) if reference.outside is None else reference.outside
    plane = xp.where(result.mask & ~saturated, MaskBit.BAD, 0) | xp.where(saturated, MaskBit.SATURATED, 0)
    return (plane | xp.where(empty, MaskBit.NO_DATA, 0)).astype(xp.uint8)


def _direction(settings: Settings, fwhm_science: float, fwhm_reference: float) -> str:
    """Choose which image to convolve: the sharper one; the reference within 5 %."""
    if not np.isfinite(fwhm_science + fwhm_reference):
        raise UnusableData("no star whose width can be measured in the science image or the reference")
    if settings.direction != "auto":
        return settings.direction
    return "reference" if fwhm_reference <= EQUAL_SEEING * fwhm_science else "science"


def _basis(settings: Settings, widths: tuple[float, float], stamps: int) -> Floats:
    half = kernel_half_width(widths)
    if settings.basis == "delta":
        return np.asarray(kernels.delta_basis(min(half, 8)))
    blur = np.sqrt(abs(widths[0] ** 2 - widths[1] ** 2)) / kernels.SIGMA_TO_FWHM
    sigma = max(blur, SMALLEST_SIGMA_PX)
    # the widest one moves light between core and wings, which no two nights share
    degrees = (4, 3, 2, 0) if stamps >= 15 else (2, 2, 0, 0)
    return np.asarray(kernels.gaussian_basis((0.5 * sigma, sigma, 2 * sigma, 4 * sigma), degrees, half))


def kernel_half_width(widths: tuple[float, float]) -> int:
    """Return a kernel's half width in px: 3 times the larger FWHM, between 5 and 25."""
    return int(np.clip(round(3.0 * max(widths)), 5, 25))


def _stamp_half_width(width: float) -> int:
    return int(np.clip(round(3.0 * width), 7, 24))


def _pick(found: Stars, science: Exposure, reference: Exposure, width: float) -> Stars:
    """Choose bright stars without bad pixels near them, a few in each cell of a grid."""
    half = _stamp_half_width(width)
    bad = arrays.to_host(science.mask | science.saturated | reference.mask | reference.saturated)
    share = ndimage.uniform_filter(bad.astype(np.float32), size=2 * half + 1, mode="constant", cval=1.0)
    core = ndimage.maximum_filter(bad, size=5)
    column, row = np.round(found.x).astype(int), np.round(found.y).astype(int)
    good = found.clean & (share[row, column] < 0.1) & ~core[row, column]
    good &= (found.fwhm > 0.5 * width) & (found.fwhm < 2.0 * width)
    candidates = found.where(good)
    cell = (candidates.y * CELLS // science.shape[0]).astype(int) * CELLS
    cell += (candidates.x * CELLS // science.shape[1]).astype(int)
    keep = np.concatenate(
        [np.flatnonzero(cell == one)[:STAMPS_PER_CELL] for one in np.unique(cell)] or [np.zeros(0, int)]
    )
    if len(keep) < MINIMUM_STAMPS:
        raise UnusableData(f"{len(keep)} stars to match the PSFs with, at least {MINIMUM_STAMPS} are needed")
    return candidates.where(np.sort(keep).astype(int))


def _solve(sharp: Exposure, blurred: Exposure, picked: Stars, settings: Settings, widths: tuple[float, float]) -> Fit:
    basis = _basis(settings, widths, len(picked))
    degree = settings.degree if settings.degree is not None else _degree(len(picked))
    stamps = _cut(sharp, blurred, picked, basis, _stamp_half_width(max(widths)))
    used = np.ones(len(stamps.x), dtype=bool)
    noise = stamps.noise + stamps.noise_other
    for _ in range(ROUNDS):
        coefficients, background, model = _least_squares(stamps, noise, used, degree, settings, sharp.shape)
        # at the field's centre all polynomials but the constant vanish
        smoothing = float(np.sum(np.tensordot(coefficients[:, 0], basis, axes=1) ** 2))
        noise = stamps.noise + smoothing * stamps.noise_other + (MODEL_ERROR * np.clip(model, 0, None)) ** 2
        chi2 = np.mean((stamps.data - model) ** 2 / noise, axis=1, where=stamps.noise < np.inf)
        limit = np.median(chi2) + CLIP_SIGMA * max(float(arrays.nmad(chi2)), 0.1 * float(np.median(chi2)))
        agreed = chi2 <= limit
        if (agreed == used).all() or agreed.sum() < MINIMUM_STAMPS:
            break
        used = agreed
    terms = np.einsum("bp,bij->pij", coefficients, basis)
    kernel = VaryingKernel(terms=terms, degree=degree, shape=sharp.shape)
    return Fit(kernel=kernel, background=background, chi2=chi2, used=(used, stamps.x, stamps.y))


def _degree(stamps: int) -> int:
    """Return the degree over the field that this many stamps determine."""
    return 2 if stamps >= 80 else 1 if stamps >= 25 else 0


def _cut(sharp: Exposure, blurred: Exposure, picked: Stars, basis: Floats, half: int) -> _Stamps:
    """Cut stamps out and convolve the sharp ones with every function of the basis."""
    reach = half + basis.shape[-1] // 2
    column, row = np.round(picked.x).astype(int), np.round(picked.y).astype(int)
    bad = sharp.mask | sharp.saturated | blurred.mask | blurred.saturated
    wide = _windows(sharp.image, row, column, reach)
    functions = _convolve_stamps(wide, basis, half)
    ones = np.ones((len(row), 1, functions.shape[-1]), dtype=np.float32)
    flat = (len(row), -1)
    masked = _windows(bad, row, column, half, fill=True).reshape(flat)
    return _Stamps(
        design=np.concatenate([functions, ones], axis=1),
        data=_windows(blurred.image, row, column, half).reshape(flat).astype(float),
        noise=np.where(masked, np.inf, _windows(blurred.variance, row, column, half).reshape(flat)),
        noise_other=_windows(sharp.variance, row, column, half).reshape(flat),
        x=picked.x,
        y=picked.y,
    )


def _windows(image: Array, row: Any, column: Any, half: int, *, fill: float | None = None) -> Floats:
    """Return the squares around positions, (n, 2 half + 1, 2 half + 1), on the host; the border is extended."""
    host = arrays.to_host(image)
    padded = np.pad(host, half, mode="edge") if fill is None else np.pad(host, half, constant_values=fill)
    steps = np.arange(2 * half + 1)
    return np.asarray(padded[row[:, None, None] + steps[:, None], column[:, None, None] + steps[None, :]])


def _convolve_stamps(wide: Floats, basis: Floats, half: int) -> Floats:
    """Convolve each stamp with each function; return the part no border touches, (n, functions, pixels)."""
    size = wide.shape[-1]
    spectra = np.fft.rfft2(basis.astype(np.float32), (size, size))
    start = basis.shape[-1] - 1
    out = np.empty((len(wide), len(basis), (2 * half + 1) ** 2), dtype=np.float32)
    for index, stamp in enumerate(wide):
        full = np.fft.irfft2(np.fft.rfft2(stamp.astype(np.float32)) * spectra, (size, size))
        out[index] = full[:, start:, start:].reshape(len(basis), -1)
    return out


def _least_squares(
    stamps: _Stamps, noise: Floats, used: Any, degree: int, settings: Settings, shape: tuple[int, int]
) -> tuple[Floats, Floats, Floats]:
    """Solve for the kernel's and the background's coefficients; return them and the model of every stamp.

    Each unknown is one row of the stamps' design times one polynomial at the stamp's position. The first function is
    the kernel's sum and does not vary over the field: the flux ratio of two exposures is one number.
    """
    field = kernels.polynomials(stamps.x, stamps.y, shape, degree)
    sky = kernels.polynomials(stamps.x, stamps.y, shape, settings.background_degree)
    functions, terms = stamps.design.shape[1] - 1, len(field)
    rows = np.concatenate([[0], np.repeat(np.arange(1, functions), terms), np.full(len(sky), functions)])
    factors = np.concatenate([np.ones((1, len(stamps.x))), np.tile(field, (functions - 1, 1)), sky])
    normal, right = np.zeros((len(rows), len(rows))), np.zeros(len(rows))
    for index in np.flatnonzero(used):
        design = stamps.design[index].astype(float)
        weighted = design / noise[index]
        factor = factors[:, index]
        normal += np.outer(factor, factor) * (weighted @ design.T)[np.ix_(rows, rows)]
        right += factor * (weighted @ stamps.data[index])[rows]
    solution = _regularised(normal, right)
    coefficients = np.zeros((functions, terms))
    coefficients[0, 0] = solution[0]
    coefficients[1:] = solution[1 : 1 + (functions - 1) * terms].reshape(functions - 1, terms)
    weights = np.zeros((len(stamps.x), functions + 1))
    np.add.at(weights.T, rows, solution[:, None] * factors)
    model = np.einsum("sf,sfp->sp", weights, stamps.design)
    return coefficients, solution[len(solution) - len(sky) :], model


def _regularised(normal: Floats, right: Floats) -> Floats:
    """Solve the normal equations, scaled to unit diagonal, with a ridge just above rounding."""
    scale = np.sqrt(np.diag(normal))
    if not (np.isfinite(scale).all() and (scale > 0).all()):
        raise AlgorithmError("the kernel's equations have an empty row: stars too faint or too few")
    scaled = normal / np.outer(scale, scale) + 1e-8 * np.eye(len(right))
    try:
        solution = linalg.solve(scaled, right / scale, assume_a="pos")
    except linalg.LinAlgError as error:
        raise AlgorithmError(f"the kernel's {len(right)} equations cannot be solved: {error}") from error
    return np.asarray(solution / scale)


def _assemble(
    science: Exposure,
    reference: Exposure,
    fit: Fit,
    *,
    direction: str,
    widths: tuple[float, float],
    found: tuple[Stars, Stars],
) -> Subtraction:
    """Convolve the sharper image and form the difference with its variance, mask and PSF."""
    xp = arrays.array_namespace(science.image)
    used, x, y = fit.used
    total = float(fit.kernel.centre.sum())
    if not total > 0:
        raise AlgorithmError(f"the kernel's sum is {total:.3g}, it must be positive: {used.sum()} stamps used")
    forward = direction == "reference"
    sharp, other = (reference, science) if forward else (science, reference)
    convolved = kernels.convolve_varying(_filled(sharp), fit.kernel) + _background(fit, sharp.shape, xp)
    # the science image's scale: the kernel has brought the reference there, or took the science image away from it
    factor = 1.0 if forward else 1.0 / total
    difference = (other.image - convolved) if forward else (convolved - other.image) * factor
    variance = (other.variance + kernels.convolve_squared(_filled_variance(sharp), fit.kernel)) * factor**2
    mask = other.mask | exposures.grow(other.saturated, SATURATION_GROWTH_PX) | _spread(sharp, fit.kernel)
    psf = _psf(science, reference, forward=forward, found=found, widths=widths)
    return Subtraction(
        difference=xp.where(mask, xp.float32(0), difference).astype(xp.float32),
        convolved=convolved.astype(xp.float32),
        variance=variance.astype(xp.float32),
        mask=mask,
        direction=direction,
        engine="siren",
        kernel_sum=total if forward else 1 / total,
        chi2=float(np.mean(fit.chi2[used])),
        substamps=int(used.sum()),
        psf=psf,
        fwhm_science_px=widths[0],
        fwhm_reference_px=widths[1],
        x=x[used],
        y=y[used],
    )


def _psf(
    science: Exposure,
    reference: Exposure,
    *,
    forward: bool,
    found: tuple[Stars, Stars],
    widths: tuple[float, float],
) -> Floats:
    """Return the PSF of the difference: that of the image that was not convolved."""
    other, listed = (science, found[0]) if forward else (reference, found[1])
    half = int(np.clip(round(2.5 * max(widths)), 4, 25))
    return stars.psf(other.image, other.mask | other.saturated, listed, half_width_px=half)


def _background(fit: Fit, shape: tuple[int, int], xp: Any) -> Array:
    degree = {1: 0, 3: 1, 6: 2, 10: 3}[len(fit.background)]
    y, x = xp.mgrid[0 : shape[0], 0 : shape[1]].astype(xp.float32)
    terms = kernels.polynomials(x, y, shape, degree)
    return sum(float(c) * term for c, term in zip(fit.background, terms, strict=True))


def _filled(exposure: Exposure) -> Array:
    """Replace bad pixels by the sky, so that nothing strange is smeared; saturated ones keep what they have."""
    xp = arrays.array_namespace(exposure.image)
    bad = exposure.mask | ~xp.isfinite(exposure.image)
    return xp.where(bad, xp.median(exposure.image[~bad]), exposure.image)


def _filled_variance(exposure: Exposure) -> Array:
    xp = arrays.array_namespace(exposure.image)
    bad = exposure.mask | ~xp.isfinite(exposure.variance)
    return xp.where(bad, xp.median(exposure.variance[~bad]), exposure.variance)


def _spread(exposure: Exposure, kernel: VaryingKernel) -> Array:
    """Return what the kernel has touched of bad pixels: any weight of saturated ones, some weight of the others."""
    xp = arrays.array_namespace(exposure.image)
    weight = float(np.abs(kernel.centre).sum())
    bad = exposure.mask.astype(xp.float32)
    # convolution extends the border: a bad rim makes all that lies beyond it bad
    bad[0], bad[-1], bad[:, 0], bad[:, -1] = 1, 1, 1, 1
    touched = kernels.convolve_absolute(bad, kernel) > LEAK * weight
    half = kernel.terms.shape[-1] // 2
    return exposure.mask | touched | exposures.grow(exposure.saturated, min(half, SATURATION_GROWTH_PX + half // 2))


def from_engine(
    science: Exposure,
    reference: Exposure,
    *,
    difference: Array,
    convolved: Array,
    variance: Array,
    mask: Array,
    direction: Literal["reference", "science"],
    engine: str,
    kernel_sum: float | None,
    substamps: int,
    found: tuple[Stars, Stars],
    widths: tuple[float, float],
) -> Subtraction:
    """Complete what another engine made: the PSF of its difference, its kernel's sum and its chi² on stars.

    The sum that an engine does not tell is the ratio of the stars' fluxes in the two images.
    """
    forward = direction == "reference"
    ratio = _flux_ratio(*found) if kernel_sum is None else kernel_sum
    picked = _pick(found[0], science, reference, max(widths))
    row, column = np.round(picked.y).astype(int), np.round(picked.x).astype(int)
    chi2 = arrays.to_host(difference)[row, column] ** 2 / arrays.to_host(variance)[row, column]
    return Subtraction(
        difference=difference,
        convolved=convolved,
        variance=variance,
        mask=mask | science.mask | reference.mask,
        direction=direction,
        engine=engine,
        kernel_sum=ratio,
        chi2=float(np.median(chi2)) / MEDIAN_CHI2,
        substamps=substamps or len(picked),
        psf=_psf(science, reference, forward=forward, found=found, widths=widths),
        fwhm_science_px=widths[0],
        fwhm_reference_px=widths[1],
        x=picked.x,
        y=picked.y,
    )


def _flux_ratio(science: Stars, reference: Stars) -> float:
    """Return the median ratio of the fluxes of stars within 1 px of each other."""
    distance, there = spatial.cKDTree(np.stack([reference.x, reference.y], 1)).query(
        np.stack([science.x, science.y], 1)
    )
    near = distance < 1
    if not near.any():
        raise AlgorithmError("science image and reference share no star to compare their scales with")
    return float(np.median(science.flux[near] / reference.flux[there[near]]))
