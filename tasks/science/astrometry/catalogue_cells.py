"""Cells of the sky that a reference catalogue is kept by: HEALPix pixels (NESTED) of one order, 1.8 degrees wide."""

from __future__ import annotations

from collections.abc import Mapping

import astropy.units as u
import numpy as np
from astropy_healpix import HEALPix

from tasks.naming import CELL_ORDER

# Gaia numbers its stars by where they are: a source_id is a pixel of order 12 times this, and a running number
GAIA_ORDER = 12
GAIA_STEP = 1 << 35


def about(ra_deg: float, dec_deg: float, *, radius_deg: float) -> tuple[int, ...]:
    """Return the cells that reach into a circle."""
    grid = HEALPix(nside=2**CELL_ORDER, order="nested")
    found = grid.cone_search_lonlat(ra_deg * u.deg, dec_deg * u.deg, radius=radius_deg * u.deg)
    return tuple(sorted(int(cell) for cell in np.atleast_1d(found)))


def around(places: Mapping[tuple[float, float], float]) -> tuple[int, ...]:
    """Return the cells around positions (RA, Dec), each with a radius, all in degrees."""
    found = (about(*centre, radius_deg=radius) for centre, radius in places.items())
    return tuple(sorted({cell for cells in found for cell in cells}))


def source_ids(cell: int) -> tuple[int, int]:
    """Return the smallest source_id of Gaia in a cell, and the first one beyond it."""
    span = GAIA_STEP << 2 * (GAIA_ORDER - CELL_ORDER)
    return cell * span, (cell + 1) * span
