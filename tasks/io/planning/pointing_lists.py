"""Lists of pointings, and footprints of cameras."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tasks.errors import UnusableData

Floats = npt.NDArray[np.float64]
Position = tuple[float, float]

BYTES_LIMIT = 64 * 1024**2
CORNERS_LIMIT = 10_000
RA_NAMES = ("ra", "ra_deg", "radeg", "raj2000")
DEC_NAMES = ("dec", "dec_deg", "decdeg", "dej2000")
FIELD_NAMES = ("field_id", "field", "fieldid", "id")


@dataclass(frozen=True, kw_only=True, eq=False)
class Pointings:
    """Centres of exposures in degrees: two arrays of shape (n,)."""

    ra_deg: Floats
    dec_deg: Floats


def read(path: Path, *, fields: Path | None = None) -> Pointings:
    """Read the centres of a CSV table of exposures.

    Parameters
    ----------
    path
        A table with columns ra and dec in degrees (in upper or lower case), or else field_id.
    fields
        Needed for field_id: a table with columns ID, RA and Dec.

    Raises
    ------
    UnusableData
        If a file is no such table, a number is malformed or out of range, or a field is not in the table of fields.
    """
    rows = _rows(path)
    if not rows:
        raise UnusableData(f"{path.name} has no exposures")
    columns = set(rows[0])
    if columns.intersection(RA_NAMES) and columns.intersection(DEC_NAMES):
        positions = [_position(row, path, line) for line, row in enumerate(rows, start=2)]
    else:
        positions = _through_fields(rows, path, fields)
    array = np.array(positions, dtype=np.float64).reshape(-1, 2)
    return Pointings(ra_deg=array[:, 0], dec_deg=array[:, 1])


def read_footprint(path: Path) -> tuple[Floats, ...]:
    """Read a footprint: polygons with corners in degrees to the east and north of the centre.

    JSON (a list of polygons, each a list of [x, y]), or text with two numbers a line and an empty line between
    polygons; ``#`` starts a comment.

    Raises
    ------
    UnusableData
        If the file is neither, or a polygon has fewer than three corners.
    """
    text = _text(path)
    polygons = _json_polygons(text, path) if text.lstrip().startswith("[") else _text_polygons(text, path)
    if not polygons or any(len(polygon) < 3 for polygon in polygons):
        raise UnusableData(f"{path.name} is no footprint: expected polygons of at least three corners x, y in degrees")
    if sum(map(len, polygons)) > CORNERS_LIMIT:
        raise UnusableData(f"{path.name} has more than {CORNERS_LIMIT} corners")
    return tuple(np.array(polygon, dtype=np.float64) for polygon in polygons)


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(BYTES_LIMIT + 1)
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise UnusableData(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UnusableData(f"{path.name} is no text in UTF-8") from error
    if len(content) > BYTES_LIMIT or "\0" in text:
        raise UnusableData(f"{path.name} is no text of at most {BYTES_LIMIT} bytes")
    return text


def _rows(path: Path) -> list[dict[str, str]]:
    """Read a CSV table; column names in lower case."""
    reader = csv.reader(io.StringIO(_text(path)), strict=True)
    try:
        header = [name.strip().lower() for name in next(reader, [])]
        return [dict(zip(header, (cell.strip() for cell in row), strict=False)) for row in reader if any(row)]
    except csv.Error as error:
        raise UnusableData(f"{path.name} is no CSV table: {error}") from error


def _cell(row: Mapping[str, str], names: tuple[str, ...], path: Path, line: int) -> float:
    """Return the number in the first existing column of ``names``."""
    text = next((row[name] for name in names if name in row), None)
    try:
        number = math.nan if text is None else float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise UnusableData(f"{path.name}, line {line}: {names[0]} is {text!r}, expected a number")
    return number


def _position(row: Mapping[str, str], path: Path, line: int) -> Position:
    ra_deg, dec_deg = _cell(row, RA_NAMES, path, line), _cell(row, DEC_NAMES, path, line)
    if not (abs(ra_deg) <= 360 and abs(dec_deg) <= 90):
        raise UnusableData(f"{path.name}, line {line}: {ra_deg:g}, {dec_deg:g} is no position in degrees")
    return ra_deg, dec_deg


def _through_fields(rows: list[dict[str, str]], path: Path, fields: Path | None) -> list[Position]:
    """Look up the exposures' fields in a table of fields."""
    if not set(rows[0]).intersection(FIELD_NAMES):
        raise UnusableData(f"{path.name} has neither the columns ra and dec nor field_id")
    if fields is None:
        raise UnusableData(f"{path.name} has field_id but no ra and dec: give the table of fields with --fields")
    table = {_cell(row, FIELD_NAMES, fields, line): (row, line) for line, row in enumerate(_rows(fields), start=2)}
    return list(_looked_up(rows, path, table, fields))


def _looked_up(
    rows: list[dict[str, str]], path: Path, table: Mapping[float, tuple[dict[str, str], int]], fields: Path
) -> Iterator[Position]:
    for line, row in enumerate(rows, start=2):
        field = _cell(row, FIELD_NAMES, path, line)
        if field not in table:
            raise UnusableData(f"{path.name}, line {line}: field {field:g} is not in {fields.name}")
        entry, entry_line = table[field]
        yield _position(entry, fields, entry_line)


def _json_polygons(text: str, path: Path) -> list[list[Position]]:
    try:
        content: Any = json.loads(text)
        return [[_corner(corner) for corner in polygon] for polygon in content]
    except (ValueError, TypeError, RecursionError) as error:
        raise UnusableData(f"{path.name} is no footprint: {error}") from error


def _text_polygons(text: str, path: Path) -> list[list[Position]]:
    polygons: list[list[Position]] = [[]]
    for line in text.splitlines():
        words = line.partition("#")[0].replace(",", " ").split()
        if not words and not line.strip():
            polygons.append([])
        elif words:
            try:
                polygons[-1].append(_corner(words))
            except ValueError as error:
                raise UnusableData(f"{path.name} is no footprint: {line[:60]!r} is not x, y in degrees") from error
    return [polygon for polygon in polygons if polygon]


def _corner(words: Any) -> Position:
    x, y = (float(word) for word in words)
    if not (math.isfinite(x) and math.isfinite(y)):
        raise ValueError("a corner is not finite")
    return x, y
