"""``siren simulate``: simulate a night folder or a notice with known truth."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from deployments.terminal import output, parameters
from tasks.errors import UnusableData

SCALES = ("tiny", "small", "full")


@click.group(name="simulate", help="Simulate a night folder or a notice with known truth.")
def command() -> None:
    """Group the two subcommands."""


@command.command(name="night", help="Simulate a night of raw frames with catalogues, references and transients.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder of the simulation: new, empty, or of an earlier simulation.",
)
@click.option("--scale", type=click.Choice(SCALES), default="small", show_default=True, help="Size of the frames.")
@click.option("--units", type=int, default=None, help="Number of telescope units  [default: 1 for tiny, else 2]")
@click.option("--filters", default="r,i", show_default=True, help="Filters, separated by commas.")
@click.option("--lights", type=int, default=6, show_default=True, help="Lights per unit and filter.")
@click.option("--corrupt", type=int, default=0, show_default=True, help="Number of corrupt frames to add.")
@click.option(
    "--mislabelled", type=int, default=0, show_default=True, help="Number of lights with a wrong filter in the header."
)
@click.option(
    "--colour-term", type=parameters.Number(), default=0.0, show_default=True, help="Size of colour terms, mag per mag."
)
@click.option(
    "--spatial",
    type=parameters.Number(),
    default=0.0,
    show_default=True,
    help="Zero point's rms over the frame, in mag.",
)
@click.option("--ra", type=parameters.Number(), default=110.0, show_default=True, help="Field centre in degrees.")
@click.option("--dec", type=parameters.Number(), default=-30.0, show_default=True, help="Field centre in degrees.")
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
    mislabelled: int,
    colour_term: float,
    spatial: float,
    ra: float,
    dec: float,
    object_name: str,
    seed: int,
    as_json: bool,
) -> None:
    """Simulate a night."""
    from tasks import simulation  # slow start-up: astropy and scipy
    from tasks.science.simulation import plan

    number = plan.SCALES[scale].units if units is None else units
    request = plan.Request(
        scale=scale,
        units=_unit_names(number),
        filters=tuple(word.strip() for word in filters.split(",") if word.strip()),
        lights=lights,
        corrupt=corrupt,
        mislabelled=mislabelled,
        colour_term_mag=colour_term,
        spatial_mag=spatial,
        seed=seed,
        ra_deg=ra,
        dec_deg=dec,
        object=object_name,
    )
    truth = simulation.make_night(out, request)
    folders = [str(out / "obsdata" / name / request.folder) for name in request.units]
    result = {"truth": str(truth), "folders": folders, "seed": seed}
    output.show(result, f"night: {', '.join(folders)}\ntruth: {truth}", as_json=as_json)


@command.command(
    name="alert", help="Simulate a gravitational-wave notice with a multi-order sky map around a true position."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder of the simulation: new, empty, or of an earlier simulation.",
)
@click.option("--id", "event_id", default="", help="Superevent id  [default: S, the date and two letters of the seed]")
@click.option("--type", "alert_type", default="PRELIMINARY", show_default=True, help="Alert type, as LVK writes it.")
@click.option(
    "--time",
    "moment",
    type=parameters.Moment(),
    default="2026-01-15T22:30:15",
    show_default=True,
    help="Time of the event, UTC, ISO.",
)
@click.option("--ra", type=parameters.Number(), default=None, help="True position in degrees  [default: drawn]")
@click.option("--dec", type=parameters.Number(), default=None, help="True position in degrees  [default: drawn]")
@click.option("--distance", type=parameters.Number(), default=80.0, show_default=True, help="Mean distance in Mpc.")
@click.option(
    "--distance-std",
    type=parameters.Number(),
    default=18.0,
    show_default=True,
    help="Standard deviation of the distance in Mpc.",
)
@click.option(
    "--area", type=parameters.Number(), default=45.0, show_default=True, help="Area of the 90 % region in deg2."
)
@click.option(
    "--significant/--not-significant", default=True, show_default=True, help="Significance stated in the notice."
)
@click.option("--coincidence", is_flag=True, help="Add a gamma-ray burst and a combined sky map.")
@click.option("--test", is_flag=True, help="Make a mock event (MS...).")
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed gives the same bytes.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def alert(
    out: Path,
    event_id: str,
    alert_type: str,
    moment: datetime,
    ra: float | None,
    dec: float | None,
    distance: float,
    distance_std: float,
    area: float,
    significant: bool,
    coincidence: bool,
    test: bool,
    seed: int,
    as_json: bool,
) -> None:
    """Simulate an alert."""
    from tasks import simulation  # slow start-up: astropy and ligo.skymap
    from tasks.science.simulation import alerts

    request = alerts.AlertRequest(
        seed=_not_negative(seed),
        event_id=event_id,
        alert_type=alert_type.upper(),
        time=moment,
        ra_deg=ra,
        dec_deg=dec,
        distance_mpc=distance,
        distance_std_mpc=distance_std,
        area90_deg2=area,
        significant=significant,
        test=test,
        coincidence=coincidence,
    )
    truth = simulation.make_alert(out, request)
    notice = out / "notice.json"
    output.show({"truth": str(truth), "notice": str(notice)}, f"notice: {notice}\ntruth: {truth}", as_json=as_json)


def _not_negative(seed: int) -> int:
    if seed < 0:
        raise UnusableData(f"--seed {seed} is below 0")
    return seed


def _unit_names(number: int) -> tuple[str, ...]:
    if not 1 <= number <= 20:
        raise UnusableData(f"--units {number} is not between 1 and 20")
    return tuple(f"7DT{i + 1:02d}" for i in range(number))
