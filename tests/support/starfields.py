"""Dithered, turned frames of one field of stars, with known positions and fluxes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from tasks.science.images.backgrounds import Background, Window
from tasks.science.stacking import coadding

SCALE_DEG = 0.5057 / 3600
CENTRE_DEG = (110.0, -30.0)
FWHM_PX = 4.2
NOISE_ADU = 12.0
MESH_PX = 128


@dataclass(frozen=True, kw_only=True)
class Shot:
    """One frame: its sky is ``sky_adu``, its fluxes are those of the field divided by ``scale``."""

    image: np.ndarray
    weight: np.ndarray
    wcs: WCS
    header: fits.Header
    scale: float


def sky_of(number: int, shape: tuple[int, int], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return positions (degrees) and fluxes (ADU) of stars all over the field."""
    half = 0.45 * np.array(shape[::-1]) * SCALE_DEG
    x, y = (rng.uniform(-limit, limit, number) for limit in half)
    flux = 10 ** rng.uniform(3.6, 5.6, number)
    return CENTRE_DEG[0] + x / np.cos(np.radians(CENTRE_DEG[1])), CENTRE_DEG[1] + y, flux


def wcs_of(shape: tuple[int, int], *, turn_deg: float, shift_px: tuple[float, float], distortion: float = 0.0) -> WCS:
    """Return a TAN (or, distorted, TPV) WCS: East to the left before the turn."""
    angle = np.radians(turn_deg)
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"] if not distortion else ["RA---TPV", "DEC--TPV"]
    wcs.wcs.crval = CENTRE_DEG
    wcs.wcs.crpix = shape[1] / 2 + shift_px[0], shape[0] / 2 + shift_px[1]
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    wcs.wcs.cd = SCALE_DEG * np.diag([-1.0, 1.0]) @ turn
    if distortion:
        wcs.wcs.set_pv(
            [(i, 1, 1.0) for i in (1, 2)] + [(i, 7, distortion) for i in (1, 2)] + [(i, 9, distortion) for i in (1, 2)]
        )
    wcs.wcs.set()
    return wcs


def draw(
    shape: tuple[int, int],
    stars: tuple[np.ndarray, np.ndarray, np.ndarray],
    wcs: WCS,
    rng: np.random.Generator,
    *,
    scale: float = 1.0,
    sky_adu: float = 250.0,
    noise_adu: float = NOISE_ADU,
) -> Shot:
    """Draw a frame: Gaussian stars, flat sky, white noise, a few bad pixels of weight 0 with their neighbours' value."""
    image = np.full(shape, sky_adu, np.float32)
    ra, dec, flux = stars
    x, y = wcs.all_world2pix(ra, dec, 0)
    sigma = FWHM_PX / 2.3548
    for each in zip(x, y, flux / scale, strict=True):
        _add(image, *each, sigma)
    image += rng.normal(0, noise_adu, shape).astype(np.float32) if noise_adu else 0
    weight = np.full(shape, max(noise_adu, 1.0) ** -2, np.float32)
    bad = rng.integers(0, image.size, image.size // 5000)
    weight.ravel()[bad] = 0
    header = wcs.to_header()
    header["EGAIN"], header["SATURATE"] = 0.2562, 60000.0
    return Shot(image=image, weight=weight, wcs=wcs, header=header, scale=scale)


def dithered(
    number: int,
    shape: tuple[int, int],
    rng: np.random.Generator,
    *,
    stars: int,
    distortion: float = 0.0,
    noise_adu: float = NOISE_ADU,
) -> tuple[list[Shot], tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Return frames shifted by up to 15 px, turned by up to a degree, every third by half a turn more; and the stars."""
    field = sky_of(stars, shape, rng)
    shots = []
    for index in range(number):
        turn = rng.uniform(-1, 1) + (180 if index % 3 == 2 else 0)
        wcs = wcs_of(shape, turn_deg=turn, shift_px=tuple(rng.uniform(-15, 15, 2)), distortion=distortion)
        shots.append(draw(shape, field, wcs, rng, scale=rng.uniform(0.9, 1.2), noise_adu=noise_adu))
    return shots, field


def _add(image: np.ndarray, x: float, y: float, flux: float, sigma: float) -> None:
    reach = int(6 * sigma)
    column, row = round(x), round(y)
    if not (reach <= column < image.shape[1] - reach and reach <= row < image.shape[0] - reach):
        return
    offsets = np.arange(-reach, reach + 1)
    profile_x = np.exp(-((offsets + column - x) ** 2) / (2 * sigma**2))
    profile_y = np.exp(-((offsets + row - y) ** 2) / (2 * sigma**2))
    star = flux / (2 * np.pi * sigma**2) * np.outer(profile_y, profile_x)
    image[row - reach : row + reach + 1, column - reach : column + reach + 1] += star.astype(np.float32)


def window_of(image: np.ndarray, weight: np.ndarray) -> Window:
    """Yield parts of a frame in memory."""
    return lambda rows, columns: (image[rows, columns], weight[rows, columns])


def background_of(image: np.ndarray, weight: np.ndarray) -> Background:
    return Background.of(window_of(image, weight), image.shape, MESH_PX)


def exposures(shots: list[Shot]) -> list[coadding.CoaddInput]:
    """Make shots ready to be combined, each without its sky."""
    return [
        coadding.CoaddInput(
            window=coadding.without_sky(window_of(shot.image, shot.weight), background_of(shot.image, shot.weight)),
            shape=shot.image.shape,
            wcs=shot.wcs,
            scale=shot.scale,
        )
        for shot in shots
    ]
