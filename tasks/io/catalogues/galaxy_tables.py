"""Galaxy catalogues as CSV files: ra, dec, distmpc, and optionally a magnitude and a name."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tasks.errors import UnusableData
from tasks.records import Galaxies

RIGHT_ASCENSION = ("ra", "ra_deg", "raj2000")
DECLINATION = ("dec", "dec_deg", "dej2000")
DISTANCE = ("distmpc", "distance_mpc", "dist", "d_l")
MAGNITUDE = ("magb", "mag_b", "bmag", "mag", "magk")
NAME = ("name", "id", "hyperleda", "gwgc", "2mass", "pgc")
LARGEST_BYTES = 2**30


def read(path: Path) -> Galaxies:
    """Read a catalogue; rows without a position or distance are left out.

    Raises
    ------
    UnusableData
        If the file cannot be read, is not CSV, lacks a column or has no usable row.
    """
    rows = _rows(path)
    names = {str(key).strip().lower(): key for key in rows[0]}
    ra, dec, distance = (_number(path, rows, names, choice) for choice in (RIGHT_ASCENSION, DECLINATION, DISTANCE))
    magnitude = _number(path, rows, names, MAGNITUDE, required=False)
    usable = np.isfinite(ra) & np.isfinite(dec) & (np.abs(dec) <= 90) & np.isfinite(distance)
    if not usable.any():
        raise UnusableData(f"{path.name} has no row with a position in degrees and a distance in Mpc")
    labels = np.array([_label(row, names, index) for index, row in enumerate(rows)])
    return Galaxies(
        name=labels[usable],
        ra_deg=np.mod(ra[usable], 360),
        dec_deg=dec[usable],
        distance_mpc=distance[usable],
        magnitude=magnitude[usable],
    )


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        if path.stat().st_size > LARGEST_BYTES:
            raise UnusableData(f"{path.name} is larger than {LARGEST_BYTES} bytes")
        rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"))))
    except OSError as error:
        raise UnusableData(f"galaxy catalogue {path.name} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UnusableData(f"{path.name} is not a CSV file: {error}") from error
    if not rows:
        raise UnusableData(f"{path.name} has no galaxy")
    return rows


def _number(
    path: Path,
    rows: Sequence[Mapping[str, str]],
    names: Mapping[str, str],
    choice: Sequence[str],
    *,
    required: bool = True,
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return the first existing column of ``choice``, unreadable values as NaN."""
    key = next((names[name] for name in choice if name in names), None)
    if key is None and required:
        raise UnusableData(f"{path.name} has none of the columns {', '.join(choice)}; it has {', '.join(names)}")
    return np.array([_float(row.get(key) if key is not None else None) for row in rows])


def _float(text: str | None) -> float:
    try:
        value = float(text or "nan")
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan


def _label(row: Mapping[str, str], names: Mapping[str, str], index: int) -> str:
    """Return a galaxy's first name, without the quotes of a printed byte string, or its row number."""
    for key in (names[name] for name in NAME if name in names):
        text = (row.get(key) or "").removeprefix("b'").removesuffix("'").strip()
        if text and text not in {"---", "<NA>", "nan", "None"}:
            return text[:24]
    return f"row-{index + 1}"
