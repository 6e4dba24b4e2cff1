"""Pairs of images with a known difference: stars drawn by the error function, blurred by SciPy, photon noise added."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage, special

SKY = 200.0
GAIN = 2.0


@dataclass(frozen=True, kw_only=True)
class Pair:
    science: np.ndarray
    reference: np.ndarray
    science_variance: np.ndarray
    reference_variance: np.ndarray
    kernel_sum: float
    x: np.ndarray
    y: np.ndarray
    flux: np.ndarray
    new_x: np.ndarray
    new_y: np.ndarray
    new_flux: np.ndarray


def draw(shape, x, y, flux, sigma):
    """Stars of a Gaussian PSF integrated over the pixels."""
    image = np.zeros(shape)
    half = int(np.ceil(6 * sigma))
    for px, py, f in zip(x, y, flux, strict=True):
        i, j = round(px), round(py)
        u = np.arange(max(0, i - half), min(shape[1], i + half + 1))
        v = np.arange(max(0, j - half), min(shape[0], j + half + 1))
        if len(u) and len(v):
            image[v[0] : v[-1] + 1, u[0] : u[-1] + 1] += f * np.outer(
                _integral(v - py, sigma), _integral(u - px, sigma)
            )
    return image


def make(
    rng,
    *,
    shape=(500, 600),
    stars=300,
    sigma=1.4,
    blur=1.2,
    scale=1.3,
    new=8,
    new_flux=(3000.0, 30000.0),
    gradient=20.0,
    depth=3.0,
    background=SKY,
):
    """Return a reference with a PSF of ``sigma`` px, and a science image of the same sky, blurred and scaled, with new stars."""
    ny, nx = shape
    x, y = rng.uniform(8, nx - 9, stars), rng.uniform(8, ny - 9, stars)
    flux = 10 ** rng.uniform(3.0, 5.2, stars)
    clear = _clear_places(rng, x, y, shape, new)
    new_flux = np.geomspace(*new_flux, new)
    before = draw(shape, x, y, flux, sigma)
    fresh = draw(shape, clear[:, 0], clear[:, 1], new_flux / scale, sigma)
    slope = gradient * np.linspace(-1, 1, nx)[None, :]
    after = scale * ndimage.gaussian_filter(before + fresh, blur, truncate=8) if blur else scale * (before + fresh)
    science, science_variance = noisy(rng, after + slope, background=background)
    reference, reference_variance = noisy(rng, before, background=background, exposures=depth)
    return Pair(
        science=science,
        reference=reference,
        science_variance=science_variance,
        reference_variance=reference_variance,
        kernel_sum=scale,
        x=x,
        y=y,
        flux=flux,
        new_x=clear[:, 0],
        new_y=clear[:, 1],
        new_flux=new_flux,
    )


def noisy(rng, scene, *, background=SKY, exposures=1.0):
    """Return the mean of several exposures of a scene, with its variance plane."""
    photons = np.clip(scene + background, 1, None) * GAIN * exposures
    variance = np.clip(scene + background, 1, None) / (GAIN * exposures)
    image = rng.poisson(photons) / (GAIN * exposures) - background
    return image.astype(np.float32), variance.astype(np.float32)


def _integral(offset, sigma):
    edge = np.sqrt(2) * sigma
    return 0.5 * (special.erf((offset + 0.5) / edge) - special.erf((offset - 0.5) / edge))


def _clear_places(rng, x, y, shape, number):
    """Return positions at least 12 px from stars and 40 px from the border."""
    places = []
    while len(places) < number:
        px, py = rng.uniform(40, shape[1] - 41), rng.uniform(40, shape[0] - 41)
        others = np.array(places).reshape(-1, 2)
        far = np.hypot(x - px, y - py).min() > 12
        if far and (not len(others) or np.hypot(others[:, 0] - px, others[:, 1] - py).min() > 25):
            places.append((px, py))
    return np.array(places).reshape(-1, 2)
