"""``siren reduce``: reduce a night or part of it on this machine, without a deployment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from deployments.terminal import output

STAGES = ("calibrate", "reduce", "stack", "search")


@click.command(name="reduce", help="Reduce a night folder or part of it, without a deployment.")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for the products.")
@click.option("--units", default="", help="Units, separated by commas.  [default: all]")
@click.option("--objects", default="", help="Objects or tile numbers, separated by commas.  [default: all]")
@click.option("--until", type=click.Choice(STAGES), default="search", show_default=True, help="Last stage to run.")
@click.option("--force", multiple=True, type=click.Choice(STAGES), help="Stage to run again; may be repeated.")
@click.option(
    "--telescope",
    default="",
    metavar="NAME_OR_FILE",
    help="Name of a telescope, or its TOML file.  [default: the one that the first frame's TELESCOP names, else 7DT]",
)
@click.option("--night", default=None, help="Date of the evening, if FOLDER contains several nights.")
@click.option("--catalogues", type=click.Path(path_type=Path), default=None, help="Folder of reference catalogues.")
@click.option("--references", type=click.Path(path_type=Path), default=None, help="Folder of reference images.")
@click.option(
    "--photometry",
    multiple=True,
    metavar="NAME=VALUE",
    help="Option of reduction and photometry, such as spatial_zero_point=cubic or photometry_engine=sep; may be repeated.",
)
@click.option("--cpu-slots", type=click.IntRange(0, 256), default=0, help="CPU tasks at a time; 0: one per core.")
@click.option(
    "--gpu-slots", type=click.IntRange(0, 64), default=0, help="GPU tasks at a time; 0: one per GPU, else per core."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(folder: Path, out: Path, *, until: str, force: tuple[str, ...], as_json: bool, **choices: Any) -> int:
    """Reduce FOLDER: an observatory's folder, the folder of its raw frames, or one unit's night."""
    from deployments.local import night  # slow start-up: Prefect, Dask and the scientific libraries
    from tasks.records import Stage  # with the slow start-up above

    place = night.locate(
        folder,
        out=out,
        night=choices["night"],
        units=choices["units"],
        catalogues=choices["catalogues"],
        references=choices["references"],
        telescope=choices["telescope"],
        until=Stage(until),
    )
    slots = (choices["cpu_slots"], choices["gpu_slots"])
    objects = tuple(name.strip() for name in choices["objects"].split(",") if name.strip())
    report = night.reduce(
        place, out=out, until=until, force=force, objects=objects, slots=slots, photometry=choices["photometry"]
    )
    output.show(night.facts(report), night.words(report), as_json=as_json)
    return output.FAILED if night.nothing_reduced(report) else output.DONE
