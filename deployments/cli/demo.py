"""``siren demo``: simulate an alert and a night and run all flows on them."""

from __future__ import annotations

from pathlib import Path

import click

from deployments.cli import simulate
from deployments.terminal import output


@click.command(name="demo", help="Simulate an alert and a night, run all flows on them, print the paths of the pages.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("demo"), show_default=True, help="Folder to fill.")
@click.option(
    "--notice", type=click.Path(path_type=Path), default=None, help="A real notice instead of a simulated one."
)
@click.option("--seed", type=int, default=1, show_default=True, help="Seed of the simulation.")
@click.option(
    "--scale", type=click.Choice(simulate.SCALES), default="small", show_default=True, help="Size of the frames."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(out: Path, notice: Path | None, seed: int, scale: str, *, as_json: bool) -> None:
    """Run the demonstration."""
    from deployments.local import demo  # slow start-up: Prefect, Dask and the scientific libraries

    demonstration = demo.demonstrate(
        out, notice=notice, seed=seed, scale=scale, say=lambda line: click.echo(line, err=as_json)
    )
    output.show(demo.facts(demonstration), demo.words(demonstration), as_json=as_json)
