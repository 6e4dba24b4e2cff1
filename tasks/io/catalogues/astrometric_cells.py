"""An astrometric reference catalogue: one file, or a folder with one file per cell of the sky."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from astropy.table import Table, vstack

from tasks import naming
from tasks.errors import UnusableData
from tasks.io.catalogues import ldac


def present(catalogue: Path, cells: Sequence[int]) -> list[Path]:
    """Return the files with the stars of some cells: the catalogue itself, or the existing files of the cells."""
    if not catalogue.is_dir():
        return [catalogue]
    return [path for cell in cells if (path := catalogue / naming.cell_file(cell)).exists()]


def read(catalogue: Path, cells: Sequence[int]) -> Table:
    """Return the stars of some cells, or of the whole catalogue if it is one file; columns: ``ldac.read_reference``.

    Raises
    ------
    UnusableData
        If a file cannot be read, or cells are missing.
    """
    files = present(catalogue, cells)
    if catalogue.is_dir() and len(files) < len(cells):
        raise UnusableData(
            f"{catalogue} lacks {len(cells) - len(files)} of the {len(cells)} cells around the field: fetch them with "
            "`siren gaia`, or name a service as catalogue_url"
        )
    tables = [ldac.read_reference(path) for path in files]
    return tables[0] if len(tables) == 1 else vstack(tables, metadata_conflicts="silent")


def write(path: Path, stars: Table) -> None:
    """Write the stars of a cell, proper motions included."""
    ldac.write_table(path, stars, {**ldac.REFERENCE_COLUMNS, "pmRA": ("1E", "mas/yr"), "pmDE": ("1E", "mas/yr")})
