"""A simulated alert and night through everything: what would happen tonight."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Any

from prefect import flow

from flows.alerts.respond import respond
from flows.follow import follow
from flows.nights.night import night
from tasks.nights import report as reporting
from tasks.options import PlanOptions
from tasks.records import Rehearsal


@flow(name="rehearse", flow_run_name="rehearse-{evening}")
def rehearse(
    notice: Path,
    sha256: str,
    evening: date,
    telescopes: tuple[str, ...] = ("7DT", "TCH", "TRE"),
    *,
    topic: str = "igwn.gwalert",
    options: PlanOptions = PlanOptions(),
    clock: datetime | None = None,
    observatory: str = "observatory",
    registry: str = "registry",
    slack: str = "slack",
    store: str = "store",
) -> Rehearsal:
    """Respond to a notice, reduce a night, and rank what the night found against the sky map.

    Args:
        notice: File of the stored notice.
        sha256: Hash of the notice's bytes.
        evening: Date of the night to reduce.
        telescopes: Telescopes to plan.
        topic: Where the notice would have come from.
        options: How the event is planned.
        clock: Time at which the plan begins; now, where it is not given.
        observatory: Name of the block with the observatory's places.
        registry: Name of the block with the registry's database; empty: a file beside the alerts.
        slack: Name of the block with the Slack workspace; empty: messages are written to a folder.
        store: Name of the block with the product store; empty: a folder beside the alerts.
    """
    blocks: dict[str, Any] = {"observatory": observatory, "registry": registry, "slack": slack, "store": store}
    response = respond(
        notice, sha256, topic, telescopes=telescopes, options=options, clock=clock, plan_here=True, **blocks
    )

    report = night(evening, observatory=observatory, registry=registry, slack=slack)

    ranking = follow(response.event_id, evening, **blocks) if response.event_id and response.has_map else None
    return reporting.rehearsed(response, report, ranking)
