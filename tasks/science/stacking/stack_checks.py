"""Checks of a finished stack: saturated pixels, astrometry, residual sky."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from astropy.table import Table
from astropy.wcs import WCS

from tasks.errors import UnusableData
from tasks.records import Astrometry, Photometry
from tasks.science.astrometry import wcs_checks
from tasks.science.astrometry.field_grids import Grid
from tasks.science.astrometry.matching import Floats
from tasks.science.stacking import stack_members

# noise then moves a centroid by about 2 % of its FWHM
MATCH_SNR = 20.0
# limit on the median pixel of a stack after background subtraction, in sigma of its sky
LARGEST_SKY = 0.3


def saturated(frames: Iterable[tuple[np.ndarray[Any, Any], WCS]], grid: Grid) -> Floats:
    """Return which pixels of a grid lie on or beside a saturated pixel of a frame; frames are mask bits with a WCS."""
    marked = np.zeros(grid.shape, dtype=bool)
    for mask, wcs in frames:
        y, x = np.nonzero(mask & stack_members.SATURATED)
        if len(x):
            ra, dec = wcs.all_pix2world(x, y, 0)
            stack_members.mark(marked, *grid.wcs.wcs_world2pix(ra, dec, 0))
    return marked


def astrometry(table: Table, positions: tuple[Floats, Floats], grid: Grid) -> Astrometry:
    """Measure the residuals of a stack's stars against the reference.

    Parameters
    ----------
    table
        Detections on the stack.
    positions
        RA and Dec of the reference stars, in degrees.
    grid
        Pixels of the stack.

    Raises
    ------
    UnusableData
        If no star matches the reference.
    """
    good = (np.asarray(table["FLAGS"]) == 0) & (np.asarray(table["IMAFLAGS_ISO"]) == 0)
    good &= np.asarray(table["FLUX_AUTO"]) > MATCH_SNR * np.asarray(table["FLUXERR_AUTO"])
    pixels = np.column_stack([np.asarray(table[name])[good] - 1 for name in ("XWIN_IMAGE", "YWIN_IMAGE")])
    residuals = wcs_checks.residuals(grid.wcs, pixels, positions, shape=grid.shape)
    if not len(residuals.x):
        raise UnusableData("no star of the stack matches the reference")
    return wcs_checks.measure(residuals, grid.wcs, grid.shape)


def sky_is_left(photometry: Photometry) -> bool:
    """Return whether a background-subtracted stack has residual sky."""
    return abs(photometry.sky_adu) > LARGEST_SKY * photometry.sky_sigma_adu


def off_grid_px(wcs: WCS, grid: Grid) -> float:
    """Return the distance of an image's pixels from those of a grid, in px, at two opposite corners."""
    ny, nx = grid.shape
    corners = np.array([(0.0, 0.0), (nx - 1.0, ny - 1.0)])
    there = grid.wcs.wcs_world2pix(wcs.wcs_pix2world(corners, 0), 0)
    return float(np.abs(there - corners).max())
