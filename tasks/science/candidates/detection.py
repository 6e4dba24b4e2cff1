"""Detection and measurement of sources on a difference image, of either sign."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import ndimage

from tasks.errors import UnusableData
from tasks.science import arrays
from tasks.science.candidates import matched_filter, measurement
from tasks.science.candidates.matched_filter import Maps, SearchPlanes
from tasks.science.candidates.measurement import Detections
from tasks.science.sources.stars import Floats

# least height assumed for a neighbour of the highest pixel, which noise can push to any value
LOWEST_NEIGHBOUR = 0.2


def detect(planes: SearchPlanes, *, threshold: float) -> tuple[Detections, Maps]:
    """Find and measure everything above ``threshold`` (S/N, either sign).

    Raises
    ------
    UnusableData
        If no pixel of the difference is good.
    """
    if bool(planes.mask.all()):
        raise UnusableData("no pixel of the difference is good: science image and reference share none")
    level = matched_filter.mesh(planes.difference, planes.mask)
    flat = planes.difference - level
    maps = matched_filter.matched_filter(flat, planes.variance, planes.mask, planes.psf)
    x, y, column, row, gain = peaks(arrays.to_host(maps.snr), threshold=threshold, radius_px=planes.fwhm_px)
    found = measurement.measure(planes, arrays.to_host(flat), maps, x, y, column, row, gain)
    return found.where(np.argsort(-np.abs(found.snr), kind="stable")), maps


def peaks(snr: Floats, *, threshold: float, radius_px: float) -> tuple[Floats, Floats, Any, Any, Floats]:
    """Return the peaks of |S/N|, one within 0.7 ``radius_px``: x, y, their pixels, peak height over the pixel's.

    The sub-pixel position is the peak of Gaussians through the highest pixel and its neighbours.
    """
    height = np.abs(snr)
    reach = max(1, round(0.7 * radius_px))
    highest = ndimage.maximum_filter(height, size=2 * reach + 1, mode="constant")
    row, column = np.nonzero((height >= threshold) & (height == highest))
    padded = np.pad(height, 1, mode="edge")
    along_x = [padded[row + 1, column + 1 + step] for step in (-1, 0, 1)]
    along_y = [padded[row + 1 + step, column + 1] for step in (-1, 0, 1)]
    (dx, up_x), (dy, up_y) = _top(*along_x), _top(*along_y)
    return column + dx, row + dy, column, row, up_x * up_y


def _top(left: Floats, middle: Floats, right: Floats) -> tuple[Floats, Floats]:
    """Return the peak of a Gaussian through three neighbours, and its height over the middle one."""
    low = LOWEST_NEIGHBOUR * np.maximum(middle, 1e-30)
    before, here, after = (np.log(np.maximum(value, low)) for value in (left, middle, right))
    curvature = 2 * here - before - after
    shift = np.where(curvature > 0, (after - before) / (2 * np.where(curvature > 0, curvature, 1)), 0)
    shift = np.clip(shift, -0.5, 0.5)
    return np.asarray(shift), np.exp((after - before) * shift / 4)
