"""``siren bootstrap``: set up the Prefect server; idempotent."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from deployments.terminal import output, parameters


@click.command("bootstrap")
@click.option(
    "--file",
    "prefect_file",
    type=click.Path(path_type=Path),
    help="File of deployments.  [default: prefect.yaml of the checkout]",
)
@click.option("--home", type=click.Path(path_type=Path), help="Folder of the default paths in new blocks.")
@click.option(
    "--wait",
    "wait_s",
    type=parameters.Number(min=0),
    default=60.0,
    show_default=True,
    help="Longest wait for the server, in s.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(prefect_file: Path | None, home: Path | None, wait_s: float, *, as_json: bool) -> None:
    """Create or update blocks, pools, limits, deployments and automations on the server at PREFECT_API_URL.

    Blocks take their fields from variables such as SIREN_GCN_CLIENT_ID; the output lists missing variables.
    """
    from deployments.server import bootstrap, default_paths  # slow start-up: Prefect

    file = bootstrap.PREFECT_FILE if prefect_file is None else prefect_file
    setup = bootstrap.bootstrap(prefect_file=file, home=(home or default_paths.home()).resolve(), wait_s=wait_s)
    output.show(asdict(setup), _text(asdict(setup)), as_json=as_json)


def _text(setup: dict[str, object]) -> str:
    lines = [f"server       {setup['server']}"]
    for key in ("blocks", "pools", "limits", "deployments", "automations", "missing"):
        names = setup[key]
        listed = [str(name) for name in names] if isinstance(names, tuple) else []
        lines += [f"{key if number == 0 else '':<12} {name}" for number, name in enumerate(listed)]
    return "\n".join(lines)
