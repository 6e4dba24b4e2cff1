"""``siren replay``: stored notices again, in their order and clock, up to the decisions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from deployments.cli import output

if TYPE_CHECKING:
    from deployments.replay import Step


@click.command("replay")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--speed", type=click.FloatRange(min=0, min_open=True), help="Times faster than on the day; none does not wait."
)
@click.option("--policy", help="Name of a policy, or a TOML file.  [default: sevendt]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(folder: Path, speed: float | None, policy: str | None, *, as_json: bool) -> None:
    """Replay the notices of FOLDER in their order and with the clock they had; nothing is sent and nothing planned."""
    from deployments import replay  # slow start-up: sky maps bring astropy and scipy

    stored, rejected = replay.read_folder(folder)
    rows = []
    for step in replay.replay(stored, replay.load_policy(policy), speed=speed):
        rows.append(_row(step, folder))
        if not as_json:
            click.echo(_line(rows[-1]))
    words = "\n".join(f"left out  {each.name}: {each.reason}" for each in rejected)
    summary = f"{len(rows)} decisions, {len(rejected)} files left out"
    output.show({"decisions": rows, "rejected": rejected}, f"{words}\n{summary}".strip(), as_json=as_json)


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
