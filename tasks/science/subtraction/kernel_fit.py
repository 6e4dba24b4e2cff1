"""Fit the kernel that turns one PSF into another: variance-weighted least squares on stamps around stars.

References
----------
Alard and Lupton 1998, ApJ 503, 325; Alard 2000, A&AS 144, 363; Becker et al. 2012, MNRAS 425, 1341.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy import linalg

from tasks import constants
from tasks.errors import AlgorithmError
from tasks.science import arrays
from tasks.science.arrays import Array
from tasks.science.images import convolution
from tasks.science.images.convolution import VaryingKernel
from tasks.science.sources.stars import Floats, Stars
from tasks.science.subtraction.aligned_images import SubtractionImage

SMALLEST_SIGMA_PX = 0.7  # narrowest difference of two PSFs that pixels can show
# fewer cannot show which one disagrees
MINIMUM_STAMPS = 4
# HOTPANTS' -ssig
CLIP_SIGMA = 3.0
# the fit ends earlier when no stamp changes
ROUNDS = 6
MODEL_ERROR = 0.005  # the PSF model is accurate to half a per cent of a star's light


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Model of the kernel.

    ``basis`` is ``gauss`` (Gaussians times polynomials) or ``delta`` (one unknown per pixel); ``degree`` and
    ``background_degree`` are those of the polynomials over the field, None lets the number of stamps decide.
    """

    basis: Literal["gauss", "delta"] = "gauss"
    degree: int | None = None
    background_degree: int = 1
    direction: Literal["auto", "reference", "science"] = "auto"


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


def solve(
    sharp: SubtractionImage, blurred: SubtractionImage, picked: Stars, settings: Settings, widths: tuple[float, float]
) -> Fit:
    """Fit the kernel that turns ``sharp`` into ``blurred``; stamps that disagree (variable stars) are left out.

    Parameters
    ----------
    picked
        Stars to cut stamps around.
    widths
        FWHM of the science image and of the reference, px.
    """
    basis = _basis(settings, widths, len(picked))
    degree = settings.degree if settings.degree is not None else _degree(len(picked))
    stamps = _cut(sharp, blurred, picked, basis, stamp_half_width(max(widths)))
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


def _basis(settings: Settings, widths: tuple[float, float], stamps: int) -> Floats:
    half = kernel_half_width(widths)
    if settings.basis == "delta":
        return np.asarray(convolution.delta_basis(min(half, 8)))
    blur = np.sqrt(abs(widths[0] ** 2 - widths[1] ** 2)) / constants.SIGMA_TO_FWHM
    sigma = max(blur, SMALLEST_SIGMA_PX)
    # the widest one moves light between core and wings, which no two nights share
    degrees = (4, 3, 2, 0) if stamps >= 15 else (2, 2, 0, 0)
    return np.asarray(convolution.gaussian_basis((0.5 * sigma, sigma, 2 * sigma, 4 * sigma), degrees, half))


def kernel_half_width(widths: tuple[float, float]) -> int:
    """Return a kernel's half width in px: 3 times the larger FWHM, between 5 and 25."""
    return int(np.clip(round(3.0 * max(widths)), 5, 25))


def stamp_half_width(width: float) -> int:
    """Return the half width in px of the stamps for a FWHM of ``width``: 3 times it, between 7 and 24."""
    return int(np.clip(round(3.0 * width), 7, 24))


def _degree(stamps: int) -> int:
    """Return the degree over the field that this many stamps determine."""
    return 2 if stamps >= 80 else 1 if stamps >= 25 else 0


def _cut(sharp: SubtractionImage, blurred: SubtractionImage, picked: Stars, basis: Floats, half: int) -> _Stamps:
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
    field = convolution.polynomials(stamps.x, stamps.y, shape, degree)
    sky = convolution.polynomials(stamps.x, stamps.y, shape, settings.background_degree)
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
