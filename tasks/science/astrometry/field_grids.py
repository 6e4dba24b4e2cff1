"""Tangent-plane grids of stacks and references: all epochs of a field share their pixels."""

from __future__ import annotations

from dataclasses import dataclass

from astropy.wcs import WCS

STACK_MARGIN = 10200 / 9576
"""A stack is this much larger than a frame in each axis: 10200 x 6800 px for 9576 x 6388 (the seed's grid)."""


@dataclass(frozen=True, kw_only=True)
class Grid:
    """The pixels of a stack, of shape (ny, nx)."""

    wcs: WCS
    shape: tuple[int, int]
    scale_arcsec: float


def stack_shape(frame_shape: tuple[int, int]) -> tuple[int, int]:
    """Return the shape (ny, nx) of a field's stack grid for frames of ``frame_shape`` (ny, nx), both even."""
    ny, nx = (2 * round(size * STACK_MARGIN / 2) for size in frame_shape)
    return ny, nx


def field_wcs(ra_deg: float, dec_deg: float, *, shape: tuple[int, int], scale_arcsec: float) -> WCS:
    """Return the gnomonic WCS of a field's grid: north up, east left, the field at the centre."""
    ny, nx = shape
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [ra_deg, dec_deg]
    wcs.wcs.crpix = [(nx + 1) / 2, (ny + 1) / 2]
    wcs.wcs.cdelt = [-scale_arcsec / 3600, scale_arcsec / 3600]
    wcs.array_shape = shape
    return wcs
