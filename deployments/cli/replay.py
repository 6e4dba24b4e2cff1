"""``siren replay``: replay stored notices in order, up to the decisions."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from deployments.terminal import output, parameters

if TYPE_CHECKING:
    from deployments.local.replay import ReplayDifference, Step


@click.command("replay")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--speed",
    type=parameters.Number(min=0, min_open=True),
    help="Factor by which the waits between notices are shortened.  [default: no waits]",
)
@click.option("--policy", help="Name of a policy, or a TOML file.  [default: sevendt]")
@click.option("--registry", "url", help="URL of the registry to compare with; `none` compares with nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(folder: Path, speed: float | None, policy: str | None, url: str | None, *, as_json: bool) -> None:
    """Replay the notices of FOLDER in order, each at its creation time; send no message and make no plan.

    The end of the output lists the differences from the decisions in the registry.
    """
    from deployments.local import replay  # slow start-up: sky maps import astropy and scipy

    stored, rejected = replay.read_folder(folder)
    rows, steps = [], []
    for step in replay.replay(stored, replay.load_policy(policy), speed=speed):
        steps.append(step)
        rows.append(_row(step, folder))
        if not as_json:
            click.echo(_line(rows[-1]))
    compared, differences = _compared(steps, folder, url)
    lines = [f"left out  {file.name}: {file.reason}" for file in rejected]
    lines += [f"differs  {row.file}: {row.field} {row.registry} → {row.replay}" for row in differences]
    lines += [f"{len(rows)} decisions, {len(rejected)} files left out, {len(differences)} differences from {compared}"]
    result = {"decisions": rows, "rejected": rejected, "registry": compared, "differences": differences}
    output.show(result, "\n".join(lines), as_json=as_json)


def _compared(steps: Sequence[Step], folder: Path, url: str | None) -> tuple[str, tuple[ReplayDifference, ...]]:
    """Compare with the given registry, else with this machine's if it exists; return its name and the differences."""
    from deployments.local import replay  # slow start-up
    from deployments.server import default_paths
    from tasks import registry
    from tasks.registry import health

    address = default_paths.registry_url(url)
    if address == "none" or (url is None and not health.exists(address)):
        return "no registry", ()
    with closing(registry.open(address)) as database:
        return health.named(address), replay.compare(database, steps, folder)


def _row(step: Step, folder: Path) -> dict[str, Any]:
    alert, decision = step.stored.alert, step.decision
    return {
        "file": str(step.stored.path.relative_to(folder)),
        "sha256": alert.sha256,
        "event_id": alert.notice.event_id,
        "mission": alert.notice.mission,
        "alert_type": alert.notice.alert_type,
        "time": step.stored.moment,
        "standing": step.registered.standing,
        "state": step.registered.state,
        "policy": decision.policy,
        "rule": decision.rule,
        "score": decision.score,
        "action": decision.action,
        "plan": decision.plan,
        "telescopes": decision.telescopes,
        "reasons": decision.reasons,
    }


def _line(row: dict[str, Any]) -> str:
    return f"{row['time']:%Y-%m-%d %H:%M:%S}  {row['event_id']:<24} {row['alert_type']:<14} {row['standing']:<11} {row['action']}"
