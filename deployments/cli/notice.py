"""``siren notice``: parse a notice and apply a decision policy."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from deployments.terminal import output
from tasks import constants

if TYPE_CHECKING:
    from tasks.records import Alert, Decision, SkyMapSummary


@click.command(name="notice", help="Parse a notice and apply a decision policy.")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--topic", help="Kafka topic of the notice.")
@click.option("--policy", help="Name of a policy, or a TOML file.  [default: sevendt]")
@click.option(
    "--thresholds",
    "-t",
    multiple=True,
    help="Name of a set of the policy's thresholds (A), or one threshold (Distance_cut=300); may be repeated.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(file: Path, topic: str | None, policy: str | None, thresholds: tuple[str, ...], as_json: bool) -> None:
    """Print the contents of a notice and the decision of a policy."""
    from tasks import policies  # slow start-up: sky maps import astropy and scipy
    from tasks.io.notices import parsing
    from tasks.io.skymaps import sky_map_files
    from tasks.science.alerts import assembly, decisions

    chosen = policies.load(_policy(policy or policies.DEFAULT), thresholds=",".join(thresholds))
    payload = parsing.read(file)
    parsed = parsing.parse(payload, topic=topic)
    alert = assembly.assemble(parsed, sha256=hashlib.sha256(payload).hexdigest(), read=sky_map_files.read)
    decision = decisions.decide(alert, chosen)
    output.show(_result(alert, decision), _text(alert, decision), as_json=as_json)


def _policy(text: str) -> str | Path:
    return Path(text) if text.endswith(".toml") else text


def _result(alert: Alert, decision: Decision) -> dict[str, Any]:
    """Return the notice's fields, the summaries of its maps and the decision in one flat object."""
    from tasks.records import missions  # slow start-up: records import numpy

    notice = vars(alert.notice) | {
        "transient": missions.transient_of(alert.notice),
        "far_inverse_days": _inverse_days(alert.notice.far_hz),
    }
    chosen = {name: getattr(decision, name) for name in ("score", "action", "rule", "plan", "telescopes", "audience")}
    maps = {**_numbers(alert.sky_map), "combined": _numbers(alert.combined) if alert.combined else None}
    return {
        **notice,
        **maps,
        **chosen,
        "reasons": decision.reasons,
        "summary": decision.summary,
        "policy": decision.policy,
        "sha256": alert.sha256,
    }


def _numbers(sky_map: SkyMapSummary | None) -> dict[str, Any]:
    from tasks.records import SkyMapSummary  # slow start-up: records import numpy

    names = [name for name in SkyMapSummary.__dataclass_fields__ if name not in {"path", "role"}]
    return {name: None if sky_map is None else getattr(sky_map, name) for name in names}


def _inverse_days(far_hz: float | None) -> float | None:
    return 1 / far_hz / constants.DAY_S if far_hz else None


def _text(alert: Alert, decision: Decision) -> str:
    """Return the notice, its maps and the decision as text."""
    notice = alert.notice
    first = f"{notice.mission} {notice.event_id}: {notice.alert_type}{' (test)' if notice.test else ''}"
    lines = [first, f"time        {notice.time.isoformat() if notice.time else 'not given'}"]
    lines += [f"{name:<12}{text}" for name, text in _facts(alert) if text]
    lines += [f"decision    {decision.summary}  [policy {decision.policy}, score {decision.score}]"]
    lines += [
        f"  {'+' if reason.passed else '-'} {reason.rule}: {reason.condition}; got {reason.value}"
        for reason in decision.reasons
    ]
    return "\n".join([*lines, *(f"  ! {remark}" for remark in notice.remarks)])


def _facts(alert: Alert) -> list[tuple[str, str]]:
    notice = alert.notice
    classes = sorted((notice.classification or {}).items(), key=lambda item: -item[1])
    position = "" if notice.ra_deg is None else f"{notice.ra_deg:.5f}, {notice.dec_deg:.5f} ± {notice.error_deg} deg"
    return [
        ("instrument", notice.instrument or ", ".join(notice.instruments or ())),
        ("classes", ", ".join(f"{name} {value:.1%}" for name, value in classes)),
        ("false alarm", _rate(notice.far_hz)),
        ("position", position),
        ("sky map", _map_text(alert.sky_map)),
        ("combined", _map_text(alert.combined)),
    ]


def _rate(far_hz: float | None) -> str:
    """Return a rate in Hz as text: one in a number of hours, days or years."""
    if not far_hz:
        return ""
    for unit, seconds in (("years", constants.JULIAN_YEAR_S), ("days", constants.DAY_S), ("hours", 3600.0)):
        if 1 / far_hz >= seconds:
            return f"one in {1 / far_hz / seconds:.4g} {unit}"
    return f"{far_hz:.3g} Hz"


def _map_text(sky_map: SkyMapSummary | None) -> str:
    if sky_map is None:
        return ""
    distance = "no distance"
    if sky_map.distance_mpc is not None:
        distance = f"{sky_map.distance_mpc:.1f} ± {sky_map.distance_std_mpc:.1f} Mpc"
    return f"50 % in {sky_map.area50_deg2:.1f} deg², 90 % in {sky_map.area90_deg2:.1f} deg², {distance}"
