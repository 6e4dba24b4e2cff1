"""Reconcile: notices without an outcome, crashed nights, waiting messages and files."""

from __future__ import annotations

from typing import Annotated

from prefect import flow
from pydantic import Field

from flows.deprecated import block_keywords
from tasks import observatory
from tasks.alerts import reconciling, registration
from tasks.messages import delivery, event_page, night_messages, quiet_digest
from tasks.nights import journal, stalled_runs
from tasks.planning import leases
from tasks.records import Blocks, Reconciled


@flow(name="reconcile", flow_run_name="reconcile-{blocks.observatory}")
@block_keywords("observatory", "registry", "slack", "store")
def reconcile(
    silence_s: float = 600.0,
    alarm: str = "",
    *,
    stall_h: float = 12.0,
    digest_h: Annotated[float, Field(ge=0, le=168)] = 24.0,
    blocks: Blocks = Blocks(),
) -> Reconciled:
    """Resubmit notices without an outcome, report nights that crashed or stalled, send digest and outbox.

    Args:
        silence_s: Time after its dispatch from which a notice without an outcome is resubmitted, in s.
        alarm: Additional message for the operators, from an automation.
        stall_h: Time from which a night that is still being reduced is reported, in h.
        digest_h: Interval of the digest of low-significance events, 0 to 168 h; 0 means no digest.
        blocks: Names of the blocks with places, registry, Slack and store.
    """
    places = observatory.places(blocks)
    home = observatory.home(blocks)
    if alarm:
        delivery.enqueue_message(reconciling.alarm(alarm), home)
    resubmitted = reconciling.resubmit(registration.unanswered(silence_s, home))
    for slug in leases.fail_abandoned_plans(home):
        event_page.publish_page(slug, home)

    for trouble in stalled_runs.troubled_nights(stall_h):
        journal.crash(trouble, places.product_root)
        for message in night_messages.troubled(trouble):
            delivery.enqueue_message(message, home)

    quiet_digest.digest(digest_h, home)

    messages = delivery.deliver(home)
    uploads = delivery.upload(home)
    event_page.show_losses((messages, uploads), home)
    return reconciling.conclude(resubmitted, messages, uploads)
