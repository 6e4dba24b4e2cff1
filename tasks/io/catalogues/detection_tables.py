"""Detections of a solved light: positions and shapes, from which photometry measures the seeing without a new pass."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table

from tasks.errors import UnusableData

COLUMNS = {
    "ALPHA_J2000": "D", "DELTA_J2000": "D", "X_IMAGE": "E", "Y_IMAGE": "E", "FWHM_IMAGE": "E", "FWHM_WORLD": "E",
    "ELLIPTICITY": "E", "ELONGATION": "E", "FLUX_AUTO": "E", "FLUXERR_AUTO": "E", "FLAGS": "I", "IMAFLAGS_ISO": "J",
}  # fmt: skip
SKY, SKY_SIGMA = "SKYADU", "SKYSIG"


def write(path: Path, table: Table, sky_adu: float, sky_sigma_adu: float) -> None:
    """Write the columns of positions and shapes, with sky and sky noise in the image's unit."""
    columns = [fits.Column(name, form, array=np.asarray(table[name])) for name, form in COLUMNS.items()]
    header = fits.Header({SKY: sky_adu, SKY_SIGMA: sky_sigma_adu})
    fits.BinTableHDU.from_columns(columns, header=header).writeto(path)


def read(path: Path) -> tuple[Table, float, float]:
    """Return detections, sky and sky noise.

    Raises
    ------
    UnusableData
        If the file was not written by ``write``.
    """
    try:
        with fits.open(path, memmap=False) as units:
            rows, header = units[1].data, units[1].header
            # compiled code expects native byte order
            columns = {name: rows[name].astype(rows[name].dtype.newbyteorder("=")) for name in COLUMNS}
            return Table(columns), float(header[SKY]), float(header[SKY_SIGMA])
    except (OSError, IndexError, KeyError, TypeError, ValueError) as error:
        raise UnusableData(f"{path.name} cannot be read as a table of detections: {error}") from error
