"""How faint a source an image shows: by the formula of the production headers, and by its own empty apertures."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from astropy.table import Table
from numba import njit
from scipy.spatial import cKDTree

from tasks.science.arrays import nmad
from tasks.science.matching import Floats

FEWEST_APERTURES = 500
MOST_TRIES = 8000
# the sky is the median of a box as wide as the mesh of the detection's background
SKY_BOX_PX = 64
SUBPIXELS = 5
# wings of a Moffat profile at twice the isophote's radius have fallen to a fiftieth
REACH_OF_ISOPHOTE = 2.0
# fractions of the golden section in two dimensions: places that fill a frame evenly, the same in every run
GOLDEN = (0.7548776662466927, 0.5698402909980532)


@dataclass(frozen=True, kw_only=True, eq=False)
class Pixels:
    """An image ``(ny, nx)`` on the host and where it must not be used (True = bad); its variance, where that is wanted."""

    image: Floats
    bad: Floats
    variance: Floats | None = None


def depth_mag(zero_point_mag: float, *, sky_sigma_adu: float, diameter_px: float, sigma: float) -> float:
    """Return the magnitude of ``sigma`` times the sky noise in an aperture: UL = ZP - 2.5 log10(n s sqrt(pi) d / 2)."""
    return limit_mag(zero_point_mag, noise_adu=sky_sigma_adu * np.sqrt(np.pi) * diameter_px / 2, sigma=sigma)


def limit_mag(zero_point_mag: float, *, noise_adu: float, sigma: float) -> float:
    """Return the magnitude of a flux of ``sigma`` times the noise of an aperture; NaN without noise."""
    return float(zero_point_mag - 2.5 * np.log10(sigma * noise_adu)) if noise_adu > 0 else float("nan")


def empty_noise_adu(pixels: Pixels, table: Table, diameters_px: Sequence[float]) -> dict[float, float]:
    """Return the scatter (nMAD) of the fluxes of empty apertures, by diameter.

    Apertures lie where neither a detection nor a bad pixel is; each has the median of the box around it subtracted. The
    scatter holds what the sky's noise per pixel does not: correlated noise of resampled images, sources below the
    threshold, uneven background. A diameter for which fewer than 500 places are free is left out.

    Parameters
    ----------
    table
        Detections with X_IMAGE, Y_IMAGE (1-based), ISOAREA_IMAGE, ELONGATION.
    diameters_px
        Apertures.
    """
    sizes = sorted(set(diameters_px))
    discs = [_disc(size) for size in sizes]
    fluxes: dict[float, list[float]] = {size: [] for size in sizes}
    for box, free in _places(pixels, table):
        wanted = [number for number, size in enumerate(sizes) if len(fluxes[size]) < FEWEST_APERTURES]
        if not wanted:
            break
        if not _fits(free, discs[wanted[0]]):
            continue
        sky = float(np.median(box[free]))
        for number in wanted:
            if _fits(free, discs[number]):
                cut = _centre(box, discs[number])
                fluxes[sizes[number]].append(float(((cut - sky) * discs[number]).sum()))
    return {size: float(nmad(np.array(values))) for size, values in fluxes.items() if len(values) >= FEWEST_APERTURES}


def _places(pixels: Pixels, table: Table) -> Iterator[tuple[Floats, Floats]]:
    """Give boxes around places all over the image, and which of their pixels are free of sources and faults."""
    ny, nx = pixels.image.shape
    half = min(SKY_BOX_PX, (min(ny, nx) - 1) // 4)
    sources = np.stack([np.asarray(table["X_IMAGE"]) - 1.0, np.asarray(table["Y_IMAGE"]) - 1.0], axis=1)
    area = np.asarray(table["ISOAREA_IMAGE"], dtype=float) * np.asarray(table["ELONGATION"], dtype=float)
    reach = 1 + REACH_OF_ISOPHOTE * np.sqrt(np.maximum(area, 1) / np.pi)
    tree = cKDTree(sources) if len(sources) else None
    farthest = np.hypot(half, half) + float(reach.max(initial=0))
    nobody = np.zeros(0, dtype=int)
    for number in range(1, MOST_TRIES + 1):
        x, y = (half + int(number * step % 1 * (size - 2 * half)) for step, size in zip(GOLDEN, (nx, ny), strict=True))
        cut = np.s_[y - half : y + half + 1, x - half : x + half + 1]
        box, free = pixels.image[cut], ~pixels.bad[cut]
        if not free[half, half]:
            continue
        near = np.array(tree.query_ball_point((x, y), farthest), dtype=int) if tree is not None else nobody
        offset = sources[near] - (x, y)
        distance = np.hypot(offset[:, 0], offset[:, 1])
        if (distance <= reach[near]).any():
            continue
        touching = distance - reach[near] < half * np.sqrt(2)
        _cover(free, half + offset[touching], reach[near][touching])
        yield box, free


@njit(nogil=True, cache=True)
def _cover(free: Floats, centres: Floats, radii: Floats) -> None:
    """Mark the pixels of circles around ``centres`` (x, y) as taken, in place."""
    ny, nx = free.shape
    for number in range(len(radii)):
        x, y, radius = centres[number, 0], centres[number, 1], radii[number]
        for row in range(max(0, math.ceil(y - radius)), min(ny, math.floor(y + radius) + 1)):
            for column in range(max(0, math.ceil(x - radius)), min(nx, math.floor(x + radius) + 1)):
                if (column - x) ** 2 + (row - y) ** 2 <= radius**2:
                    free[row, column] = False


def _disc(diameter_px: float) -> Floats:
    """Return the part of each pixel that lies in a circle around a pixel's centre; its sum is the circle's area."""
    half = int(np.ceil(diameter_px / 2))
    fine = (np.arange((2 * half + 1) * SUBPIXELS) + 0.5) / SUBPIXELS - half - 0.5
    inside = np.hypot(fine[None, :], fine[:, None]) <= diameter_px / 2
    parts = inside.reshape(2 * half + 1, SUBPIXELS, 2 * half + 1, SUBPIXELS).mean(axis=(1, 3))
    return np.asarray(parts * np.pi * diameter_px**2 / 4 / parts.sum())


def _centre(box: Floats, disc: Floats) -> Floats:
    """Return the middle of a box, as large as a disc."""
    margin = (box.shape[0] - disc.shape[0]) // 2
    return box[margin : margin + disc.shape[0], margin : margin + disc.shape[1]]


def _fits(free: Floats, disc: Floats) -> bool:
    """Tell whether every pixel of a disc is free, and the box is larger than the disc."""
    return free.shape[0] > disc.shape[0] and bool(_centre(free, disc)[disc > 0].all())
