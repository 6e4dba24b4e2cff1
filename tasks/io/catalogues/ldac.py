"""LDAC catalogues and external headers: the file formats of the AstrOmatic programs."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.table import Table

from tasks.constants import FITS_CARD, GAIA_EPOCH_YEAR
from tasks.errors import UnusableData

HEADER_TABLE, TABLE = "LDAC_IMHEAD", "LDAC_OBJECTS"
# columns of a reference catalogue: format, unit
REFERENCE_COLUMNS = {
    "X_WORLD": ("1D", "deg"),
    "Y_WORLD": ("1D", "deg"),
    "ERRA_WORLD": ("1E", "deg"),
    "ERRB_WORLD": ("1E", "deg"),
    "ERRTHETA_WORLD": ("1E", "deg"),
    "MAG": ("1E", "mag"),
    "MAGERR": ("1E", "mag"),
    "OBSDATE": ("1D", "yr"),
}


def read(path: Path) -> Table:
    """Return the objects of an LDAC catalogue.

    Raises
    ------
    UnusableData
        If the file cannot be read, or has no table LDAC_OBJECTS.
    """
    try:
        with fits.open(path, memmap=False) as units:
            if TABLE not in units:
                raise UnusableData(f"{path.name} has no table {TABLE}: it is no LDAC catalogue")
            data = units[TABLE].data
            # pandas, SciPy and threads expect native byte order and arrays independent of the file
            columns = {name: _native(data[name]) for name in data.names}
    except (OSError, TypeError, ValueError, KeyError) as error:
        raise UnusableData(f"{path.name} cannot be read as an LDAC catalogue: {error}") from error
    return Table(columns)


def read_reference(path: Path) -> Table:
    """Return a reference catalogue: X_WORLD, Y_WORLD [deg] at OBSDATE [yr], MAG, pmRA, pmDE [mas/yr, 0 if missing]."""
    table = read(path)
    missing = {"X_WORLD", "Y_WORLD", "MAG"} - set(table.colnames)
    if missing:
        raise UnusableData(f"{path.name} lacks the columns {', '.join(sorted(missing))} of a reference catalogue")
    for name, value in {"OBSDATE": GAIA_EPOCH_YEAR, "pmRA": 0.0, "pmDE": 0.0, "MAGERR": 0.01}.items():
        if name not in table.colnames:
            table[name] = np.full(len(table), value)
    for name in ("ERRA_WORLD", "ERRB_WORLD"):
        if name not in table.colnames:
            table[name] = np.full(len(table), 1e-3 / 3600)
    return table


def write_reference(path: Path, table: Table) -> None:
    """Write a reference catalogue for SCAMP: LDAC_IMHEAD with an empty header, and LDAC_OBJECTS."""
    write_table(path, table, REFERENCE_COLUMNS)


def write_table(path: Path, table: Table, wanted: Mapping[str, tuple[str, str]]) -> None:
    """Write columns (name: format and unit) of a table as an LDAC catalogue; a missing column is zero."""
    rows = len(table)
    columns = [
        fits.Column(
            name, format_, unit=unit, array=np.asarray(table[name] if name in table.colnames else np.zeros(rows))
        )
        for name, (format_, unit) in wanted.items()
    ]
    objects = fits.BinTableHDU.from_columns(columns, name=TABLE)
    write(path, fits.Header(), objects)


def write(path: Path, header: fits.Header, objects: fits.BinTableHDU) -> None:
    """Write a table and the header of its image as an LDAC catalogue."""
    buffer = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), _header_table(header), objects]).writeto(buffer)
    # Astropy pads text with zeros; SCAMP looks for END and a space, and crashes where it finds none
    path.write_bytes(buffer.getvalue().replace(b"END" + bytes(FITS_CARD - 3), b"END".ljust(FITS_CARD)))


def write_positions(path: Path, x: Any, y: Any) -> None:
    """Write 1-based pixel positions, brightest first, for solve-field."""
    columns = [fits.Column("X", "1D", array=np.asarray(x)), fits.Column("Y", "1D", array=np.asarray(y))]
    fits.BinTableHDU.from_columns(columns).writeto(path, overwrite=True)


def read_header(path: Path) -> fits.Header:
    """Return the cards of an external header (``.head``, ``.ahead``).

    SCAMP writes accented letters in comments, which FITS forbids and Astropy refuses. The file is therefore read as
    Latin-1 and comments are left out.

    Raises
    ------
    UnusableData
        If the file is missing, has no card, or a card is broken.
    """
    try:
        lines = path.read_text(encoding="latin-1").splitlines()
    except OSError as error:
        raise UnusableData(f"{path.name} cannot be read: {error}") from error
    header = fits.Header()
    for line in lines:
        if line.rstrip() == "END":
            break
        if line[8:10] == "= ":
            try:
                card = fits.Card.fromstring(
                    line.encode("ascii", "replace").decode("ascii").ljust(FITS_CARD)[:FITS_CARD]
                )
                header[card.keyword] = card.value
            except (ValueError, fits.VerifyError) as error:
                raise UnusableData(f"{path.name} has a broken card {line[:30]!r}") from error
    if "CRVAL1" not in header:
        raise UnusableData(f"{path.name} holds no solution: CRVAL1 is missing")
    return header


def _header_table(header: fits.Header) -> fits.BinTableHDU:
    described = fits.Header([("SIMPLE", True), ("BITPIX", -32), ("NAXIS", 0)])
    described.update(header)
    cards = [card.image for card in described.cards]
    text = "".join([*cards, "END".ljust(FITS_CARD)])
    unit = fits.BinTableHDU.from_columns(
        [fits.Column("Field Header Card", f"{len(text)}A", array=np.array([text]))], name=HEADER_TABLE
    )
    unit.header["TDIM1"] = f"({FITS_CARD}, {len(text) // FITS_CARD})"
    return unit


def _native(values: Any) -> Any:
    array = np.array(values)
    return array.astype(array.dtype.newbyteorder("=")) if array.dtype.kind in "iuf" else array


def read_cards(path: Path) -> fits.Header:
    """Return the header of a FITS file without data, such as a solution of solve-field."""
    try:
        return fits.getheader(path)
    except (OSError, fits.VerifyError) as error:
        raise UnusableData(f"{path.name} cannot be read as a FITS header: {error}") from error
