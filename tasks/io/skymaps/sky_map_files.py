"""Sky maps in FITS: multi-order and flat HEALPix, gzipped or not, read as one :class:`SkyMap`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from tasks.errors import UnusableData
from tasks.io.skymaps import binary_tables, flat_maps
from tasks.io.skymaps.binary_tables import Column, Table
from tasks.records import SkyMap

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Raw = npt.NDArray[np.uint8]

FILE_BYTES_LIMIT = 256 * 1024**2
DECODED_BYTES_LIMIT = 416 * 1024**2
"""Enough for a flat map of nside 1024 with four columns of doubles (403 MB), the largest in use."""

ROWS_LIMIT = 4_000_000
ORDER_LIMIT = 29
PROBABILITY_TOLERANCE = 0.01
FARTHEST_MPC = 1e8
"""Larger numbers in Mpc are not distances, nor is a DISTSIGMA below the inverse; real maps stay 1000 times below it."""

FIRST_UNIQ = 4 ** np.arange(1, ORDER_LIMIT + 2, dtype=np.int64)
"""UNIQ of the first pixel of each order: the pixels of order k are 4^(k+1) to 4^(k+2) - 1."""

PIXEL_SR = 4 * np.pi / (12 * 4.0 ** np.arange(ORDER_LIMIT + 1))
DISTANCE_COLUMNS = ("DISTMU", "DISTSIGMA", "DISTNORM")
DENSITY_COLUMNS = ("PROBDENSITY", "PROB", "PROBABILITY")


def read(source: bytes | Path) -> SkyMap:
    """Read a sky map.

    Parameters
    ----------
    source
        A FITS file or its bytes: multi-order (UNIQ) or flat (up to nside 2048; in RING up to 404 MiB), with PROBDENSITY
        or PROB, with or without DISTMU, DISTSIGMA and DISTNORM.

    Raises
    ------
    UnusableData
        If it is not a sky map, exceeds the limits on bytes, rows and order, its pixels overlap, or its probabilities are
        negative, not finite, or do not sum to 1 ± 0.01.
    """
    payload = source if isinstance(source, bytes) else _read_file(source)
    table = binary_tables.open_table(payload, limit=DECODED_BYTES_LIMIT)
    if (table.text("COORDSYS") or "C").upper() not in {"C", "EQUATORIAL", "ICRS"}:
        raise UnusableData(f"the sky map is in coordinates {table.text('COORDSYS')!r}, expected equatorial (C)")
    skymap = _read_multiorder(table) if "UNIQ" in table.columns else _read_flat(table)
    _check_probability(skymap)
    return skymap


def _read_file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            payload = file.read(FILE_BYTES_LIMIT + 1)
    except OSError as error:
        raise UnusableData(f"the sky map {path} cannot be read: {error.strerror}") from error
    if len(payload) > FILE_BYTES_LIMIT:
        raise UnusableData(f"the sky map {path} has more than {FILE_BYTES_LIMIT} bytes")
    return payload


def _read_multiorder(table: Table) -> SkyMap:
    if table.rows > ROWS_LIMIT:
        raise UnusableData(f"a sky map of {table.rows} rows; at most {ROWS_LIMIT} are allowed")
    name = _density_column(table)
    if any(column.repeat != 1 for column in table.columns.values()):
        raise UnusableData("a multi-order sky map with several values in a cell")
    raw = table.take(table.rows)
    uniq = binary_tables.values(raw, table.columns["UNIQ"])
    if not np.issubdtype(uniq.dtype, np.integer):
        raise UnusableData(f"a sky map whose UNIQ is of type {uniq.dtype}, expected integers")
    density = _floats(raw, table.columns[name])
    if name != "PROBDENSITY":
        density = density / PIXEL_SR[_orders(uniq.astype(np.int64))]
    return _assemble(table, raw, uniq=uniq.astype(np.int64), density=density)


def _density_column(table: Table) -> str:
    """Return the column of probability: per steradian if there is one, else per pixel."""
    name = next((name for name in DENSITY_COLUMNS if name in table.columns), None)
    if name is None:
        raise UnusableData(f"no sky map: the table has the columns {', '.join(table.columns)[:100]}")
    return name


def _read_flat(table: Table) -> SkyMap:
    name = _density_column(table)
    order = flat_maps.order_of(table)
    merged, raw, uniq = flat_maps.read_merged(table)
    density = _floats(raw, merged.columns[name])
    if name != "PROBDENSITY":
        density = density / PIXEL_SR[order]
    return _assemble(merged, raw, uniq=uniq, density=density, flat_nside=2**order)


def _assemble(table: Table, raw: Raw, *, uniq: Integers, density: Floats, flat_nside: int | None = None) -> SkyMap:
    order = _orders(uniq)
    _check_disjoint(uniq, order)
    distmu, distsigma, distnorm = _distances(table, raw)
    return SkyMap(
        uniq=uniq,
        order=order,
        density=density,
        distmu=distmu,
        distsigma=distsigma,
        distnorm=distnorm,
        distance_mpc=_distance(table, "DISTMEAN"),
        distance_std_mpc=_distance(table, "DISTSTD"),
        creator=table.text("CREATOR"),
        object=table.text("OBJECT"),
        date=table.text("DATE"),
        flat_nside=flat_nside,
    )


def _floats(raw: Raw, column: Column) -> Floats:
    values = binary_tables.values(raw, column)
    if not np.issubdtype(values.dtype, np.number):
        raise UnusableData("a sky map with text in a column of numbers")
    return values.astype(np.float64, copy=False)


def _distances(table: Table, raw: Raw) -> tuple[Floats | None, Floats | None, Floats | None]:
    """Return the three distance columns; a pixel with an invalid value has no distance (inf, 1, 0)."""
    if not all(name in table.columns for name in DISTANCE_COLUMNS):
        return None, None, None
    mu, sigma, norm = (_floats(raw, table.columns[name]) for name in DISTANCE_COLUMNS)
    valid = (np.abs(mu) < FARTHEST_MPC) & (sigma > 1 / FARTHEST_MPC) & (sigma < FARTHEST_MPC) & (norm >= 0)
    valid &= np.isfinite(norm)
    if valid.all():
        return mu, sigma, norm
    return np.where(valid, mu, np.inf), np.where(valid, sigma, 1.0), np.where(valid, norm, 0.0)


def _distance(table: Table, key: str) -> float | None:
    """Return a distance in the header; None for an invalid one."""
    number = table.number(key)
    return number if number is not None and 0 < number < FARTHEST_MPC else None


def _orders(uniq: Integers) -> Integers:
    """Return the order of each pixel, from 0 to ``ORDER_LIMIT``."""
    # position of the highest bit; the next bit is cleared, so that conversion to a float cannot round up
    _, bits = np.frexp((uniq & ~(uniq >> 1)).astype(np.float64))
    order = (bits.astype(np.int64) - 3) >> 1
    if not uniq.size or uniq.min() < FIRST_UNIQ[0] or order.max() > ORDER_LIMIT:
        raise UnusableData(f"a sky map with a UNIQ that is no pixel of order 0 to {ORDER_LIMIT}")
    return order


def _check_disjoint(uniq: Integers, order: Integers) -> None:
    """Check that no two pixels overlap: on the finest grid each ends before the next begins."""
    size = np.left_shift(1, 2 * (ORDER_LIMIT - order))
    first = (uniq - FIRST_UNIQ[order]) * size
    if np.any(np.sort(first)[1:] < np.sort(first + size)[:-1]):
        raise UnusableData("a sky map whose pixels overlap")


def _check_probability(skymap: SkyMap) -> None:
    probability = skymap.density * PIXEL_SR[skymap.order]
    total = probability.sum()
    if not abs(total - 1) <= PROBABILITY_TOLERANCE or probability.min() < 0:
        raise UnusableData(
            f"a sky map whose probabilities sum to {total:.4g} or are negative, expected a sum of 1 ± 0.01"
        )
