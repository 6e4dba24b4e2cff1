"""HEALPix pixels of mixed orders (NESTED): areas, positions, and ranges on the finest grid.

A *range* is a half-open interval of pixels of order 29; regions are arrays of disjoint, sorted ranges, shape (n, 2).
A pixel of order k is one range of 4^(29-k) such pixels, so that regions of any orders are joined by sorting.
"""

from __future__ import annotations

import astropy_healpix.healpy as healpix
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

# the finest whose pixel numbers fit 64-bit integers (HEALPix)
FINEST_ORDER = 29
# definition of the steradian
SR_TO_DEG2 = (180 / np.pi) ** 2
# 4 pi over 12 * 4^order pixels
PIXEL_SR: Floats = np.pi / 3 / np.power(4.0, np.arange(FINEST_ORDER + 1))
FINEST_PIXEL_SR = float(PIXEL_SR[FINEST_ORDER])


def pixel_of(uniq: Integers, order: Integers) -> Integers:
    """Return the NESTED pixel number of each UNIQ."""
    return uniq - np.left_shift(4, 2 * order)


def ranges_of(pixel: Integers, order: Integers | int) -> Integers:
    """Return each pixel's range: shape (n, 2)."""
    shift = 2 * (FINEST_ORDER - np.asarray(order))
    return np.stack([np.left_shift(pixel, shift), np.left_shift(pixel + 1, shift)], axis=-1)


def union(ranges: Integers) -> Integers:
    """Return the union of ranges, sorted and disjoint: each place counts once."""
    if not len(ranges):
        return ranges.reshape(0, 2)
    ordered = ranges[np.argsort(ranges[:, 0], kind="stable")]
    reach = np.maximum.accumulate(ordered[:, 1])
    starts = np.concatenate([[True], ordered[1:, 0] > reach[:-1]])
    ends = np.concatenate([starts[1:], [True]])
    return np.stack([ordered[starts, 0], reach[ends]], axis=-1)


def area_deg2(ranges: Integers) -> float:
    """Return the area of disjoint ranges in deg²."""
    return float((ranges[:, 1] - ranges[:, 0]).sum(dtype=np.float64) * FINEST_PIXEL_SR * SR_TO_DEG2)


def contains(ranges: Integers, places: Integers) -> npt.NDArray[np.bool_]:
    """Return which places (pixels of order 29) lie in sorted, disjoint ranges."""
    if not len(ranges):
        return np.zeros(len(places), bool)
    index = np.searchsorted(ranges[:, 0], places, side="right") - 1
    return np.asarray((index >= 0) & (places < ranges[index, 1]))


def place_of(ra_deg: npt.ArrayLike, dec_deg: npt.ArrayLike) -> Integers:
    """Return the pixel of order 29 at positions in degrees (ra any, dec -90 to 90)."""
    places = healpix.ang2pix(2**FINEST_ORDER, np.mod(ra_deg, 360.0), dec_deg, nest=True, lonlat=True)
    return np.atleast_1d(np.asarray(places, np.int64))


def centre_of(pixel: npt.ArrayLike, order: int) -> tuple[Floats, Floats]:
    """Return the centres of pixels of one order: ra, dec in degrees."""
    ra_deg, dec_deg = healpix.pix2ang(2**order, pixel, nest=True, lonlat=True)
    return np.atleast_1d(ra_deg), np.atleast_1d(dec_deg)
