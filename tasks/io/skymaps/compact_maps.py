"""Sky maps packed without loss: equal neighbours merged, as a compressed multi-order table."""

from __future__ import annotations

import gzip
import io

from astropy.io import fits
from astropy.table import Table

from tasks.io.skymaps import sky_map_files

UNITS = {"PROBDENSITY": "sr-1", "DISTMU": "Mpc", "DISTSIGMA": "Mpc", "DISTNORM": "Mpc-2"}


def pack(content: bytes) -> bytes:
    """Return a sky map's bytes as a gzipped multi-order map with the same probabilities and distances.

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
    table = fits.table_to_hdu(Table({name: values for name, values in columns.items() if values is not None}))
    for column in table.columns:
        column.unit = UNITS.get(column.name)
    header = table.header
    header["PIXTYPE"], header["ORDERING"], header["COORDSYS"], header["INDXSCHM"] = "HEALPIX", "NUNIQ", "C", "EXPLICIT"
    header["MOCORDER"] = (int(sky_map.order.max()), "finest order")
    given = {
        "OBJECT": sky_map.object,
        "CREATOR": sky_map.creator,
        "DATE": sky_map.date,
        "DISTMEAN": sky_map.distance_mpc,
        "DISTSTD": sky_map.distance_std_mpc,
    }
    header.update({key: value for key, value in given.items() if value is not None})
    buffer = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(buffer)
    return gzip.compress(buffer.getvalue(), mtime=0)
