"""Flat HEALPix maps as multi-order ones: four neighbours that are equal in every column are merged, order by order.

The merging is lossless; a map of 12.6 million pixels, as planners still exchange them, becomes some ten thousand.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import astropy_healpix.healpy as healpix
import numpy as np
import numpy.typing as npt

from tasks.errors import UnusableData
from tasks.io.skymaps.binary_tables import Column, Table

Raw = npt.NDArray[np.uint8]
Integers = npt.NDArray[np.int64]

ORDER_LIMIT = 11
WHOLE_BYTES_LIMIT = 404 * 1024**2
"""A RING map must be in memory completely: nside 2048 with one column of doubles, or 1024 with four (403 MB)."""

CHUNK_ORDER = 8
"""NESTED maps are read 4^8 pixels at a time, which needs little memory for a map of any size."""


def read_merged(table: Table) -> tuple[Table, Raw, Integers]:
    """Read a flat map and merge its equal neighbours.

    Returns
    -------
    table, raw, uniq
        The table with the columns' positions in a row of ``raw``, shape (n, row_bytes); one row per pixel ``uniq``, (n,).
    """
    order = order_of(table)
    ordering = (table.text("ORDERING") or "").upper()
    if ordering not in {"NESTED", "NEST", "RING"}:
        raise UnusableData(f"a flat sky map with ORDERING {ordering[:20]!r}, expected NESTED or RING")
    chunks = _ring_chunks(table, order) if ordering == "RING" else _nested_chunks(table, order)
    parts = [_merge_equal(chunk, first=first, order=order) for first, chunk in chunks]
    return _one_value_a_cell(table), np.concatenate([raw for raw, _ in parts]), np.concatenate([u for _, u in parts])


def order_of(table: Table) -> int:
    """Return the order of a flat map from its number of pixels, checked against its header."""
    if table.text("INDXSCHM") == "EXPLICIT" or "PIXEL" in table.columns:
        raise UnusableData(
            "a partial sky map (INDXSCHM EXPLICIT): some pixels only; send it as a multi-order map (UNIQ) or with all pixels"
        )
    repeat = next(iter(table.columns.values())).repeat
    pixels = table.rows * repeat
    order = max(pixels // 12, 1).bit_length() // 2
    if pixels != 12 * 4**order or order > ORDER_LIMIT:
        raise UnusableData(f"a flat sky map of {pixels} pixels, expected 12·4^k with k from 0 to {ORDER_LIMIT}")
    if table.header.get("NSIDE", 2**order) != 2**order:
        raise UnusableData("a flat sky map that does not hold every pixel of its NSIDE in order")
    if any(column.repeat != repeat for column in table.columns.values()):
        raise UnusableData("a flat sky map whose columns have cells of different lengths")
    return order


def _one_value_a_cell(table: Table) -> Table:
    """Return the table's description of the rows from ``_pixels``."""
    columns: dict[str, Column] = {}
    offset = 0
    for name, column in table.columns.items():
        columns[name] = replace(column, offset=offset, repeat=1)
        offset += column.dtype.itemsize
    return replace(table, columns=columns, row_bytes=offset)


def _pixels(table: Table, rows: int) -> Raw:
    """Read rows and arrange them by pixel: shape (pixels, bytes of a pixel)."""
    raw = table.take(rows)
    cells = [
        raw[:, column.offset : column.offset + column.dtype.itemsize * column.repeat].reshape(
            rows * column.repeat, column.dtype.itemsize
        )
        for column in table.columns.values()
    ]
    return raw if len(raw) == len(cells[0]) else np.concatenate(cells, axis=1)


def _nested_chunks(table: Table, order: int) -> Iterator[tuple[int, Raw]]:
    """Yield the first pixel and the bytes of each chunk of a NESTED map."""
    repeat = next(iter(table.columns.values())).repeat
    chunk = 4 ** min(order, CHUNK_ORDER)
    if chunk % repeat:
        whole = _whole(table)
        yield from ((first, whole[first : first + chunk]) for first in range(0, len(whole), chunk))
    else:
        yield from ((first, _pixels(table, chunk // repeat)) for first in range(0, 12 * 4**order, chunk))


def _ring_chunks(table: Table, order: int) -> Iterator[tuple[int, Raw]]:
    """Yield the first NESTED pixel and the bytes of each chunk of a RING map."""
    whole = _whole(table)
    chunk = 4 ** min(order, CHUNK_ORDER)
    for first in range(0, len(whole), chunk):
        yield first, whole[healpix.nest2ring(2**order, np.arange(first, first + chunk))]


def _whole(table: Table) -> Raw:
    if table.rows * table.row_bytes > WHOLE_BYTES_LIMIT:
        raise UnusableData(
            f"a flat sky map of this layout may have at most {WHOLE_BYTES_LIMIT} bytes; NESTED ones more"
        )
    repeat = next(iter(table.columns.values())).repeat
    whole = np.empty((table.rows * repeat, table.row_bytes // repeat), np.uint8)
    # in parts, so that no second copy is in memory
    rows = max(4**CHUNK_ORDER // repeat, 1)
    for first in range(0, table.rows, rows):
        last = min(first + rows, table.rows)
        whole[first * repeat : last * repeat] = _pixels(table, last - first)
    return whole


def _merge_equal(raw: Raw, *, first: int, order: int) -> tuple[Raw, Integers]:
    """Merge equal neighbours of a chunk of 4^k pixels that starts at pixel ``first`` of ``order``."""
    rows: list[Raw] = []
    uniq: list[Integers] = []
    cells, alive = _words(raw), np.ones(len(raw), bool)
    while alive.any():
        merged = alive.reshape(-1, 4).all(axis=1) & _all_equal(cells) if len(cells) > 1 and order > 0 else None
        keep = alive if merged is None else alive & ~np.repeat(merged, 4)
        rows.append(raw[keep])
        uniq.append(4 * 4**order + first + np.flatnonzero(keep))
        if merged is None:
            break
        raw, cells, alive, first, order = raw[::4], cells[::4], merged, first // 4, order - 1
    return np.concatenate(rows), np.concatenate(uniq)


def _words(raw: Raw) -> npt.NDArray[np.unsignedinteger]:
    """View rows of bytes as rows of the longest integers that fit."""
    width = raw.shape[1]
    word = next(size for size in (8, 4, 2, 1) if width % size == 0)
    return np.ascontiguousarray(raw).view(f"u{word}")


def _all_equal(cells: npt.NDArray[np.unsignedinteger]) -> npt.NDArray[np.bool_]:
    """Return for each four rows whether they agree bit by bit."""
    equal = np.ones(len(cells) // 4, bool)
    for column in cells.T:
        a, b, c, d = column.reshape(-1, 4).T
        equal &= (a == b) & (c == d) & (a == c)
    return equal
