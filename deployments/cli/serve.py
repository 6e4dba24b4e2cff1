"""``siren serve``: everything on one machine."""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping
from pathlib import Path

import click

from deployments.cli import output, signals


@click.command("serve")
@click.option(
    "--home", type=click.Path(path_type=Path), help="Folder of all state; SIREN_HOME or the user's data if none."
)
@click.option("--port", default=4200, show_default=True, help="Port of the server and its interface.")
@click.option(
    "--file", "prefect_file", type=click.Path(path_type=Path), help="Deployments; the checkout's prefect.yaml if none."
)
@click.option(
    "--pool", "pools", multiple=True, help="Pool that gets a worker here; alerts and nights if none is named."
)
@click.option(
    "--listen", "listen_to", metavar="HOST:PORT", help="Run a listener beside, on a broker without credentials."
)
@click.option("--listen-gcn", is_flag=True, help="Run a listener beside, on GCN.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object once all runs.")
def command(
    home: Path | None,
    port: int,
    prefect_file: Path | None,
    pools: tuple[str, ...],
    listen_to: str | None,
    *,
    listen_gcn: bool,
    as_json: bool,
) -> None:
    """Run the Prefect server with its interface, what it must hold, and a worker for each pool, until Ctrl-C."""
    from deployments.server import bootstrap, default_paths, serve  # slow start-up: Prefect

    stop = threading.Event()
    with (
        signals.stopping(stop),
        serve.serving(
            home=home or default_paths.home(),
            port=port,
            prefect_file=bootstrap.PREFECT_FILE if prefect_file is None else prefect_file,
            pools=pools or tuple(serve.ASK_S),
            listen=_listener(listen_to, gcn=listen_gcn),
        ) as running,
    ):
        logs = sorted({str(service.log_file) for service in running.services})
        result = {"ui": running.ui_url, "api": running.api_url, "logs": logs, "missing": running.setup.missing}
        output.show(result, _text(result), as_json=as_json)
        sys.stdout.flush()
        serve.watch(running, stop)


def _listener(listen_to: str | None, *, gcn: bool) -> tuple[str, ...]:
    if listen_to:
        return ("--bootstrap", listen_to)
    return ("--gcn",) if gcn else ()


def _text(result: Mapping[str, object]) -> str:
    missing = result["missing"]
    names = "\n".join(f"  {name}" for name in missing) if isinstance(missing, tuple) else ""
    return "\n".join(
        [
            f"The Prefect interface: {result['ui']}",
            f"Others join with PREFECT_API_URL={result['api']}",
            *([f"Not configured, set these variables for more:\n{names}"] if names else []),
            "Ctrl-C stops everything.",
        ]
    )
