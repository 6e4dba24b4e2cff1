"""Stars that the search for cosmic rays took for rays: given back where a star's image explains the hit.

L.A.Cosmic tells a ray from a star by its sharpness. A star's image that is sampled by pixels as large as itself is as sharp as
a ray, and up to all stars of a frame may be lost. So the hits are compared with the frame's own star image: a Moffat profile
integrated over pixels, whose width is the usual one of the frame's bright peaks. A hit that it explains is a star.
Frames with a width of more than 2.8 px are left as they are: there sharpness decides well, and a ray on a star's wing must go.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from tasks.science.arrays import Array, array_namespace
from tasks.science.images import masks

# widths of a star's image that are tried, FWHM in px; of those beyond COARSE_PX sharpness decides well
WIDTHS_PX = (0.9, 1.0, 1.1, 1.2, 1.35, 1.5, 1.7, 1.9, 2.1, 2.35, 2.6, 2.9, 3.4, 4.2, 5.5, 7.0)
COARSE_PX = 2.8
# half the side of the window that is compared, a neighbour's light being outside of it; the ring gives the background
HALF, RING = 1, 3
# a star's hits lie within so much of its peak
STAR_PX = 2
# sub-pixel positions along each axis
PHASES = np.linspace(-0.5, 0.5, 9)
# of a Moffat profile: that of the seeing, by turbulence 2.5 to 4.7 (Trujillo et al. 2001, MNRAS 328, 977)
BETA = 3.5
# points along a pixel's side by which the profile is integrated
SUB_PX = 8
# relative error of the star image, of its own value and of its peak: real images are no Moffat profiles
SHAPE_ERROR, WING_ERROR = 0.25, 0.03
# a star's image of free position and brightness leaves so much of chi2 per degree of freedom
LARGEST_CHI2 = 3.3
PARAMETERS = 3
# peaks that tell the width: this many times the noise, in the middle of the frame
BRIGHT_SIGMA, MIDDLE_PX = 15.0, 1024
MOST_PEAKS, FEWEST_STARS = 1000, 8
# so many of the peaks that were hit
MANY_PART = 0.05
# peaks compared at once
TOGETHER = 1024


@dataclass(frozen=True, kw_only=True)
class Spared:
    """Number of stars given back of all peaks that were hit, and the stars' FWHM in px; 0 if it is unknown."""

    stars: int = 0
    peaks: int = 0
    fwhm_px: float = 0.0

    @property
    def many(self) -> bool:
        """Whether they are more than the few that any frame has, so that the frame deserves a flag."""
        return self.stars >= FEWEST_STARS and self.stars > MANY_PART * self.peaks


def spare(image: Array, variance: Array, hits: Array, *, ignore: Array) -> tuple[Array, Spared]:
    """Return the hits without those that are stars, and how many stars these were.

    Parameters
    ----------
    image, variance
        As given to the search for cosmic rays, (ny, nx).
    hits
        Mask of what it found.
    ignore
        Mask of pixels that are no part of a star, such as saturated ones.
    """
    fwhm_px = width(image, variance, ignore=ignore)
    if not 0 < fwhm_px <= COARSE_PX:
        return hits, Spared(fwhm_px=fwhm_px)
    xp = array_namespace(image)
    y, x = _peaks(image, masks.grow(hits))
    star = _chi2(image, variance, y, x, fwhm_px) < LARGEST_CHI2
    kept = hits.copy()
    for dy in range(-STAR_PX, STAR_PX + 1):
        for dx in range(-STAR_PX, STAR_PX + 1):
            kept[xp.clip(y[star] + dy, 0, image.shape[0] - 1), xp.clip(x[star] + dx, 0, image.shape[1] - 1)] = False
    return kept, Spared(stars=int(star.sum()), peaks=int(y.size), fwhm_px=fwhm_px)


def width(image: Array, variance: Array, *, ignore: Array) -> float:
    """Return the FWHM of the frame's stars in px: the median of the best ones of the bright peaks; 0 if too few have one."""
    ny, nx = image.shape
    rows, columns = (slice(max(0, (n - MIDDLE_PX) // 2), max(0, (n - MIDDLE_PX) // 2) + MIDDLE_PX) for n in (ny, nx))
    middle, noise = image[rows, columns], variance[rows, columns]
    xp = array_namespace(image)
    bright = (middle - xp.median(middle) > BRIGHT_SIGMA * xp.sqrt(noise)) & ~ignore[rows, columns]
    y, x = _peaks(middle, bright)
    y, x = y[:: max(1, y.size // MOST_PEAKS)], x[:: max(1, x.size // MOST_PEAKS)]
    if y.size < FEWEST_STARS:
        return 0.0
    chi2 = xp.stack([_chi2(middle, noise, y, x, fwhm) for fwhm in WIDTHS_PX])
    best = xp.argmin(chi2, axis=0)[chi2.min(axis=0) < LARGEST_CHI2]
    return WIDTHS_PX[int(xp.median(best))] if best.size >= FEWEST_STARS else 0.0


def _peaks(image: Array, where: Array) -> tuple[Array, Array]:
    """Return the pixels in ``where`` that no neighbour exceeds, away from the borders."""
    xp = array_namespace(image)
    margin = RING + 1
    inner = xp.zeros(where.shape, bool)
    inner[margin:-margin, margin:-margin] = where[margin:-margin, margin:-margin]
    y, x = xp.nonzero(inner)
    top = xp.ones(y.shape, bool)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            if dy or dx:
                top &= image[y, x] >= image[y + dy, x + dx]
    return y[top], x[top]


def _chi2(image: Array, variance: Array, y: Array, x: Array, fwhm_px: float) -> Array:
    """Return chi2 per degree of freedom of the best star image at each peak; infinite for a negative one."""
    xp = array_namespace(image)
    stars = xp.asarray(_star_images(fwhm_px))
    result = xp.full(y.shape, xp.inf, xp.float32)
    for start in range(0, int(y.size), TOGETHER):
        piece = slice(start, start + TOGETHER)
        result[piece] = _chi2_of(xp, image, variance, y[piece], x[piece], stars)
    return result


def _chi2_of(xp: Any, image: Array, variance: Array, y: Array, x: Array, stars: Array) -> Array:
    steps = range(-RING, RING + 1)
    ring = [(dy, dx) for dy in steps for dx in steps if max(abs(dy), abs(dx)) == RING]
    window = [(dy, dx) for dy in range(-HALF, HALF + 1) for dx in range(-HALF, HALF + 1)]
    sky = xp.median(xp.stack([image[y + dy, x + dx] for dy, dx in ring], axis=1), axis=1)
    data = xp.stack([image[y + dy, x + dx] for dy, dx in window], axis=1) - sky[:, None]
    noise2 = xp.stack([variance[y + dy, x + dx] for dy, dx in window], axis=1)
    weight = 1 / noise2
    flux = (weight * data) @ stars.T / xp.maximum(weight @ (stars * stars).T, xp.float32(1e-30))
    model = flux[:, :, None] * stars[None]
    peak = model.max(axis=2, keepdims=True)
    error2 = noise2[:, None] + (SHAPE_ERROR * model) ** 2 + (WING_ERROR * peak) ** 2
    chi2 = ((data[:, None] - model) ** 2 / error2).sum(axis=2) / (len(window) - PARAMETERS)
    return xp.where(flux > 0, chi2, xp.inf).min(axis=1)


@functools.cache
def _star_images(fwhm_px: float) -> np.ndarray[Any, Any]:
    """Return Moffat profiles integrated over the pixels of the window, for all sub-pixel positions, each of sum 1 on the plane."""
    core = fwhm_px / (2 * math.sqrt(2 ** (1 / BETA) - 1))
    side = 2 * HALF + 1
    places = (np.arange(side * SUB_PX) + 0.5) / SUB_PX - 0.5 - HALF
    squares = [(places - phase) ** 2 for phase in PHASES]
    density = (BETA - 1) / (np.pi * core**2 * SUB_PX**2)
    profiles = [
        density * (1 + (down[:, None] + along[None]) / core**2) ** -BETA for down in squares for along in squares
    ]
    pixels = [each.reshape(side, SUB_PX, side, SUB_PX).sum(axis=(1, 3)).ravel() for each in profiles]
    return np.stack(pixels).astype(np.float32)
