"""Photometric references in cells of the sky: one FITS table per cell, found by position."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.io import ascii as text_tables
from astropy.io import fits
from astropy.table import Table, vstack
from astropy_healpix import HEALPix

from tasks.errors import UnusableData
from tasks.io.catalogues import photometric_catalogues

# cells of 1.8 deg, about the size of a field
CELLS = HEALPix(nside=32, order="nested")
LOCK = ".lock"
# half the diagonal of a field plus the pointing error
RADIUS_DEG = 1.3


def name_of(cell: int) -> str:
    """Return the name of a cell's file."""
    return f"nside{CELLS.nside}-{cell:05d}.fits"


def files(reference: Path, positions: Iterable[tuple[float, float]]) -> tuple[Path, ...]:
    """Return the files with the reference stars around some positions (RA, Dec in degrees).

    ``reference`` is one file for the whole sky, or a folder of cells.

    Raises
    ------
    UnusableData
        If a folder has no cell there.
    """
    if not reference.is_dir():
        return (reference,)
    places = sorted(set(positions))
    cells = {
        int(cell)
        for ra, dec in places
        for cell in CELLS.cone_search_lonlat(ra * u.deg, dec * u.deg, RADIUS_DEG * u.deg)
    }
    existing = tuple(path for cell in sorted(cells) if (path := reference / name_of(cell)).is_file())
    if not existing:
        where = "; ".join(f"{ra:.3f}, {dec:+.3f}" for ra, dec in places)
        raise UnusableData(f"{reference.name} has no cell around {where}: make it with siren catalogue")
    return existing


def read(paths: Iterable[Path]) -> Table:
    """Return the stars of some files as one table; a magnitude that a file lacks is NaN."""
    tables = [photometric_catalogues.read_reference(path) for path in paths]
    whole = tables[0] if len(tables) == 1 else vstack(tables, join_type="outer", metadata_conflicts="silent")
    for name in whole.colnames:
        if hasattr(whole[name], "filled"):
            whole[name] = whole[name].filled(np.nan if whole[name].dtype.kind == "f" else -1)
    return whole


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Hold the folder's lock: one process writes cells, others wait."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def missing(folder: Path, ra_deg: np.ndarray, dec_deg: np.ndarray) -> dict[int, np.ndarray]:
    """Return the indices of the rows in cells without a file, by cell."""
    cells = CELLS.lonlat_to_healpix(np.asarray(ra_deg) * u.deg, np.asarray(dec_deg) * u.deg)
    return {
        int(cell): np.flatnonzero(cells == cell)
        for cell in np.unique(cells)
        if not (folder / name_of(int(cell))).is_file()
    }


def write(path: Path, columns: Mapping[str, np.ndarray], *, survey: str) -> None:
    """Write a cell's stars, with the name of their survey."""
    letters = {"f": "D", "i": "K"}
    table = [fits.Column(name=name, format=letters[data.dtype.kind], array=data) for name, data in columns.items()]
    stars = fits.BinTableHDU.from_columns(table)
    stars.header["REFCAT"] = survey
    with path.open("wb") as file:
        fits.HDUList([fits.PrimaryHDU(), stars]).writeto(file)
        file.flush()
        os.fsync(file.fileno())


def read_table(path: Path) -> Table:
    """Return a table of sources: FITS, VOTable, ECSV, CSV, or text columns under a line ``#name ra dec ...``.

    Raises
    ------
    UnusableData
        If the file is none of these.
    """
    formats = {".fits": "fits", ".xml": "votable", ".vot": "votable", ".ecsv": "ascii.ecsv", ".csv": "ascii.csv"}
    try:
        if (kind := formats.get(path.suffix.lower())) is not None:
            return Table.read(path, format=kind)
        return text_tables.read(path, format="commented_header")
    except (OSError, ValueError, TypeError, text_tables.InconsistentTableError) as error:
        raise UnusableData(f"{path.name} cannot be read as a table of sources: {error}") from error
