"""``siren backfill``: the notices of an outage longer than the broker remembers, from GraceDB."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from deployments.cli import output

FORMATS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"]


@click.command("backfill")
@click.option("--since", type=click.DateTime(FORMATS), help="Begin, UTC; the gaps in what was heard if not given.")
@click.option("--until", type=click.DateTime(FORMATS), help="End, UTC.  [default: now]")
@click.option("--url", help="Address of GraceDB's interface.  [default: https://gracedb.ligo.org/api/]")
@click.option("--root", type=click.Path(path_type=Path), help="Folder of the alert river's files.")
@click.option("--registry", help="URL of the registry.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(
    since: datetime | None,
    until: datetime | None,
    url: str | None,
    root: Path | None,
    registry: str | None,
    *,
    as_json: bool,
) -> None:
    """Store notices that were missed, as if they had been heard; a running listener makes their runs.

    What is known already stays as it is. An old notice starts no telescope by itself.
    """
    from deployments.local import backfill  # slow start-up: Prefect
    from deployments.server import default_paths
    from tasks.options import BackfillOptions

    options = BackfillOptions(url=url) if url else BackfillOptions()
    where = default_paths.alert_root(root)
    made = backfill.fill(since, until, options, root=where, url=default_paths.registry_url(registry))
    words = f"{len(made.spans)} gaps, {made.events} events: {made.new} notices new, {made.known} known"
    refused = "".join(f"\nrefused  {each}" for each in made.refused)
    output.show({**vars(made)}, words + refused, as_json=as_json)
