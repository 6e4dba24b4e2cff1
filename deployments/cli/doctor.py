"""``siren doctor``: check this machine and print a remedy for each problem."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import click

from deployments.terminal import output


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(*, as_json: bool) -> int:
    """Check programs, GPU, server, database, blocks, workers, listener, slots and catalogues.

    It changes nothing and prints no secret.

    The exit code is 1 if a required part is missing, and 0 if only optional parts are missing.
    """
    from deployments.server import doctor  # slow start-up: Prefect, Dask

    checks = doctor.examine()
    fit, rows = doctor.is_fit(checks), [asdict(check) for check in checks]
    output.show({"ok": fit, "checks": rows}, "\n".join(_line(row) for row in rows), as_json=as_json)
    return output.DONE if fit else output.FAILED


def _line(check: Mapping[str, Any]) -> str:
    mark = "ok" if check["ok"] else "MISSING" if check["required"] else "-"
    remedy = f"\n{'':<27}→ {check['remedy']}" if check["remedy"] else ""
    return f"{mark:<8} {check['name']:<17} {check['detail']}{remedy}"
