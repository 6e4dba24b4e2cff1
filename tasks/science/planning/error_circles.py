"""Events with a position and an error circle: the equivalent sky map, and the one field centred on it."""

from __future__ import annotations

import healpy
import numpy as np

from tasks import constants
from tasks.records import SkyMap
from tasks.science.astrometry import directions
from tasks.science.planning import observable_tiles, tiling
from tasks.science.skymaps import footprints, healpix

# one arcsec: an error of 0 has no density
LEAST_SIGMA_DEG = 1 / 3600
# coarser pixels distort the circle, and the number of finer ones grows by their square
PIXELS_PER_SIGMA = 3
# 4 millionths of the probability lie beyond
REACH_SIGMAS = 5.0


def gaussian_map(
    ra_deg: float, dec_deg: float, *, error_deg: float, containment: float = constants.USUAL_CONTAINMENT
) -> SkyMap:
    """Return a circular Gaussian out to 5 sigma around a position; the circle of ``error_deg`` holds ``containment``.

    For a two-dimensional Gaussian the circle of radius r holds 1 - exp(-r²/2 sigma²).
    """
    sigma_deg = max(error_deg / np.sqrt(-2 * np.log1p(-containment)), LEAST_SIGMA_DEG)
    order = footprints.order_for(sigma_deg / PIXELS_PER_SIGMA)
    centre = directions.unit_vectors(ra_deg, dec_deg)
    reach = min(np.radians(REACH_SIGMAS * sigma_deg), np.pi)
    pixel = healpy.query_disc(2**order, centre, reach, nest=True).astype(np.int64)
    points = np.stack(healpy.pix2vec(2**order, pixel, nest=True), axis=1)
    apart_deg = directions.separations_deg(points, centre)
    density = np.exp(-0.5 * (apart_deg / sigma_deg) ** 2)
    orders = np.full(pixel.shape, order, dtype=np.int64)
    return SkyMap(
        uniq=pixel + (np.int64(4) << (2 * orders)),
        order=orders,
        density=density / (density.sum() * healpix.PIXEL_SR[order]),
    )


def centred(ra_deg: float, dec_deg: float) -> tuple[tiling.Tiles, observable_tiles.Targets]:
    """Return the one field centred on a position, and the position as the only target."""
    tiles = tiling.Tiles(
        number=np.array([0]), ra_deg=np.array([ra_deg % 360]), dec_deg=np.array([dec_deg]), id=np.array(["CENTRE"])
    )
    return tiles, observable_tiles.Targets(points=directions.unit_vectors([ra_deg], [dec_deg]), weight=np.ones(1))
