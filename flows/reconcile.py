"""What should have happened and has not: notices without an outcome, messages and files still waiting."""

from __future__ import annotations

from prefect import flow

from tasks import observing, publishing, reconciling
from tasks.records import Reconciled


@flow(name="reconcile", flow_run_name="reconcile-{observatory}")
def reconcile(
    silence_s: float = 600.0,
    *,
    observatory: str = "observatory",
    registry: str = "registry",
    slack: str = "slack",
    store: str = "store",
) -> Reconciled:
    """Resubmit notices that came to nothing, and drain the outbox.

    Args:
        silence_s: Time after its dispatch from which a notice without an outcome is resubmitted, in s.
        observatory: Name of the block with the observatory's places.
        registry: Name of the block with the registry's database; empty: a file beside the alerts.
        slack: Name of the block with the Slack workspace; empty: messages are written to a folder.
        store: Name of the block with the product store; empty: a folder beside the alerts.
    """
    root = observing.places(observatory).alert_root
    silent = publishing.unanswered(silence_s, root=root, registry=registry)
    resubmitted = reconciling.resubmit(silent)

    messages = publishing.deliver(root=root, registry=registry, workspace=slack)
    uploads = publishing.upload(root=root, registry=registry, store=store)
    return reconciling.conclude(resubmitted, messages, uploads)
