"""``siren observed``: record the observed tiles of an event's plans."""

from __future__ import annotations

from contextlib import closing

import click

from deployments.terminal import output


@click.command("observed")
@click.argument("event")
@click.argument("tiles", nargs=-1, required=True)
@click.option("--telescope", required=True, help="Name of the telescope.")
@click.option("--registry", "url", help="URL of the registry.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(event: str, tiles: tuple[str, ...], telescope: str, url: str | None, *, as_json: bool) -> None:
    """Record that TILES of the plans of EVENT (the name of its folder: S250910b) were observed.

    The next plan of the event leaves them out and removes their probability from the map.
    """
    from deployments.server import default_paths
    from tasks import registry  # slow start-up: Prefect
    from tasks.follow import observed_tiles

    with closing(registry.open(default_paths.registry_url(url))) as database:
        marked = observed_tiles.mark(database, event, telescope, tiles)
    output.show({"event_id": event, "observed": marked}, f"{event}: {len(marked)} tiles observed", as_json=as_json)
