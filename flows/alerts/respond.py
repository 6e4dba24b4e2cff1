"""One notice: understood, decided, recorded, announced, planned where the decision says so."""

from __future__ import annotations

import logging
from datetime import datetime
from pathlib import Path

from prefect import flow

from flows.alerts.plan import plan
from tasks import observatory as tasks_observatory
from tasks.alerts import coincidences, registration, swift_revisits, triage
from tasks.errors import UnusableData
from tasks.messages import announcements, delivery, event_page
from tasks.options import PlanOptions
from tasks.planning import sky_pictures
from tasks.records import Plan, PlanMode, Response

log = logging.getLogger(__name__)


@flow(name="respond", flow_run_name=triage.name_of_run)
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
    options: PlanOptions = PlanOptions(),
    clock: datetime | None = None,
    plan_here: bool = False,
    link_within_s: float = 60.0,
    observatory: str = "observatory",
    registry: str = "registry",
    slack: str = "slack",
    store: str = "store",
) -> Response:
    """Do for one notice all that the policy asks; doing it again changes nothing that is already right.

    Args:
        path: File of the stored notice.
        sha256: Hash of the notice's bytes.
        topic: Kafka topic that it came from.
        partition: Partition of the topic.
        offset: Offset in the partition.
        policy: Name of the policy: sevendt, grandma, tarot.
        thresholds: Name of a set of its thresholds; the policy's own where empty.
        telescopes: Telescopes to plan; the decision's own where there is none.
        options: How the event is planned.
        clock: Time at which to begin; now, where it is not given.
        plan_here: Plan in this run, instead of by the automation on ``gw.alert.accepted``.
        link_within_s: Most seconds between events of two missions that may be one thing in the sky.
        observatory: Name of the block with the observatory's places.
        registry: Name of the block with the registry's database; empty: a file beside the alerts.
        slack: Name of the block with the Slack workspace; empty: messages are written to a folder.
        store: Name of the block with the product store; empty: a folder beside the alerts.
    """
    log.info("%s: from %s, partition %s, offset %s", sha256[:8], topic, partition, offset)
    root = tasks_observatory.places(observatory).alert_root
    try:
        alert = triage.understand(path, topic, root)
    except UnusableData as error:
        letter = registration.bury(path, sha256, str(error), topic=topic, root=root, registry=registry)
        delivery.deliver(root=root, registry=registry, workspace=slack)
        return Response(sha256=sha256, rejected=str(error), dead_letter=letter)

    registered = registration.register(alert, root=root, registry=registry)
    decision = triage.decide(alert, policy, thresholds, registered, clock)
    linked = coincidences.link(alert, registered, root=root, registry=registry, within_s=link_within_s)
    announcements.announce(alert, decision, registered, root=root, source=path, registry=registry, store=store)
    if linked:
        announcements.refresh(linked, sha256, root=root, registry=registry, store=store)
    delivery.deliver(root=root, registry=registry, workspace=slack)

    swift_revisits.expect(alert, registered)
    plans: tuple[Plan, ...] = ()
    if decision.plan is PlanMode.AUTOMATIC and registered.counts:
        chosen = telescopes or decision.telescopes
        triage.accept(alert, registered, chosen, inline=plan_here)
        if plan_here:
            plans = plan(
                registered.slug,
                chosen,
                options=options,
                clock=clock,
                observatory=observatory,
                registry=registry,
                slack=slack,
                store=store,
            )

    picture = sky_pictures.draw_alert(alert, root)
    announcements.illustrate(alert, decision, registered, picture, root=root, registry=registry, store=store)
    page = event_page.publish_page(registered.slug, root=root, registry=registry, store=store)
    delivery.deliver(root=root, registry=registry, workspace=slack)
    delivery.upload(root=root, registry=registry, store=store)
    registration.answer(alert.sha256, root=root, registry=registry)
    return Response(sha256=sha256, alert=alert, decision=decision, registered=registered, plans=plans, page=page)
