"""What should have happened and has not: notices without an outcome, nights that died, messages and files waiting."""

from __future__ import annotations

from typing import Annotated

from prefect import flow
from pydantic import Field

from tasks import observatory as tasks_observatory
from tasks.alerts import reconciling, registration
from tasks.messages import delivery, event_page, night_messages, quiet_digest
from tasks.nights import journal, stalled_runs
from tasks.planning import leases
from tasks.records import Reconciled


@flow(name="reconcile", flow_run_name="reconcile-{observatory}")
def reconcile(
    silence_s: float = 600.0,
    alarm: str = "",
    *,
    stall_h: float = 12.0,
    digest_h: Annotated[float, Field(ge=0, le=168)] = 24.0,
    observatory: str = "observatory",
    registry: str = "registry",
    slack: str = "slack",
    store: str = "store",
) -> Reconciled:
    """Resubmit notices that came to nothing, tell of nights that crashed or stalled and of quiet events, drain the outbox.

    Args:
        silence_s: Time after its dispatch from which a notice without an outcome is resubmitted, in s.
        alarm: What the operators shall be told besides; an automation's words.
        stall_h: Time from which a night that is still being reduced is told of, in h.
        digest_h: Interval of the digest of low-significance events, 0 to 168 h; 0 is no digest.
        observatory: Name of the block with the observatory's places.
        registry: Name of the block with the registry's database; empty: a file beside the alerts.
        slack: Name of the block with the Slack workspace; empty: messages are written to a folder.
        store: Name of the block with the product store; empty: a folder beside the alerts.
    """
    places = tasks_observatory.places(observatory)
    root = places.alert_root
    if alarm:
        delivery.say(reconciling.alarm(alarm), root=root, registry=registry)
    silent = registration.unanswered(silence_s, root=root, registry=registry)
    resubmitted = reconciling.resubmit(silent)
    for slug in leases.give_up(root=root, registry=registry):
        event_page.publish_page(slug, root=root, registry=registry, store=store)

    for trouble in stalled_runs.troubled_nights(stall_h):
        if trouble.what == "crashed":
            journal.crash(trouble, places.product_root)
        for message in night_messages.troubled(trouble):
            delivery.say(message, root=root, registry=registry)

    quiet_digest.digest(digest_h, root=root, registry=registry)

    messages = delivery.deliver(root=root, registry=registry, workspace=slack)
    uploads = delivery.upload(root=root, registry=registry, store=store)
    return reconciling.conclude(resubmitted, messages, uploads)
