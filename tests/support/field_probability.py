"""The probability inside a telescope's field: a map as ligo.skymap flattens it, summed over points as astropy lays them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import healpy
import numpy as np
from astropy.wcs import WCS
from ligo.skymap import bayestar
from ligo.skymap.io import fits as ligo_fits

from tasks import telescopes

ORDER = 9
POINTS = 200


class Sky:
    """A multi-order map on NESTED pixels of 0.11 degrees."""

    def __init__(self, file: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # ligo.skymap's own, of astropy's units
            table = bayestar.rasterize(ligo_fits.read_sky_map(str(file), moc=True), order=ORDER)
        self.density = np.asarray(table["PROB"]) / healpy.nside2pixarea(2**ORDER)

    def of_field(self, ra_deg: float, dec_deg: float, width_deg: float, height_deg: float) -> float:
        """Return what a rectangle of the tangent plane at a point holds."""
        wcs = WCS(naxis=2)
        wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix = ["RA---TAN", "DEC--TAN"], [ra_deg, dec_deg], [0, 0]
        middles = (np.arange(POINTS) + 0.5) / POINTS - 0.5
        x, y = (each.ravel() for each in np.meshgrid(middles * width_deg, middles * height_deg))
        ra, dec = wcs.wcs_pix2world(x, y, 1)
        # the cube of the cosine of the angle from the centre: how much of the sphere a piece of the plane shows
        shown = (1 + np.radians(np.hypot(x, y)) ** 2) ** -1.5
        piece = np.radians(width_deg / POINTS) * np.radians(height_deg / POINTS)
        return float((self.density[healpy.ang2pix(2**ORDER, ra, dec, nest=True, lonlat=True)] * shown).sum() * piece)

    def of_tiles(self, tiles: Sequence[dict[str, Any]], telescope: str, *, north_deg: float = 0.0) -> np.ndarray:
        """Return what each tile of a plan holds, or would if it lay so much further north."""
        field = telescopes.load(telescope).field_of_view
        return np.array(
            [
                self.of_field(tile["ra_deg"], tile["dec_deg"] + north_deg, field.width_deg, field.height_deg)
                for tile in tiles
            ]
        )
