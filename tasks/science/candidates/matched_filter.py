"""The matched filter: flux and S/N of a point source at every pixel of a difference.

The PSF is the filter: ``flux = sum(P D / V) / sum(P^2 / V)`` is the best estimate of a point source's flux at a pixel,
and ``S/N = flux sqrt(sum(P^2 / V))``. Variance planes ignore the correlation of noise, so the S/N is divided by its own
scatter if that exceeds one.

References
----------
Zackay and Ofek 2017, ApJ 836, 187 (detection on images with a known PSF).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from tasks.records import MaskBit
from tasks.science import arrays
from tasks.science.arrays import Array
from tasks.science.images import convolution
from tasks.science.sources.stars import Floats
from tasks.science.subtraction.alard_lupton import Subtraction

# BACK_SIZE of the first pipeline of these cameras
MESH_PX = 128
# a block with fewer good pixels than a square of this side takes the whole image's value
SMALLEST_MESH_PX = 16
# every second row and column suffice for a block's median and scatter
MESH_STEP = 2
COVERED = 0.5  # part of the PSF's weight that must lie on good pixels for a detection


@dataclass(frozen=True, kw_only=True)
class Maps:
    """Maps of the matched filter, (ny, nx): S/N and flux in ADU; ``scatter`` is that of the raw S/N."""

    snr: Array
    flux: Array
    scatter: float


@dataclass(frozen=True, kw_only=True)
class SearchPlanes:
    """A difference and the planes a search needs: all (ny, nx), ``psf`` square of unit sum, masks True = bad.

    ``science`` and ``reference`` are the two subtracted images, sky included; ``covered`` is True where the reference
    has data, ``filled`` where the engine wrote a fill value.
    """

    difference: Array
    variance: Array
    mask: Array
    science: Array
    reference: Array
    covered: Array
    filled: Array
    saturated: Array
    psf: Floats
    fwhm_px: float


def planes(
    difference: Array,
    convolved: Array,
    variance: Array,
    bits: Array,
    science: Array,
    *,
    direction: str,
    kernel_sum: float,
    psf: Floats,
    fwhm_px: float,
) -> SearchPlanes:
    """Build the planes of a search from the products of a subtraction.

    Parameters
    ----------
    bits
        Mask bits (``MaskBit``) of the difference, uint8, (ny, nx).
    direction, kernel_sum
        As in ``Difference``: for ``science`` the difference is the convolved science image minus the reference.
    """
    forward = direction == "reference"
    before = science if forward else convolved * kernel_sum
    return SearchPlanes(
        difference=difference,
        variance=variance,
        mask=bits != 0,
        science=before,
        reference=convolved if forward else before - difference,
        covered=(bits & MaskBit.NO_DATA) == 0,
        filled=(bits & MaskBit.INTERPOLATED) != 0,
        saturated=(bits & MaskBit.SATURATED) != 0,
        psf=psf,
        fwhm_px=fwhm_px,
    )


def planes_of(subtraction: Subtraction, bits: Array, science: Array) -> SearchPlanes:
    """Build the planes of a search from a subtraction in memory, its mask bits and the science image."""
    return planes(
        subtraction.difference,
        subtraction.convolved,
        subtraction.variance,
        bits,
        science,
        direction=subtraction.direction,
        kernel_sum=subtraction.kernel_sum,
        psf=subtraction.psf,
        fwhm_px=max(subtraction.fwhm_science_px, subtraction.fwhm_reference_px),
    )


def matched_filter(image: Array, variance: Array, mask: Array, psf: Floats) -> Maps:
    """Return S/N and flux of a point source at each pixel; both are 0 if most of the PSF is on bad pixels."""
    xp = arrays.array_namespace(image)
    good = ~mask & (variance > 0) & xp.isfinite(image)
    # one common scale, so that single precision suffices in any unit
    unit = float(xp.median(variance[good])) if bool(good.any()) else 1.0
    weight = xp.where(good, unit / xp.where(good, variance, 1), 0).astype(xp.float32)
    turned = psf[::-1, ::-1]
    # pixels beyond the border have no weight
    numerator, denominator, share = (
        convolution.convolve(plane, kernel, beyond="constant")
        for plane, kernel in (
            (xp.where(good, image, 0) * weight, turned),
            (weight, turned**2),
            (good.astype(xp.float32), turned),
        )
    )
    usable = (share > COVERED) & (denominator > 0)
    denominator = xp.where(usable, denominator, 1)
    flux = xp.where(usable, numerator / denominator, 0)
    snr = flux * xp.sqrt(denominator / unit)
    scatter = mesh(snr, mask | ~usable, spread=True)
    return Maps(
        snr=snr / xp.clip(scatter, 1, None),
        flux=flux,
        scatter=float(xp.median(scatter)),
    )


def mesh(image: Array, mask: Array, *, size: int = MESH_PX, spread: bool = False) -> Array:
    """Return the median (or with ``spread`` the nMAD) of blocks of ``size`` px, interpolated to every pixel."""
    xp = arrays.array_namespace(image)
    ny, nx = image.shape
    rows, columns = max(1, round(ny / size)), max(1, round(nx / size))
    host, bad = arrays.to_host(image), arrays.to_host(mask)
    overall = _statistic(host[~bad], spread=spread, fallback=1.0 if spread else 0.0)
    blocks = np.full((rows, columns), overall)
    for i, j in np.ndindex(rows, columns):
        cut = np.s_[i * ny // rows : (i + 1) * ny // rows, j * nx // columns : (j + 1) * nx // columns]
        few = np.s_[::MESH_STEP, ::MESH_STEP]
        values = host[cut][few][~bad[cut][few]]
        if values.size * MESH_STEP**2 >= SMALLEST_MESH_PX**2:
            blocks[i, j] = _statistic(values, spread=spread, fallback=overall)
    blocks = ndimage.median_filter(blocks, size=3, mode="nearest")
    y, x = (np.arange(n) + 0.5 for n in (ny, nx))
    grid_y, grid_x = y * rows / ny - 0.5, x * columns / nx - 0.5
    along = np.stack([np.interp(grid_x, np.arange(columns), line) for line in blocks])
    low = np.clip(np.floor(grid_y).astype(int), 0, rows - 1)
    high = np.minimum(low + 1, rows - 1)
    part = np.clip(grid_y - low, 0, 1)[:, None]
    return xp.asarray((along[low] * (1 - part) + along[high] * part).astype(np.float32))


def _statistic(values: Floats, *, spread: bool, fallback: float) -> float:
    if values.size == 0:
        return fallback
    return float(arrays.nmad(values)) if spread else float(np.median(values))


def windows(image: Array, row: Any, column: Any, half: int, *, fill: float) -> Floats:
    """Return the squares around pixels, (n, 2 half + 1, 2 half + 1), on the host; ``fill`` beyond the border."""
    host = np.pad(arrays.to_host(image), half, constant_values=fill)
    steps = np.arange(2 * half + 1)
    return np.asarray(host[row[:, None, None] + steps[:, None], column[:, None, None] + steps[None, :]])
