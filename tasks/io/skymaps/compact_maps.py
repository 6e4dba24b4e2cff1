"""Multi-order sky maps as the bytes of a FITS file, and any sky map packed as one without loss."""

from __future__ import annotations

import gzip
import io
from collections.abc import Mapping
from typing import Any

from astropy.io import fits
from numpy.typing import NDArray

from tasks.io.fits.table_columns import column
from tasks.io.skymaps import sky_map_files

UNITS = {"PROBDENSITY": "sr-1", "DISTMU": "Mpc", "DISTSIGMA": "Mpc", "DISTNORM": "Mpc-2"}


def multiorder_bytes(columns: Mapping[str, NDArray[Any]], header: fits.Header) -> bytes:
    """Return a multi-order sky map as a FITS file's bytes: one row per pixel in the first extension."""
    table = fits.BinTableHDU.from_columns([column(name, array, UNITS.get(name)) for name, array in columns.items()])
    table.header.extend(header.cards)
    buffer = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(buffer)
    return buffer.getvalue()


def pack(content: bytes) -> bytes:
    """Return a sky map's bytes as a gzipped multi-order map with the same probabilities and distances.

    Equal neighbours of a flat map are merged.

    Raises
    ------
    UnusableData
        If the bytes are no sky map.
    """
    sky_map = sky_map_files.read(content)
    columns = {
        "UNIQ": sky_map.uniq,
        "PROBDENSITY": sky_map.density,
        "DISTMU": sky_map.distmu,
        "DISTSIGMA": sky_map.distsigma,
        "DISTNORM": sky_map.distnorm,
    }
    cards = {
        "PIXTYPE": "HEALPIX",
        "ORDERING": "NUNIQ",
        "COORDSYS": "C",
        "INDXSCHM": "EXPLICIT",
        "MOCORDER": int(sky_map.order.max()),
        "OBJECT": sky_map.object,
        "CREATOR": sky_map.creator,
        "DATE": sky_map.date,
        "DISTMEAN": sky_map.distance_mpc,
        "DISTSTD": sky_map.distance_std_mpc,
    }
    header = fits.Header({key: value for key, value in cards.items() if value is not None})
    known = {name: values for name, values in columns.items() if values is not None}
    return gzip.compress(multiorder_bytes(known, header), mtime=0)
