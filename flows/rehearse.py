"""Rehearse: run all flows on a simulated alert and night."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path

from prefect import flow

from flows.alerts.plan import plan
from flows.alerts.respond import respond
from flows.deprecated import block_keywords
from flows.follow import follow
from flows.nights.night import night
from tasks.nights import report
from tasks.options import PlanOptions
from tasks.records import Blocks, Rehearsal


@flow(name="rehearse", flow_run_name="rehearse-{evening}")
@block_keywords("observatory", "registry", "slack", "store")
def rehearse(
    notice: Path,
    sha256: str,
    evening: date,
    telescopes: tuple[str, ...] = ("7DT", "TCH", "TRE"),
    *,
    topic: str = "igwn.gwalert",
    options: PlanOptions = PlanOptions(),
    clock: datetime | None = None,
    blocks: Blocks = Blocks(),
) -> Rehearsal:
    """Respond to a notice, plan, reduce a night, and rank its candidates against the sky map.

    Args:
        notice: File of the stored notice.
        sha256: Hash of the notice's bytes.
        evening: Date of the night to reduce.
        telescopes: Telescopes to plan.
        topic: Kafka topic of the notice.
        options: How the event is planned.
        clock: Time at which the plan begins; now, if it is not given.
        blocks: Names of the blocks with places, cluster, registry, Slack and store.
    """
    response = respond(notice, sha256, topic, telescopes=telescopes, clock=clock, blocks=blocks)
    plans = (
        plan(response.event_id, response.to_plan, options=options, clock=clock, blocks=blocks)
        if response.to_plan
        else ()
    )

    reduced = night(evening, blocks=blocks)

    ranking = follow(response.event_id, evening, blocks=blocks) if response.has_map else None
    return report.rehearsed(response, plans, reduced, ranking)
