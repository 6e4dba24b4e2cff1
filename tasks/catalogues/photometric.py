"""Make photometric references in cells of the sky, from files of Gaia or other surveys."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from astropy.table import Table, join
from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks import constants, products
from tasks.errors import UnusableData
from tasks.io.catalogues import photometric_cells
from tasks.programs import gaiaxpy, outputs
from tasks.records import CatalogueMade
from tasks.science.photometry import reference_stars
from tasks.science.photometry.reference_stars import Templates

log = logging.getLogger(__name__)

Survey: TypeAlias = Literal["gaiaxp", "ps1", "sdss", "apass", "2mass"]

REFCAT = {"gaiaxp": "GaiaXP", "ps1": "PS1", "sdss": "SDSS", "apass": "APASS", "2mass": "2MASS"}
CARRIED = ("parallax", "pmra", "pmdec", "phot_g_mean_mag", "bp_rp")
ERRORS = {"ps1": ("g", "r", "i", "z")}
POSITIONS = (("ra", "dec"), ("ra_deg", "dec_deg"), ("raj2000", "dej2000"), ("radeg", "decdeg"))


@task(name="make-catalogue", cache_policy=NO_CACHE, persist_result=False)
def make_catalogue(
    survey: Survey,
    files: Sequence[Path],
    folder: Path,
    *,
    spectra: gaiaxpy.Options | None = None,
    sources: Path | None = None,
    templates: Path | None = None,
    bands: Mapping[str, float] | None = None,
) -> CatalogueMade:
    """Write the stars of a survey's files into those cells of ``folder`` that do not exist yet.

    Parameters
    ----------
    survey
        Survey of the files.
    files
        Gaia spectra (XP_CONTINUOUS), or tables of other surveys.
    folder
        Folder of the reference.
    spectra
        Photometric systems, for Gaia.
    sources
        Table of Gaia's ``gaia_source`` rows for these spectra, for positions and quality.
    templates
        Table of stellar templates, to derive medium bands from a survey's broad bands.
    bands
        Medium bands to derive from the templates: wavelength in nm by filter.
    """
    with photometric_cells.folder_lock(folder):
        if survey == "gaiaxp":
            good, refused = _good_sources(sources)
            wanted = photometric_cells.missing(folder, np.asarray(good["ra"]), np.asarray(good["dec"]))
            stars = _gaia(good, files, folder, spectra) if wanted else good
        else:
            stars, refused = _with_medium_bands(_others(survey, files), templates, bands or {}), {}
        return _fill(folder, stars, refused, REFCAT[survey])


def _fill(folder: Path, stars: Table, refused: Mapping[str, int], survey: str) -> CatalogueMade:
    """Write the cells that do not exist yet."""
    wanted = photometric_cells.missing(folder, np.asarray(stars["ra"]), np.asarray(stars["dec"]))
    for cell, rows in wanted.items():
        with products.staged(folder / photometric_cells.name_of(cell)) as temporary:
            columns = {name: np.asarray(stars[name][rows]) for name in stars.colnames}
            photometric_cells.write(temporary, columns, survey=survey)
    written = sum(len(rows) for rows in wanted.values())
    filters = tuple(name.removeprefix("mag_") for name in stars.colnames if name.startswith("mag_"))
    log.info("%s: %d of %d stars into %d new cells of %s", survey, written, len(stars), len(wanted), folder)
    return CatalogueMade(
        folder=folder, cells=len(wanted), stars=written, known=len(stars) - written, filters=filters, refused=refused
    )


def _good_sources(path: Path | None) -> tuple[Table, dict[str, int]]:
    if path is None:
        raise UnusableData("Gaia's spectra need the table of their sources, for positions and quality")
    table = photometric_cells.read_table(path)
    good, refused = reference_stars.good_gaia(table)
    columns = [name for name in ("source_id", "ra", "dec", *CARRIED) if name in table.colnames]
    if lost := {"source_id", "ra", "dec"} - set(columns):
        raise UnusableData(f"{path.name} lacks the columns {', '.join(sorted(lost))}")
    return Table({name: np.ma.filled(np.ma.asarray(table[name][good]), _nothing(name)) for name in columns}), refused


def _gaia(good: Table, files: Sequence[Path], folder: Path, options: gaiaxpy.Options | None) -> Table:
    if options is None or not options.systems:
        raise UnusableData("Gaia's spectra need at least one photometric system")
    with outputs.scratch(folder, "gaiaxpy") as place:
        magnitudes = gaiaxpy.magnitudes(files, place, options)
    stars = join(good, magnitudes, keys="source_id", join_type="inner")
    if not len(stars):
        raise UnusableData(f"none of {len(magnitudes)} spectra belongs to one of {len(good)} good sources")
    return stars


def _with_medium_bands(stars: Table, templates: Path | None, bands: Mapping[str, float]) -> Table:
    if templates is not None:
        broad = {name: np.asarray(stars[name]) for name in stars.colnames if name.startswith("mag_")}
        for name, values in reference_stars.by_templates(broad, _templates(templates), bands).items():
            stars[name] = values
    return stars


def _nothing(name: str) -> float:
    return -1 if name == "source_id" else float("nan")


def _others(survey: Survey, files: Sequence[Path]) -> Table:
    """Return positions, magnitudes and signal-to-noise ratios from a survey's tables."""
    parts = []
    for path in files:
        table = photometric_cells.read_table(path)
        ra, dec = _position(table, path)
        magnitudes = reference_stars.from_ps1(table) if survey == "ps1" else reference_stars.from_survey(table, survey)
        columns: dict[str, np.ndarray] = {"source_id": np.full(len(table), -1), "ra": ra, "dec": dec, **magnitudes}
        for name in ERRORS.get(survey, ()):
            if f"{name}err" in table.colnames:
                error = np.asarray(table[f"{name}err"], dtype=float)
                columns[f"snr_{name}"] = constants.MAG_PER_RELATIVE_FLUX / np.where(error > 0, error, np.nan)
        parts.append(Table(columns))
    if not parts:
        raise UnusableData("no table was named")
    names = parts[0].colnames
    return Table({name: np.concatenate([np.asarray(part[name]) for part in parts]) for name in names})


def _position(table: Table, path: Path) -> tuple[np.ndarray, np.ndarray]:
    columns = {name.lower(): name for name in table.colnames}
    for ra, dec in POSITIONS:
        if ra in columns and dec in columns:
            return np.asarray(table[columns[ra]], dtype=float), np.asarray(table[columns[dec]], dtype=float)
    raise UnusableData(f"{path.name} has no columns of positions: {' or '.join(' '.join(pair) for pair in POSITIONS)}")


def _templates(path: Path) -> Templates:
    """Read stellar templates from a tab-separated table: magnitude and effective wavelength [Angstrom] of each band."""
    table = Table.read(path, format="ascii.tab")
    names = tuple(name for name in table.colnames if f"eff_wavelength_{name}" in table.colnames)
    if missing := set(reference_stars.TEMPLATE_BANDS) - set(names):
        raise UnusableData(f"{path.name} has no templates in {', '.join(sorted(missing))}")
    mags = np.stack([np.asarray(table[name], dtype=float) for name in names], axis=1)
    waves = np.array([float(np.median(table[f"eff_wavelength_{name}"])) for name in names])
    return Templates(names=names, mags=mags, wavelengths_nm=waves / reference_stars.ANGSTROM_PER_NM)
