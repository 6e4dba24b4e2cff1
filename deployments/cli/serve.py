"""``siren serve``: run everything on one machine."""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping
from pathlib import Path

import click

from deployments.terminal import output, signals


@click.command("serve")
@click.option(
    "--home",
    type=click.Path(path_type=Path),
    help="Folder of all state.  [default: SIREN_HOME or the user's data folder]",
)
@click.option("--port", default=4200, show_default=True, help="Port of the server and its UI.")
@click.option(
    "--file",
    "prefect_file",
    type=click.Path(path_type=Path),
    help="File of deployments.  [default: prefect.yaml of the checkout]",
)
@click.option(
    "--pool",
    "pools",
    multiple=True,
    help="Work pool that gets a worker here; may be repeated.  [default: alerts and nights]",
)
@click.option(
    "--listen", "listen_to", metavar="HOST:PORT", help="Also run a listener, on a broker without credentials."
)
@click.option("--listen-gcn", is_flag=True, help="Also run a listener, on GCN.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object when everything is running.")
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
    """Run the Prefect server with its UI, its objects and a worker for each pool, until Ctrl-C."""
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
            f"Prefect UI: {result['ui']}",
            f"Other processes join with PREFECT_API_URL={result['api']}",
            *([f"Not configured; these variables are missing:\n{names}"] if names else []),
            "Ctrl-C stops everything.",
        ]
    )
