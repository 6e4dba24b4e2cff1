"""``siren backfill``: fetch the notices of a long outage from GraceDB."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from deployments.terminal import output

FORMATS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"]


@click.command("backfill")
@click.option("--since", type=click.DateTime(FORMATS), help="Begin, UTC.  [default: the gaps in reception]")
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
    """Store missed notices as if the listener had received them; a running listener starts their runs.

    Notices already stored are unchanged. An old notice does not start an automatic plan.
    """
    from deployments.local import backfill  # slow start-up: Prefect
    from deployments.server import default_paths
    from tasks.options import BackfillOptions

    options = BackfillOptions(url=url) if url else BackfillOptions()
    where = default_paths.alert_root(root)
    backfilled = backfill.fill(since, until, options, root=where, url=default_paths.registry_url(registry))
    words = (
        f"{len(backfilled.spans)} gaps, {backfilled.events} events: "
        f"{backfilled.new} notices new, {backfilled.known} known"
    )
    refused = "".join(f"\nrefused  {notice}" for notice in backfilled.refused)
    output.show({**vars(backfilled)}, words + refused, as_json=as_json)
