"""Rectangular fields on the sky and a sky map's probability inside them, alone or together.

A field is a rectangle of the tangent plane at its centre, sides along east and north. It becomes the HEALPix
pixels (NESTED) with centres inside, small compared with the field, and these become ranges of the pixel number at
order 29. A sky map becomes its cumulative probability along that number, so that the probability of any union of
ranges is a sum of differences: exact for the pixels, for any orders in the map.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import healpy
import numpy as np
import numpy.typing as npt

from tasks.records import FieldOfView, SkyMap
from tasks.science.astrometry import directions
from tasks.science.skymaps import healpix

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

# 4 pi steradian
SPHERE_DEG2 = 360.0**2 / np.pi
# pixels across the shorter side of a field: area and probability are then good to about 0.1 %
PIXELS_ACROSS = 64
# of plans with more fields, whose errors average out: four times faster
MANY_FIELDS, PIXELS_ACROSS_OF_MANY = 200, 32
# side of one of the 12 pixels of order 0, as a square of equal area
ROOT_PIXEL_DEG = float(np.degrees(np.sqrt(np.pi / 3)))


@dataclass(frozen=True, kw_only=True, eq=False)
class Curve:
    """The cumulative probability of a sky map along the NESTED pixel number at order 29.

    ``edges`` (2n) are the pixels' first and last-plus-one numbers, ascending; ``cumulative`` (2n) the probability
    before each.
    """

    edges: Floats
    cumulative: Floats

    def probability(self, ranges: Integers) -> Floats:
        """Return the probability inside each of ``ranges`` (n, 2)."""
        at = np.interp(ranges.astype(float), self.edges, self.cumulative)
        return np.asarray(at[:, 1] - at[:, 0])


def curve(sky_map: SkyMap) -> Curve:
    """Return a sky map's cumulative probability along the pixel number; it ends at the map's own total."""
    ranges = healpix.ranges_of(healpix.pixel_of(sky_map.uniq, sky_map.order), sky_map.order)
    sorting = np.argsort(ranges[:, 0])
    ranges = ranges[sorting]
    inside = (sky_map.density * healpix.PIXEL_SR[sky_map.order])[sorting]
    total = np.cumsum(inside)
    return Curve(edges=ranges.ravel().astype(float), cumulative=np.stack([total - inside, total], axis=1).ravel())


def order_for(size_deg: float) -> int:
    """Return the lowest order whose pixels are not larger than ``size_deg`` on a side."""
    return int(np.clip(np.ceil(np.log2(ROOT_PIXEL_DEG / size_deg)), 0, healpix.FINEST_ORDER))


def inside(points: Floats, ra_deg: npt.ArrayLike, dec_deg: npt.ArrayLike, view: FieldOfView) -> npt.NDArray[np.bool_]:
    """Return which unit vectors (n, 3) lie in the field centred at the position, one for all or one each."""
    ra, dec = np.radians(np.atleast_1d(ra_deg)), np.radians(np.atleast_1d(dec_deg))
    east = np.stack([-np.sin(ra), np.cos(ra), np.zeros_like(ra)], axis=-1)
    north = np.stack([-np.sin(dec) * np.cos(ra), -np.sin(dec) * np.sin(ra), np.cos(dec)], axis=-1)
    axis = np.einsum("ij,ij->i", points, np.broadcast_to(directions.unit_vectors(ra_deg, dec_deg), points.shape))
    x = np.einsum("ij,ij->i", points, np.broadcast_to(east, points.shape))
    y = np.einsum("ij,ij->i", points, np.broadcast_to(north, points.shape))
    half_x, half_y = np.tan(np.radians(view.width_deg) / 2), np.tan(np.radians(view.height_deg) / 2)
    return np.asarray((axis > 0) & (np.abs(x) <= half_x * axis) & (np.abs(y) <= half_y * axis))


def corners(ra_deg: float, dec_deg: float, view: FieldOfView, *, per_side: int = 1) -> Floats:
    """Return the outline (4·per_side, 2) of a field as right ascension and declination in degrees."""
    steps = np.linspace(-1, 1, per_side, endpoint=False) if per_side > 1 else np.array([-1.0])
    ones = np.ones_like(steps)
    x = np.concatenate([steps, ones, -steps, -ones]) * np.tan(np.radians(view.width_deg) / 2)
    y = np.concatenate([-ones, steps, ones, -steps]) * np.tan(np.radians(view.height_deg) / 2)
    ra, dec = np.radians(ra_deg), np.radians(dec_deg)
    east = np.array([-np.sin(ra), np.cos(ra), 0.0])
    north = np.array([-np.sin(dec) * np.cos(ra), -np.sin(dec) * np.sin(ra), np.cos(dec)])
    points = directions.unit_vectors(ra_deg, dec_deg) + x[:, None] * east + y[:, None] * north
    points /= np.linalg.norm(points, axis=1)[:, None]
    return np.stack([np.degrees(np.arctan2(points[:, 1], points[:, 0])) % 360, np.degrees(np.arcsin(points[:, 2]))], 1)


def field_ranges(ra_deg: float, dec_deg: float, view: FieldOfView, *, across: int = PIXELS_ACROSS) -> Integers:
    """Return the disjoint ranges (n, 2) at order 29 of the pixels whose centres lie in one field.

    ``across`` is the least number of pixels across the shorter side.
    """
    order = order_for(view.smaller_deg / across)
    nside = 2**order
    centre = directions.unit_vectors(ra_deg, dec_deg)
    pixel = healpy.query_disc(nside, centre, np.radians(view.radius_deg * 1.01), nest=True)
    points = np.stack(healpy.pix2vec(nside, pixel, nest=True), axis=1)
    pixel = np.sort(pixel[inside(points, ra_deg, dec_deg, view)]).astype(np.int64)
    return healpix.ranges_of(pixel, order)


def across_of(fields: int) -> int:
    """Return the number of pixels across a field for a plan with so many of them."""
    return PIXELS_ACROSS if fields <= MANY_FIELDS else PIXELS_ACROSS_OF_MANY


def probability(ranges: Integers, along: Curve) -> float:
    """Return the probability inside disjoint ranges, between 0 and 1."""
    return float(np.clip(np.sum(along.probability(ranges)), 0.0, 1.0))


def added(fields: Sequence[Integers], along: Curve) -> Floats:
    """Return the probability that each field adds to the union of those before it (n,); they sum to the union's.

    Parameters
    ----------
    fields
        For each field, its pixels as ranges (n, 2), all of one order as ``field_ranges`` gives them for equal views.
    along
        The map's cumulative probability.
    """
    if not fields:
        return np.zeros(0)
    ranges = np.concatenate(fields)
    number = np.repeat(np.arange(len(fields)), [len(own) for own in fields])
    # of equal pixels the first field's comes first
    sorting = np.argsort(ranges[:, 0], kind="stable")
    first = sorting[np.diff(ranges[sorting, 0], prepend=-1) > 0]
    return np.bincount(number[first], weights=along.probability(ranges[first]), minlength=len(fields))
