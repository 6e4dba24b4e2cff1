"""``siren plan``: plan telescopes for a notice or a sky map.

The object printed with ``--json`` contains ``telescopes`` by name, each with ``tiles`` (in the order of observation),
``probability`` and ``area_deg2`` of the union of their footprints, ``seconds``, and ``reason`` (why there is no tile, or
empty). It also contains ``probability`` and ``area_deg2`` of all telescopes together, ``event_id`` and ``files``.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from deployments.terminal import output, parameters
from tasks.errors import UnusableData

if TYPE_CHECKING:
    from tasks.records import Plan


@click.command(name="plan", help="Plan telescopes for a notice or sky map: tiles, tables and pictures.")
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--telescope", "names", multiple=True, required=True, help="Name of a telescope; may be repeated.")
@click.option("--start", type=parameters.Moment(), help="Begin of the window, ISO, UTC.  [default: now]")
@click.option("--hours", type=parameters.Number(0, 96, min_open=True), default=24.0, show_default=True)
@click.option(
    "--tiles", type=click.IntRange(1, 2000), default=50, show_default=True, help="Most tiles per telescope or unit."
)
@click.option("--engine", type=click.Choice(["gwemopt", "siren"]), default="gwemopt", show_default=True)
@click.option(
    "--mode",
    type=click.Choice(["auto", "spread", "stare"]),
    default="stare",
    show_default=True,
    help="Of an array: each unit on tiles of its own (spread; --tiles counts per unit), all on one (stare), or as the area asks.",
)
@click.option(
    "--galaxies", type=click.Path(path_type=Path), help="Target the likely host galaxies of this CSV catalogue."
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for tables and pictures.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(
    source: Path,
    names: tuple[str, ...],
    start: datetime | None,
    hours: float,
    tiles: int,
    engine: str,
    mode: str,
    galaxies: Path | None,
    out: Path,
    as_json: bool,
) -> None:
    """Plan, write tables and pictures, print probability and area."""
    from tasks.io.planning import plan_tables
    from tasks.options import PlanOptions
    from tasks.planning import aims, tile_plans  # slow start-up: Prefect, healpy and matplotlib

    if out.exists() and not out.is_dir():
        raise UnusableData(f"--out {out} is a file; expected a folder")
    options = PlanOptions(engine=cast("Any", engine), mode=cast("Any", mode), tiles=tiles, hours=hours)
    event_id = aims.event_id_of(source)
    plans = tile_plans.make_plans.fn(source, names, options, event_id, start, galaxies)
    files = tile_plans.write_plans.fn(plans, source, out)
    joint = tile_plans.joint(plans, source)
    result: dict[str, Any] = plan_tables.as_object(plans, probability=joint[0], area_deg2=joint[1])
    output.show(result | {"files": files}, _text(plans, joint, out), as_json=as_json)


def _text(plans: tuple[Plan, ...], joint: tuple[float, float], out: Path) -> str:
    """Return probability and area of all telescopes together, and one line per telescope."""
    lines = [f"{plans[0].event_id}: {100 * joint[0]:.1f} % of the probability in {joint[1]:.1f} deg²"]
    for plan in plans:
        if not plan.tiles:
            lines.append(f"  {plan.telescope:<16} no tiles: {plan.reason}")
            continue
        first, last = plan.tiles[0].start, plan.tiles[-1].start
        span = f"{first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC" if first and last else ""
        lines.append(f"  {plan.telescope:<16} {len(plan.tiles):4d} tiles, {100 * plan.probability:.1f} %, {span}")
    remarks = dict.fromkeys(remark for plan in plans for remark in plan.remarks)
    return "\n".join([*lines, *(f"  ! {remark}" for remark in remarks), f"tables and pictures: {out}"])
