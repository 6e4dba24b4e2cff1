"""One burst of Swift, some time later: has XRT come, what does the BAT team's page say."""

from __future__ import annotations

from datetime import datetime

from prefect import flow
from pydantic_core import to_jsonable_python

from tasks import observatory as tasks_observatory
from tasks.alerts import swift_revisits
from tasks.messages import delivery
from tasks.options import RevisitOptions

USUAL = RevisitOptions()


@flow(name="revisit", flow_run_name="revisit-{event_id}")
def revisit(
    event_id: str,
    *,
    options: RevisitOptions = USUAL,
    observatory: str = "observatory",
    registry: str = "registry",
    slack: str = "slack",
    store: str = "store",
) -> datetime | None:
    """Say what is new of a burst, and make the next run for the time of the next look; return that time.

    A look that fails is no failure: the next one comes at its time, also when this machine was down meanwhile.

    Args:
        event_id: Name of the event's folder: Swift_1423875.
        options: What is looked for, and when.
        observatory: Name of the block with the observatory's places.
        registry: Name of the block with the registry's database; empty: a file beside the alerts.
        slack: Name of the block with the Slack workspace; empty: messages are written to a folder.
        store: Name of the block with the product store; empty: a folder beside the alerts.
    """
    root = tasks_observatory.places(observatory).alert_root
    moment = swift_revisits.look(event_id, options, root=root, registry=registry)

    again = {
        "options": to_jsonable_python(options),
        "observatory": observatory,
        "registry": registry,
        "slack": slack,
        "store": store,
    }
    swift_revisits.come_again(event_id, moment, again)

    delivery.deliver(root=root, registry=registry, workspace=slack)
    return moment
