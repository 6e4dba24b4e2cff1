"""Windowed centroids and half-light radii, as Source Extractor defines them, in loops compiled for the processor.

Only pixels that contribute are read: the window is a product of two Gaussians, so it needs one exponential per row and
column, and sub-pixels are counted only near the half-light radius. The loops run without the interpreter's lock and
are compiled once: the code is cached beside this file, or in the user's cache.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

Floats = np.ndarray[Any, Any]

# Source Extractor's WINPOS_NITERMAX
ROUNDS = 16
# Source Extractor's WINPOS_NSIG
REACH_SIGMA = 4.0
# steps are doubled, as the window pulls a centroid back by half; below this length in px they end
STEP_FACTOR, SMALLEST_STEP_PX = 2.0, 1e-4
# sep's FLUX_RADIUS_BUFSIZE
BINS = 64
# of a pixel's side: Source Extractor's APER_OVERSAMP
SUBPIXELS = 5
# of a pixel, rounded up
HALF_DIAGONAL_PX = 0.7072
NEAR_PX = 1.5
"""How far around a first estimate of the half-light radius sub-pixels are counted."""


@njit(nogil=True, cache=True)
def centroids(image: Floats, x: Floats, y: Floats, sigma: Floats) -> tuple[Floats, Floats]:
    """Return the centroids under Gaussian windows.

    Parameters
    ----------
    image
        Image ``(ny, nx)``, float32, its sky subtracted, 0 where it has no value.
    x, y
        First positions, 0-based px; returned unchanged if a window leaves the image or contains no light.
    sigma
        Widths of the windows in px.
    """
    found_x, found_y = x.copy(), y.copy()
    for number in range(x.size):
        place_x, place_y = x[number], y[number]
        for _ in range(ROUNDS):
            inside, step_x, step_y = _moment(image, place_x, place_y, sigma[number])
            if not inside:
                place_x, place_y = x[number], y[number]
                break
            place_x += STEP_FACTOR * step_x
            place_y += STEP_FACTOR * step_y
            if step_x * step_x + step_y * step_y < SMALLEST_STEP_PX * SMALLEST_STEP_PX:
                break
        found_x[number], found_y[number] = place_x, place_y
    return found_x, found_y


@njit(nogil=True, cache=True)
def _moment(image: Floats, x: float, y: float, sigma: float) -> tuple[bool, float, float]:
    """Return whether the window lies on the image and contains light, and the first moments under it."""
    ny, nx = image.shape
    reach = REACH_SIGMA * sigma
    left, right = int(np.ceil(x - reach)), int(np.floor(x + reach))
    low, high = int(np.ceil(y - reach)), int(np.floor(y + reach))
    if left < 0 or low < 0 or right >= nx or high >= ny:
        return False, 0.0, 0.0
    scale = -0.5 / (sigma * sigma)
    steps = np.arange(left, right + 1) - x
    window = np.exp(scale * steps * steps)
    total, moment_x, moment_y = 0.0, 0.0, 0.0
    for row in range(low, high + 1):
        light, lever = 0.0, 0.0
        for k in range(steps.size):
            value = image[row, left + k] * window[k]
            light += value
            lever += value * steps[k]
        step = row - y
        weight = np.exp(scale * step * step)
        total += weight * light
        moment_x += weight * lever
        moment_y += weight * light * step
    if not total > 0:
        return False, 0.0, 0.0
    return True, moment_x / total, moment_y / total


@njit(nogil=True, cache=True)
def half_light_px(image: Floats, x: Floats, y: Floats, reach_px: Floats, flux: Floats) -> Floats:
    """Return the radii of circles that hold half of each source's ``flux``; ``reach_px`` if none does.

    ``image``, ``x`` and ``y`` are those of ``centroids``; ``reach_px`` is the largest radius searched.
    """
    radii = np.empty(x.size)
    for number in range(x.size):
        reach, wanted = reach_px[number], 0.5 * flux[number]
        rough = _crossing(_growth(image, x[number], y[number], reach, reach, 0.0), wanted, reach)
        first, last = max(0.0, rough - NEAR_PX), min(reach, rough + NEAR_PX)
        radius = _crossing(_growth(image, x[number], y[number], reach, first, last), wanted, reach)
        if not (first + reach / BINS < radius < last or first <= 0.0):
            radius = _crossing(_growth(image, x[number], y[number], reach, 0.0, reach), wanted, reach)
        radii[number] = radius
    return radii


@njit(nogil=True, cache=True)
def _growth(image: Floats, x: float, y: float, reach: float, first: float, last: float) -> Floats:
    """Return the light within each of ``BINS`` radii up to ``reach``.

    Pixels that may lie between the radii ``first`` and ``last`` are divided; others count as a whole.
    """
    ny, nx = image.shape
    bins = np.zeros(BINS)
    dense = BINS / reach
    part = 1.0 / (SUBPIXELS * SUBPIXELS)
    for row in range(max(0, int(y - reach - 0.5)), min(ny, int(y + reach + 1.5))):
        for column in range(max(0, int(x - reach - 0.5)), min(nx, int(x + reach + 1.5))):
            dx, dy = column - x, row - y
            radius = np.sqrt(dx * dx + dy * dy)
            value = image[row, column]
            if radius < first - HALF_DIAGONAL_PX or radius > last + HALF_DIAGONAL_PX:
                if radius < reach:
                    bins[int(radius * dense)] += value
                continue
            for j in range(SUBPIXELS):
                v = dy + (j + 0.5) / SUBPIXELS - 0.5
                for i in range(SUBPIXELS):
                    u = dx + (i + 0.5) / SUBPIXELS - 0.5
                    radius = np.sqrt(u * u + v * v)
                    if radius < reach:
                        bins[int(radius * dense)] += value * part
    return np.cumsum(bins)


@njit(nogil=True, cache=True)
def _crossing(growth: Floats, wanted: float, reach: float) -> Any:
    """Return the radius at which a curve of growth reaches the wanted flux."""
    step = reach / BINS
    for number in range(BINS):
        if growth[number] >= wanted:
            before = growth[number - 1] if number else 0.0
            if growth[number] <= before:
                return step * number
            return step * (number + (wanted - before) / (growth[number] - before))
    return reach
