"""``siren deepen``: deep stacks of many nights and units, on this machine, without a deployment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from deployments.terminal import output, parameters

DAY = click.DateTime(["%Y-%m-%d"])


@click.command(
    name="deepen", help="Stack the best frames in PRODUCTS, a folder that `siren reduce` or a night has written."
)
@click.argument("products", type=click.Path(path_type=Path))
@click.option(
    "--catalogues",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder with photometric.fits, for zero points.",
)
@click.option("--objects", default="", help="Objects or tile numbers, separated by commas.  [default: all]")
@click.option("--filters", default="", help="Filters, separated by commas.  [default: all]")
@click.option("--units", default="", help="Units, separated by commas.  [default: all]")
@click.option("--start", type=DAY, default=None, help="First night, the date of its evening.")
@click.option("--end", type=DAY, default=None, help="Last night.")
@click.option(
    "--select",
    type=click.Choice(["median", "nsigma", "all"]),
    default="median",
    show_default=True,
    help="Take frames sharper and deeper than the median, or within --sigmas beyond it, or all.",
)
@click.option("--sigmas", type=parameters.Number(0, 10), default=1.0, show_default=True, help="For --select nsigma.")
@click.option(
    "--names", type=click.Path(path_type=Path), default=None, help="File with the names of the frames to take."
)
@click.option("--centre", default="", help="RA,DEC of the stack's centre in degrees.  [default: the field's]")
@click.option("--with-sky", is_flag=True, help="Leave the sky in the stack.")
@click.option(
    "--engine", type=click.Choice(["siren", "swarp"]), default="siren", show_default=True, help="Program that combines."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(products: Path, catalogues: Path, *, as_json: bool, **choices: Any) -> None:
    """Select frames, stack and measure them, print the result."""
    from deployments.local import deep_stacks  # slow start-up: Prefect, Dask and the scientific libraries

    deepened = deep_stacks.deepen(products, catalogues, choices)
    output.show(deep_stacks.facts(deepened), deep_stacks.words(deepened), as_json=as_json)
