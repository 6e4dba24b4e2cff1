"""Respond: parse one notice, decide, record and announce."""

from __future__ import annotations

import logging
from datetime import datetime
from pathlib import Path

from prefect import flow

from flows.deprecated import block_keywords
from tasks import observatory
from tasks.alerts import registration, revisits, triage
from tasks.errors import UnusableData
from tasks.messages import announcements, delivery, event_page
from tasks.planning import sky_pictures
from tasks.records import Blocks, Response

log = logging.getLogger(__name__)


@flow(name="respond", flow_run_name=triage.name_of_run)
@block_keywords("observatory", "registry", "slack", "store")
def respond(
    path: Path,
    sha256: str,
    topic: str | None = None,
    partition: int | None = None,
    offset: int | None = None,
    *,
    policy: str = "sevendt",
    thresholds: str = "",
    telescopes: tuple[str, ...] = (),
    clock: datetime | None = None,
    link_within_s: float = 60.0,
    blocks: Blocks = Blocks(),
) -> Response:
    """Respond to one notice as the policy decides. Idempotent.

    If the decision asks for a plan, an automation starts the flow ``plan``.

    Args:
        path: File of the stored notice.
        sha256: Hash of the notice's bytes.
        topic: Kafka topic of the notice.
        partition: Partition of the topic.
        offset: Offset in the partition.
        policy: Name of the policy: sevendt, grandma, tarot.
        thresholds: Name of a set of its thresholds; the policy's own if empty.
        telescopes: Telescopes to plan; none means those of the decision.
        clock: Time at which to begin; now, if it is not given.
        link_within_s: Largest time between events of two missions that may have one source, in s.
        blocks: Names of the blocks with places, registry, Slack and store.
    """
    log.info("%s: from %s, partition %s, offset %s", sha256[:8], topic, partition, offset)
    home = observatory.home(blocks)
    try:
        alert = triage.understand(path, topic, home.root)
    except UnusableData as error:
        letter = registration.record_dead_letter(path, sha256, str(error), home, topic=topic)
        delivery.deliver(home)
        return Response(sha256=sha256, rejected=str(error), dead_letter=letter)

    registered = registration.register(alert, home)
    decision = triage.decide(alert, policy, thresholds, registered, clock)
    announcements.announce(alert, decision, registered, home, source=path, within_s=link_within_s)
    delivery.deliver(home)

    revisits.schedule_first_look(alert, registered)
    to_plan = triage.accept(alert, registered, decision, telescopes)

    picture = sky_pictures.draw_alert(alert, home.root)
    page = event_page.publish_picture_and_page(alert, decision, registered, picture, home)
    messages = delivery.deliver(home)
    uploads = delivery.upload(home)
    event_page.show_losses((messages, uploads), home)
    registration.mark_answered(alert.sha256, home)
    return Response(sha256=sha256, alert=alert, decision=decision, registered=registered, to_plan=to_plan, page=page)
