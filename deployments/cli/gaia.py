"""``siren gaia``: fetch Gaia's stars around positions in advance, so that nights need no network."""

from __future__ import annotations

from pathlib import Path

import click

from deployments.terminal import output, parameters
from tasks.errors import UnusableData

GAIA = "https://gea.esac.esa.int/tap-server/tap"
# half the diagonal of a frame plus the widest search for its pointing
RADIUS_DEG = 2.4


@click.command(name="gaia", help="Fetch the cells of Gaia DR3 around positions into a folder of catalogues.")
@click.argument("positions", nargs=-1, required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the cells.")
@click.option(
    "--radius",
    type=parameters.Number(min=0),
    default=RADIUS_DEG,
    show_default=True,
    help="Radius around each position, in degrees.",
)
@click.option("--url", default=GAIA, show_default=True, help="TAP service with the table gaiadr3.gaia_source.")
@click.option(
    "--faintest", type=parameters.Number(min=0), default=18.0, show_default=True, help="Faintest G magnitude."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(positions: tuple[str, ...], out: Path, radius: float, url: str, faintest: float, as_json: bool) -> None:
    """Fetch the missing cells around POSITIONS, each RA,DEC in degrees."""
    if not 0 < radius <= 10:
        raise UnusableData(f"radius {radius:g}: expected a number of degrees above 0 and up to 10")
    places = dict.fromkeys(map(_position, positions), radius)
    from tasks.catalogues import astrometric  # slow start-up: Prefect
    from tasks.science.astrometry import catalogue_cells

    wanted = catalogue_cells.around(places)
    fetched = astrometric.fetch(wanted, out, url=url, faintest_mag=faintest)
    result = {"cells": len(wanted), "fetched": fetched, "folder": str(out)}
    output.show(result, f"{len(wanted)} cells, {fetched} fetched into {out}", as_json=as_json)


def _position(text: str) -> tuple[float, float]:
    try:
        ra_deg, dec_deg = map(float, text.split(","))
    except ValueError as error:
        raise UnusableData(f"position {text[:60]!r}: expected RA,DEC in degrees") from error
    if not (abs(ra_deg) <= 360 and abs(dec_deg) <= 90):
        raise UnusableData(f"position {text[:60]!r} is not on the sky")
    return ra_deg, dec_deg
