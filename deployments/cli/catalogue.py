"""``siren catalogue``: make a photometric reference catalogue from files, in cells of the sky."""

from __future__ import annotations

import re
from pathlib import Path

import click

from deployments.terminal import output
from tasks.errors import UnusableData

SURVEYS = ("gaiaxp", "ps1", "sdss", "apass", "2mass")
MEDIUM_BAND = re.compile(r"m(\d{3})w?")


@click.command(name="catalogue", help="Make the photometric reference catalogue of nights from files of a survey.")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--survey", type=click.Choice(SURVEYS), required=True, help="Survey of the files.")
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="Folder of cells, such as catalogues/photometric."
)
@click.option("--sources", type=click.Path(path_type=Path), default=None, help="gaia_source rows of the spectra.")
@click.option("--system", "systems", multiple=True, help="GaiaXPy's name of a photometric system; may be repeated.")
@click.option(
    "--filters", type=click.Path(path_type=Path), default=None, help="Folder of additional photometric systems."
)
@click.option(
    "--name", "names", multiple=True, metavar="BAND=FILTER", help="Our name of a system's band; may be repeated."
)
@click.option("--templates", type=click.Path(path_type=Path), default=None, help="Stellar templates, for medium bands.")
@click.option("--bands", default="", help="Medium bands from the templates, separated by commas: m425,m450.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(
    files: tuple[Path, ...],
    *,
    survey: str,
    out: Path,
    sources: Path | None,
    systems: tuple[str, ...],
    filters: Path | None,
    names: tuple[str, ...],
    templates: Path | None,
    bands: str,
    as_json: bool,
) -> None:
    """Make a photometric reference catalogue."""
    from tasks.catalogues import photometric  # slow start-up: Prefect and astropy
    from tasks.programs import gaiaxpy

    spectra = gaiaxpy.Options(systems=systems, filters=filters, names=dict(_pair(name) for name in names))
    catalogue = photometric.make_catalogue.fn(
        survey,  # type: ignore[arg-type]  # click has checked it
        files,
        out,
        spectra=spectra,
        sources=sources,
        templates=templates,
        bands={name: _wavelength_nm(name) for name in filter(None, (word.strip() for word in bands.split(",")))},
    )
    facts = {
        "folder": catalogue.folder,
        "cells": catalogue.cells,
        "stars": catalogue.stars,
        "known": catalogue.known,
        "filters": catalogue.filters,
        "refused": dict(catalogue.refused),
    }
    refused = "".join(f"\n  refused, {test}: {number}" for test, number in catalogue.refused.items())
    words = (
        f"{catalogue.stars} stars into {catalogue.cells} new cells of {catalogue.folder}; "
        f"{catalogue.known} in existing cells{refused}"
    )
    output.show(facts, words, as_json=as_json)


def _pair(word: str) -> tuple[str, str]:
    band, equals, filter_ = word.partition("=")
    if not (band and equals and filter_):
        raise UnusableData(f"--name {word!r} is not BAND=FILTER, such as J0400=m400")
    return band, filter_


def _wavelength_nm(name: str) -> float:
    if (match := MEDIUM_BAND.fullmatch(name)) is None:
        raise UnusableData(f"--bands {name!r} is not a medium band such as m425")
    return float(match[1])
