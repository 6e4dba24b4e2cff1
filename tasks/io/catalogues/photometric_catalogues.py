"""Photometric catalogues: reference stars (read), and ``.phot.cat`` files (written and read)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table

from tasks.errors import UnusableData

NEEDED = ("ra", "dec")
# values for columns that a reference lacks
DEFAULTS = {"source_id": -1, "pmra": 0.0, "pmdec": 0.0}


def read_reference(path: Path) -> Table:
    """Return reference stars: ra, dec [deg, J2016], pmra, pmdec [mas/yr], mag_<filter> [AB mag], and other columns.

    The meta entry REFCAT is the survey; GaiaXP if the file has none.

    Raises
    ------
    UnusableData
        If the file is no FITS table, or has no positions.
    """
    try:
        with fits.open(path, memmap=False) as units:
            unit = next((unit for unit in units if isinstance(unit, fits.BinTableHDU)), None)
            columns = {} if unit is None else {name: _native(np.array(unit.data[name])) for name in unit.columns.names}
            survey = "GaiaXP" if unit is None else str(unit.header.get("REFCAT", "GaiaXP"))
    except (OSError, TypeError, ValueError, KeyError) as error:
        raise UnusableData(f"{path.name} cannot be read as a FITS table: {error}") from error
    missing = [name for name in NEEDED if name not in columns]
    if missing:
        raise UnusableData(f"{path.name} lacks the columns {', '.join(missing)} of a photometric reference")
    rows = len(columns["ra"])
    return Table(
        {**{name: np.full(rows, value) for name, value in DEFAULTS.items()}, **columns}, meta={"REFCAT": survey}
    )


def write(path: Path, table: Table, meta: Mapping[str, object]) -> None:
    """Write a catalogue as tab-separated text: ``# key: value`` lines, a line of column names, one line per row."""
    columns = [_texts(np.asarray(table[name])) for name in table.colnames]
    lines = [f"# {key}: {value}" for key, value in meta.items()]
    lines.append("\t".join(table.colnames))
    lines.extend("\t".join(row) for row in zip(*columns, strict=True))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def read(path: Path) -> Table:
    """Return a catalogue written by ``write``; the ``# key: value`` lines are its meta, as text."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UnusableData(f"{path.name} cannot be read: {error}") from error
    meta = dict(line[2:].split(": ", 1) for line in lines if line.startswith("# ") and ": " in line)
    rows = [line.split("\t") for line in lines if not line.startswith("# ")]
    if not rows or any(len(row) != len(rows[0]) for row in rows):
        raise UnusableData(f"{path.name} is no tab-separated catalogue, or is truncated")
    columns = zip(*rows[1:], strict=True) if len(rows) > 1 else ([] for _ in rows[0])
    return Table({name: _numbers(list(column)) for name, column in zip(rows[0], columns, strict=True)}, meta=meta)


def _texts(values: np.ndarray) -> list[str]:
    if values.dtype == np.float32:
        return [f"{value:.7g}" for value in values.tolist()]
    return (
        [f"{value:.12g}" for value in values.tolist()]
        if values.dtype.kind == "f"
        else [str(v) for v in values.tolist()]
    )


def _numbers(texts: list[str]) -> np.ndarray:
    try:
        return np.array([int(text) for text in texts], dtype=np.int64)
    except ValueError:
        return np.array([float(text) for text in texts])


def _native(array: np.ndarray) -> np.ndarray:
    return array.astype(array.dtype.newbyteorder("=")) if array.dtype.kind in "iuf" else array
