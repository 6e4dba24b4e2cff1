"""Sky cells of stored reference catalogues: HEALPix pixels (NESTED) of one order, 1.8 degrees wide."""

from __future__ import annotations

from collections.abc import Mapping

import astropy.units as u
import numpy as np
from astropy_healpix import HEALPix

from tasks.naming import CELL_ORDER

# Gaia encodes the position in the source_id: a pixel of order 12 times 2^35, plus a running number (gaia_source)
GAIA_ORDER, GAIA_STEP = 12, 1 << 35


def about(ra_deg: float, dec_deg: float, *, radius_deg: float) -> tuple[int, ...]:
    """Return the cells that overlap a circle."""
    grid = HEALPix(nside=2**CELL_ORDER, order="nested")
    cells = grid.cone_search_lonlat(ra_deg * u.deg, dec_deg * u.deg, radius=radius_deg * u.deg)
    return tuple(sorted(int(cell) for cell in np.atleast_1d(cells)))


def around(places: Mapping[tuple[float, float], float]) -> tuple[int, ...]:
    """Return the cells around positions (RA, Dec), each with a radius, all in degrees."""
    circles = (about(*centre, radius_deg=radius) for centre, radius in places.items())
    return tuple(sorted({cell for cells in circles for cell in cells}))


def source_ids(cell: int) -> tuple[int, int]:
    """Return the smallest Gaia source_id of a cell, and the first one beyond it."""
    span = GAIA_STEP << 2 * (GAIA_ORDER - CELL_ORDER)
    return cell * span, (cell + 1) * span
