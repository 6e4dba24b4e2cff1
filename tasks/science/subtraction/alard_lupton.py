"""Engine ``siren``: subtraction of a reference from a science image after matching their PSFs.

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
from scipy import ndimage, spatial

from tasks import constants
from tasks.errors import AlgorithmError, UnusableData
from tasks.records import MaskBit
from tasks.science import arrays
from tasks.science.arrays import Array
from tasks.science.images import convolution, masks
from tasks.science.images.convolution import VaryingKernel
from tasks.science.sources import stars
from tasks.science.sources.stars import Floats, Stars
from tasks.science.subtraction import kernel_fit
from tasks.science.subtraction.aligned_images import SubtractionImage
from tasks.science.subtraction.kernel_fit import Fit, Settings

log = logging.getLogger(__name__)

# stars of each cell; HOTPANTS takes 3 (-nss)
STAMPS_PER_CELL = 4
# on each side: HOTPANTS' -nsx and -nsy
CELLS = 10
# charge spreads from a saturated pixel
SATURATION_GROWTH_PX = 3
MEDIAN_CHI2 = 0.4549  # of one degree of freedom
LEAK = 0.02  # a pixel is bad if this fraction of the kernel's weight falls on bad ones


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


def subtract(
    science: SubtractionImage,
    reference: SubtractionImage,
    *,
    settings: Settings | None = None,
    found: tuple[Stars, Stars] | None = None,
) -> Subtraction:
    """Subtract ``reference``, already on the science image's pixels, from ``science``.

    Parameters
    ----------
    found
        Stars of the science image and of the reference, if already detected.

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
    fit = kernel_fit.solve(sharp, blurred, picked, settings, widths)
    return _assemble(science, reference, fit, direction=direction, widths=widths, found=(sci_stars, ref_stars))


def bits(result: Subtraction, science: SubtractionImage, reference: SubtractionImage) -> Array:
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
    return "reference" if fwhm_reference <= constants.EQUAL_SEEING * fwhm_science else "science"


def _pick(found: Stars, science: SubtractionImage, reference: SubtractionImage, width: float) -> Stars:
    """Choose bright stars without bad pixels near them, a few in each cell of a grid."""
    half = kernel_fit.stamp_half_width(width)
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
    if len(keep) < kernel_fit.MINIMUM_STAMPS:
        raise UnusableData(f"{len(keep)} stars to match the PSFs with, at least {kernel_fit.MINIMUM_STAMPS} are needed")
    return candidates.where(np.sort(keep).astype(int))


def _assemble(
    science: SubtractionImage,
    reference: SubtractionImage,
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
    convolved = convolution.convolve_varying(_filled(sharp), fit.kernel) + _background(fit, sharp.shape, xp)
    # to the science image's scale: the kernel brought the reference there, or the science image away from it
    factor = 1.0 if forward else 1.0 / total
    difference = (other.image - convolved) if forward else (convolved - other.image) * factor
    variance = (other.variance + convolution.convolve_squared(_filled_variance(sharp), fit.kernel)) * factor**2
    mask = other.mask | masks.grow(other.saturated, SATURATION_GROWTH_PX) | _spread(sharp, fit.kernel)
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
    science: SubtractionImage,
    reference: SubtractionImage,
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
    terms = convolution.polynomials(x, y, shape, degree)
    return sum(float(c) * term for c, term in zip(fit.background, terms, strict=True))


def _filled(exposure: SubtractionImage) -> Array:
    """Replace bad pixels by the sky, so that convolution does not smear them; saturated ones keep their values."""
    xp = arrays.array_namespace(exposure.image)
    bad = exposure.mask | ~xp.isfinite(exposure.image)
    return xp.where(bad, xp.median(exposure.image[~bad]), exposure.image)


def _filled_variance(exposure: SubtractionImage) -> Array:
    xp = arrays.array_namespace(exposure.image)
    bad = exposure.mask | ~xp.isfinite(exposure.variance)
    return xp.where(bad, xp.median(exposure.variance[~bad]), exposure.variance)


def _spread(exposure: SubtractionImage, kernel: VaryingKernel) -> Array:
    """Return the pixels affected by bad ones in the kernel: any weight of saturated ones, ``LEAK`` of the others."""
    xp = arrays.array_namespace(exposure.image)
    weight = float(np.abs(kernel.centre).sum())
    bad = exposure.mask.astype(xp.float32)
    # convolution extends the border: a bad rim makes everything beyond it bad
    bad[0], bad[-1], bad[:, 0], bad[:, -1] = 1, 1, 1, 1
    touched = convolution.convolve_absolute(bad, kernel) > LEAK * weight
    half = kernel.terms.shape[-1] // 2
    return exposure.mask | touched | masks.grow(exposure.saturated, min(half, SATURATION_GROWTH_PX + half // 2))


def from_engine(
    science: SubtractionImage,
    reference: SubtractionImage,
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
    """Complete another engine's result: the PSF of its difference, its kernel's sum and its chi² on stars.

    A sum not reported by the engine is the ratio of the stars' fluxes in the two images.
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
