"""Coverage of a sky map by pointings: the union of their footprints, each position counted once.

A footprint is one polygon or several (a mosaic's chips) in the tangent plane of its centre: ``x`` to the east, ``y`` to
the north, as angles in degrees from the centre along each axis. It becomes HEALPix pixels, large ones inside and
smaller ones along its sides; the union of many is a union of ranges (:mod:`tasks.science.skymaps.healpix`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import healpy
import numpy as np
import numpy.typing as npt

from tasks.errors import UnusableData
from tasks.records import SkyMap
from tasks.science.astrometry import directions
from tasks.science.skymaps import credible_regions, footprints, healpix

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Polygon = npt.NDArray[np.float64]
"""Corners x, y in degrees: shape (n, 2)."""

COARSE_ACROSS, FINE_ACROSS = 8, 512
"""Pixels across the shortest side of a polygon: first order tried, and smallest pixels, along its sides.

The area is then good to 0.2 % if the sides lie along rows of pixels, far better otherwise.
"""

# pixels of 0.05 arcsec: no field needs finer ones
HIGHEST_ORDER = 22
REACH_LIMIT_DEG = 60.0
"""Largest angle from the centre to a corner, along either axis: the tangent plane ends at 90 degrees."""

# the tangent grows without bound towards 90 degrees
EDGE_OF_PLANE = np.radians(85.0)
# footprints at once
BATCH = 256


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """Joint coverage of pointings: area in deg², probability of the map (0 to 1), distinct pointings."""

    area_deg2: float
    probability: float
    fields: int


def rectangle(width_deg: float, height_deg: float) -> tuple[Polygon, ...]:
    """Return the footprint of a rectangular field, its sides along right ascension and declination."""
    x, y = width_deg / 2, height_deg / 2
    return (np.array([[-x, -y], [x, -y], [x, y], [-x, y]]),)


def covered(skymap: SkyMap, ra_deg: Floats, dec_deg: Floats, *, footprint: tuple[Polygon, ...]) -> Coverage:
    """Return the coverage of a sky map by pointings with one footprint.

    Parameters
    ----------
    skymap
        The sky map.
    ra_deg, dec_deg
        Centres in degrees, shape (n,); a repeated centre counts once.
    footprint
        Polygons in the tangent plane of each centre.

    Raises
    ------
    UnusableData
        If a polygon has no area or reaches too far from the centre.
    """
    _check(footprint)
    centres = np.unique(np.stack([np.mod(ra_deg, 360.0), dec_deg], axis=-1), axis=0)
    ranges = union(centres, footprint)
    return Coverage(
        area_deg2=healpix.area_deg2(ranges),
        probability=min(credible_regions.probability_in(skymap, ranges), 1.0),
        fields=len(centres),
    )


def union(centres: Floats, footprint: tuple[Polygon, ...]) -> Integers:
    """Return the union of a footprint at many centres (n, 2) as sorted ranges; a batch at a time, to bound memory."""
    total = np.empty((0, 2), np.int64)
    for start in range(0, len(centres), BATCH):
        batch = [ranges for centre in centres[start : start + BATCH] for ranges in _ranges(centre, footprint)]
        total = healpix.union(np.concatenate([total, *batch]))
    return total


def _ranges(centre: Floats, footprint: tuple[Polygon, ...]) -> Iterator[Integers]:
    """Yield the ranges of each polygon at one centre, order by order; pixels that a side may cut are split."""
    for polygon in footprint:
        corners = np.tan(np.radians(polygon))
        first, last = _order(polygon, COARSE_ACROSS), _order(polygon, FINE_ACROSS)
        reach = _reach(corners) + healpy.max_pixrad(2**first)
        pixels = healpy.query_disc(2**first, directions.unit_vectors(*centre), reach, nest=True).astype(np.int64)
        for order in range(first, last + 1):
            points = _project(np.stack(healpy.pix2vec(2**order, pixels, nest=True), axis=1), centre)
            within, cut = _inside(points, corners), _near_side(points, corners, healpy.max_pixrad(2**order))
            yield healpix.ranges_of(pixels[within if order == last else within & ~cut], order)
            pixels = (4 * pixels[cut, None] + np.arange(4)).ravel()


def _check(footprint: tuple[Polygon, ...]) -> None:
    for polygon in footprint:
        sides = np.ptp(polygon, axis=0) if len(polygon) >= 3 else np.zeros(2)
        if not np.all(sides > 0) or not np.all(np.abs(polygon) <= REACH_LIMIT_DEG):
            raise UnusableData(
                f"a footprint of {sides} deg, expected sides above 0 and corners within {REACH_LIMIT_DEG:g}"
            )


def _order(polygon: Polygon, across: int) -> int:
    """Return the order with that many pixels across a polygon's shortest side."""
    wanted_deg = float(np.ptp(polygon, axis=0).min()) / across
    return min(footprints.order_for(wanted_deg), HIGHEST_ORDER)


def _reach(corners: Floats) -> float:
    """Return the radius in radians of a circle about the centre that holds the polygon, with some room."""
    return float(np.arctan(np.hypot(*corners.T).max())) * 1.01


def _project(points: Floats, centre: Floats) -> Floats:
    """Project unit vectors (n, 3), less than 90 degrees away, onto the tangent plane of a centre: shape (n, 2)."""
    ra, dec = np.radians(centre)
    east = np.array([-np.sin(ra), np.cos(ra), 0.0])
    north = np.array([-np.sin(dec) * np.cos(ra), -np.sin(dec) * np.sin(ra), np.cos(dec)])
    x, y, depth = np.einsum("ij,kj->ki", points, np.stack([east, north, directions.unit_vectors(*centre)]))
    return np.stack([x / depth, y / depth], axis=-1)


def _inside(points: Floats, corners: Floats) -> npt.NDArray[np.bool_]:
    """Return which points (n, 2) lie in a polygon: a ray from each crosses its sides an odd number of times."""
    x, y = points.T
    inside = np.zeros(len(points), bool)
    for (x1, y1), (x2, y2) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        if y1 != y2:
            crosses = (y1 > y) != (y2 > y)
            inside ^= crosses & (x < x1 + (y - y1) * (x2 - x1) / (y2 - y1))
    return inside


def _near_side(points: Floats, corners: Floats, radius: float) -> npt.NDArray[np.bool_]:
    """Return which points (n, 2) lie so near a polygon's side that it may cut a pixel of that radius (radians)."""
    x, y = points.T
    away = np.hypot(x, y)
    # the tangent plane stretches outwards: the length of the radius there
    room = (np.tan(np.minimum(np.arctan(away) + radius, EDGE_OF_PLANE)) - away) ** 2
    near = np.zeros(len(points), bool)
    for (x1, y1), (x2, y2) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        dx, dy = x2 - x1, y2 - y1
        length = max(dx * dx + dy * dy, np.finfo(float).tiny)
        along = np.clip(((x - x1) * dx + (y - y1) * dy) / length, 0, 1)
        near |= (x - x1 - along * dx) ** 2 + (y - y1 - along * dy) ** 2 <= room
    return near
