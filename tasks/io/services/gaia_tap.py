"""Gaia stars from a TAP service, cell by cell."""

from __future__ import annotations

import io
from collections.abc import Callable
from urllib.parse import urlencode

import numpy as np
from astropy.io.votable import exceptions, parse
from astropy.table import Table, vstack

from tasks import constants
from tasks.errors import UnusableData
from tasks.io.services import http

# a longer answer is not a list of a cell's stars
LARGEST_ANSWER = 256 << 20
MOST_ROWS = 1_000_000
TIMEOUT_S = 180.0
# a cell divided into four this many times has less than 0.01 deg²
DEEPEST = 4
MAG_ERROR_FLOOR = 0.001
COLUMNS = ("ra", "dec", "ra_error", "dec_error", "pmra", "pmdec", "phot_g_mean_mag", "ref_epoch")
QUERY = (
    "SELECT {columns} FROM gaiadr3.gaia_source "
    "WHERE source_id >= {first} AND source_id < {beyond} AND phot_g_mean_mag < {faintest}"
)

SourceIds = tuple[int, int]


def stars(url: str, source_ids: SourceIds, *, faintest_mag: float) -> Table:
    """Return the stars with source ids in a half-open range as a reference catalogue (see ``ldac.read_reference``).

    If the service truncates its answer at its row limit, each quarter of the range is requested separately.

    Raises
    ------
    Unavailable
        If the service does not answer, or has trouble.
    UnusableData
        If it refuses the question, or its answer is no table of stars.
    """
    table = _ask(lambda ids: _fetch(url, ids, faintest_mag=faintest_mag), source_ids, depth=0)
    return _reference(table)


def _ask(fetch: Callable[[SourceIds], tuple[Table, bool]], ids: SourceIds, *, depth: int) -> Table:
    table, whole = fetch(ids)
    if whole:
        return table
    if depth == DEEPEST:
        raise UnusableData(
            f"the catalogue service truncates its answers at {len(table)} stars: request brighter ones only"
        )
    edges = [ids[0] + (ids[1] - ids[0]) * quarter // 4 for quarter in range(5)]
    parts = [_ask(fetch, (edges[i], edges[i + 1]), depth=depth + 1) for i in range(4)]
    return vstack(parts, metadata_conflicts="silent")


def _fetch(url: str, ids: SourceIds, *, faintest_mag: float) -> tuple[Table, bool]:
    """Return the rows of one answer, and whether the answer is complete."""
    query = QUERY.format(columns=", ".join(COLUMNS), first=ids[0], beyond=ids[1], faintest=f"{faintest_mag:g}")
    words = {"REQUEST": "doQuery", "LANG": "ADQL", "FORMAT": "votable", "MAXREC": MOST_ROWS, "QUERY": query}
    address = f"{url.rstrip('/')}/sync?{urlencode(words)}"
    answer = http.fetch(address, what="the star catalogue", limit=LARGEST_ANSWER, timeout_s=TIMEOUT_S)
    if answer is None:
        raise UnusableData(f"there is no TAP service at {url}")
    return _parse(answer)


def _parse(answer: bytes) -> tuple[Table, bool]:
    try:
        document = parse(io.BytesIO(answer), verify="ignore")
        status = {info.name: info for resource in document.resources for info in resource.infos}.get("QUERY_STATUS")
        if status is not None and status.value.upper() == "ERROR":
            raise UnusableData(f"the catalogue service refuses: {' '.join((status.content or '').split())[:200]}")
        table = document.get_first_table().to_table(use_names_over_ids=True)
    except (exceptions.VOTableSpecError, IndexError, ValueError, OSError) as error:
        raise UnusableData(f"the catalogue service's answer is no VOTable: {type(error).__name__}") from error
    if missing := set(COLUMNS) - set(table.colnames):
        raise UnusableData(f"the catalogue service's answer lacks the columns {', '.join(sorted(missing))}")
    overflow = [info for resource in document.resources for info in resource.infos if info.value == "OVERFLOW"]
    return table[list(COLUMNS)], not overflow


def _reference(table: Table) -> Table:
    """Return the columns of a reference catalogue; an unknown proper motion is taken as zero."""
    values = {name: np.ma.filled(np.ma.asarray(table[name], dtype=float), np.nan) for name in COLUMNS}
    good = np.isfinite(values["ra"]) & np.isfinite(values["dec"]) & np.isfinite(values["phot_g_mean_mag"])
    values = {name: column[good] for name, column in values.items()}
    return Table(
        {
            "X_WORLD": values["ra"],
            "Y_WORLD": values["dec"],
            "ERRA_WORLD": np.nan_to_num(values["ra_error"], nan=1.0) / constants.MAS_PER_DEG,
            "ERRB_WORLD": np.nan_to_num(values["dec_error"], nan=1.0) / constants.MAS_PER_DEG,
            "MAG": values["phot_g_mean_mag"],
            "MAGERR": np.full(good.sum(), MAG_ERROR_FLOOR),
            "OBSDATE": values["ref_epoch"],
            "pmRA": np.nan_to_num(values["pmra"]),
            "pmDE": np.nan_to_num(values["pmdec"]),
        }
    )
