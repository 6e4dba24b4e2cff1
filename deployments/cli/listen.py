"""``siren listen``: receive notices from Kafka, store them and start flow runs."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from deployments.cli import backfill
from deployments.terminal import output, signals
from tasks.records.missions import TOPICS

GROUP = "brightsiren"


@click.command("listen")
@click.option("--bootstrap", "servers", metavar="HOST:PORT", help="A broker without credentials.")
@click.option(
    "--gcn",
    is_flag=True,
    help="GCN, with the credentials of SIREN_GCN_CLIENT_ID and SIREN_GCN_CLIENT_SECRET or the block `gcn`.",
)
@click.option(
    "--topic", "topics", multiple=True, help="Topic; may be repeated.  [default: GCN's gravitational waves and bursts]"
)
@click.option(
    "--group",
    default="brightsiren",
    show_default=True,
    help="Consumer group; listeners of one group share the notices.",
)
@click.option("--root", type=click.Path(path_type=Path), help="Folder of the alert river's files.")
@click.option("--registry", "url", help="URL of the registry.")
@click.option(
    "--warm/--cold",
    default=True,
    show_default=True,
    help="Keep a process with everything imported that starts a notice's run at once, or leave all runs to the workers.",
)
@click.option(
    "--since",
    type=click.DateTime(backfill.FORMATS),
    help="Receive all messages since this time (UTC) again, once; stored notices are unchanged, and none is skipped.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object at the end.")
def command(
    servers: str | None,
    topics: tuple[str, ...],
    group: str | None,
    root: Path | None,
    url: str | None,
    *,
    gcn: bool,
    warm: bool,
    since: datetime | None,
    as_json: bool,
) -> None:
    """Listen until stopped: store each notice as a file and a row, commit its offset, then start its run.

    While the Prefect server is unavailable, notices are stored; their runs start when it answers again.
    """
    if bool(servers) == gcn:
        raise click.UsageError("name one broker: --bootstrap HOST:PORT, or --gcn")
    from deployments.listening import daemon, listener  # slow start-up: Prefect
    from deployments.server import default_paths
    from tasks import registry

    root = default_paths.alert_root(root)
    configuration = {
        **({"bootstrap.servers": servers, "group.id": GROUP} if servers else _gcn()),
        **({"group.id": group} if group else {}),
    }
    options = listener.ListenOptions(
        topics=topics or TOPICS, configuration=configuration, since=since and since.replace(tzinfo=UTC)
    )
    database, stop = registry.open(default_paths.registry_url(url)), threading.Event()
    with signals.stopping(stop):
        daemon.listen(options, root=root, registry=database, stop=stop, warm=warm)
    waiting = len(database.undispatched())
    output.show({"undispatched": waiting}, f"stopped; {waiting} notices wait for their run", as_json=as_json)


def _gcn() -> Mapping[str, Any]:
    from blocks import GcnCredentials  # slow start-up: Prefect
    from deployments.server import blocks_from_environment

    return blocks_from_environment.load(GcnCredentials).configuration()
