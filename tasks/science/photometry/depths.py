"""Depth of an image: by the formula of the production headers, and by empty apertures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from astropy.table import Table
from numba import njit

from tasks.science.arrays import nmad
from tasks.science.astrometry.matching import Floats
from tasks.science.images import fast_medians
from tasks.science.sources import windowed_shapes

# their nMAD is known to 5 %, the depth to 0.06 mag
FEWEST_APERTURES = 500
# 16 places for each aperture: in crowded fields most of them lie on sources
MOST_TRIES = 8000
# the sky is the median of a box as wide as the mesh of the detection's background
SKY_BOX_PX = 64
# wings of a Moffat profile at twice the isophote's radius have fallen to a fiftieth
REACH_OF_ISOPHOTE = 2.0
# fractions of the golden section in two dimensions: places that fill a frame evenly, the same in every run
GOLDEN = (0.7548776662466927, 0.5698402909980532)


@dataclass(frozen=True, kw_only=True, eq=False)
class Pixels:
    """An image ``(ny, nx)`` on the host, its mask (True = bad), and its variance if needed."""

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
    scatter includes effects that the sky's noise per pixel does not: correlated noise of resampled images, sources
    below the threshold, uneven background. A diameter with fewer than 500 free places is left out.

    Parameters
    ----------
    table
        Detections with X_IMAGE, Y_IMAGE (1-based), ISOAREA_IMAGE, ELONGATION.
    diameters_px
        Apertures.
    """
    sizes = sorted(set(diameters_px))
    discs = [_disc(size) for size in sizes]
    widest = max(map(len, discs), default=1)
    weights = np.stack([np.pad(disc, (widest - len(disc)) // 2) for disc in discs])
    ny, nx = pixels.image.shape
    half = min(SKY_BOX_PX, (min(ny, nx) - 1) // 4)
    area = np.asarray(table["ISOAREA_IMAGE"], dtype=float) * np.asarray(table["ELONGATION"], dtype=float)
    image = np.ascontiguousarray(pixels.image, np.float32)
    values, counts = _visit(
        image,
        pixels.bad | ~np.isfinite(image),
        _places(ny, nx, half),
        np.stack([np.asarray(table["X_IMAGE"]) - 1.0, np.asarray(table["Y_IMAGE"]) - 1.0], axis=1),
        1 + REACH_OF_ISOPHOTE * np.sqrt(np.maximum(area, 1) / np.pi),
        weights,
        np.array([len(disc) // 2 for disc in discs]),
        half,
    )
    full = zip(sizes, values, counts, strict=True)
    return {size: float(nmad(fluxes)) for size, fluxes, number in full if number == FEWEST_APERTURES}


def _places(ny: int, nx: int, half: int) -> Floats:
    """Return places (x, y) spread over an image, ``half`` px away from its edges."""
    numbers = np.arange(1, MOST_TRIES + 1)
    return np.stack(
        [
            half + (numbers * step % 1 * (size - 2 * half)).astype(int)
            for step, size in zip(GOLDEN, (nx, ny), strict=True)
        ],
        axis=1,
    )


@njit(nogil=True, cache=True)
def _visit(
    image: Floats, bad: Floats, places: Floats, sources: Floats, reach: Floats, discs: Floats, halves: Floats, half: int
) -> tuple[Floats, Floats]:
    """Return each disc's flux above the median of its box at its first 500 free places, and their number.

    ``discs`` ``(number, size, size)`` hold the fraction of each pixel inside a disc, ``halves`` the half sizes of the
    discs; ``half`` is that of a box, ``sources`` (x, y) take ``reach`` px around them.
    """
    width, middle = 2 * half + 1, discs.shape[1] // 2
    fluxes = np.zeros((len(discs), FEWEST_APERTURES))
    counts = np.zeros(len(discs), np.int64)
    free = np.empty((width, width), np.bool_)
    sky = np.empty(width * width, np.float32)
    for place in range(len(places)):
        if counts.min() == FEWEST_APERTURES:
            break
        x, y = places[place]
        if bad[y, x] or not _mark_free(free, bad, x, y, sources, reach, half):
            continue
        level, level_known = 0.0, False
        for number in range(len(discs)):
            own = halves[number]
            if counts[number] == FEWEST_APERTURES or own >= half:
                continue
            disc = discs[number, middle - own : middle + own + 1, middle - own : middle + own + 1]
            if not _lies_free(free[half - own : half + own + 1, half - own : half + own + 1], disc):
                continue
            if not level_known:
                level, level_known = _level(image[y - half : y + half + 1, x - half : x + half + 1], free, sky), True
            fluxes[number, counts[number]] = _flux(image[y - own : y + own + 1, x - own : x + own + 1], disc, level)
            counts[number] += 1
    return fluxes, counts


@njit(nogil=True, cache=True)
def _mark_free(free: Floats, bad: Floats, x: int, y: int, sources: Floats, reach: Floats, half: int) -> bool:
    """Mark the pixels around a place that are neither bad nor a source's; return False if the place is a source's."""
    for number in range(len(sources)):
        if (sources[number, 0] - x) ** 2 + (sources[number, 1] - y) ** 2 <= reach[number] ** 2:
            return False
    width = free.shape[0]
    for row in range(width):
        for column in range(width):
            free[row, column] = not bad[y - half + row, x - half + column]
    for number in range(len(sources)):
        there_x, there_y, radius = sources[number, 0] - x + half, sources[number, 1] - y + half, reach[number]
        for row in range(max(0, math.ceil(there_y - radius)), min(width, math.floor(there_y + radius) + 1)):
            for column in range(max(0, math.ceil(there_x - radius)), min(width, math.floor(there_x + radius) + 1)):
                if (column - there_x) ** 2 + (row - there_y) ** 2 <= radius**2:
                    free[row, column] = False
    return True


@njit(nogil=True, cache=True)
def _lies_free(free: Floats, disc: Floats) -> bool:
    for row in range(disc.shape[0]):
        for column in range(disc.shape[1]):
            if disc[row, column] > 0 and not free[row, column]:
                return False
    return True


@njit(nogil=True, cache=True)
def _level(box: Floats, free: Floats, values: Floats) -> float:
    """Return the median of the free pixels of a box; ``values`` is room for them."""
    number = 0
    for row in range(box.shape[0]):
        for column in range(box.shape[1]):
            if free[row, column]:
                values[number] = box[row, column]
                number += 1
    return fast_medians.median(values[:number])


@njit(nogil=True, cache=True)
def _flux(cut: Floats, disc: Floats, level: float) -> float:
    total = 0.0
    for row in range(disc.shape[0]):
        for column in range(disc.shape[1]):
            total += (cut[row, column] - level) * disc[row, column]
    return total


def _disc(diameter_px: float) -> Floats:
    """Return the part of each pixel that lies in a circle around a pixel's centre; its sum is the circle's area."""
    half, divided = int(np.ceil(diameter_px / 2)), windowed_shapes.SUBPIXELS
    fine = (np.arange((2 * half + 1) * divided) + 0.5) / divided - half - 0.5
    inside = np.hypot(fine[None, :], fine[:, None]) <= diameter_px / 2
    parts = inside.reshape(2 * half + 1, divided, 2 * half + 1, divided).mean(axis=(1, 3))
    return np.asarray(parts * np.pi * diameter_px**2 / 4 / parts.sum())
