"""``siren simulate``: a night folder or a notice with known truth."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from deployments.cli import output
from tasks.errors import UnusableData

SCALES = ("tiny", "small", "full")


@click.group(name="simulate", help="Make a night folder or a notice with known truth.")
def command() -> None:
    """Hold the two subcommands."""


@command.command(name="night", help="Make a night of raw frames with catalogues, references and transients.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder to fill: new, empty or ours.")
@click.option("--scale", type=click.Choice(SCALES), default="small", show_default=True, help="Size of the frames.")
@click.option("--units", type=int, default=None, help="Number of telescope units  [default: 1 for tiny, else 2]")
@click.option("--filters", default="r,i", show_default=True, help="Filters, with commas.")
@click.option("--lights", type=int, default=6, show_default=True, help="Lights per unit and filter.")
@click.option("--corrupt", type=int, default=0, show_default=True, help="Spoilt frames to add.")
@click.option("--ra", type=float, default=110.0, show_default=True, help="Field centre in degrees.")
@click.option("--dec", type=float, default=-30.0, show_default=True, help="Field centre in degrees.")
@click.option("--object", "object_name", default="T00001", show_default=True, help="OBJECT of the lights.")
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed gives the same bytes.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def night(
    out: Path,
    scale: str,
    units: int | None,
    filters: str,
    lights: int,
    corrupt: int,
    ra: float,
    dec: float,
    object_name: str,
    seed: int,
    as_json: bool,
) -> None:
    """Make a simulated night."""
    from tasks import simulation  # slow start-up: astropy and scipy
    from tasks.science.simulation import plan

    number = plan.SCALES[scale].units if units is None else units
    request = plan.Request(
        scale=scale,
        units=_unit_names(number),
        filters=tuple(word.strip() for word in filters.split(",") if word.strip()),
        lights=lights,
        corrupt=corrupt,
        seed=seed,
    )
    request = replace(request, ra_deg=ra, dec_deg=dec, object=object_name)
    truth = simulation.make_night(out, request)
    folders = [str(out / "obsdata" / name / request.folder) for name in request.units]
    result = {"truth": str(truth), "folders": folders, "seed": seed}
    output.show(result, f"night: {', '.join(folders)}\ntruth: {truth}", as_json=as_json)


def _unit_names(number: int) -> tuple[str, ...]:
    if not 1 <= number <= 20:
        raise UnusableData(f"--units {number} is not between 1 and 20")
    return tuple(f"7DT{i + 1:02d}" for i in range(number))
