"""One event: what chosen telescopes should observe for it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from prefect import flow

from tasks import observatory as tasks_observatory
from tasks.alerts import registration
from tasks.errors import SirenError
from tasks.follow import observed_tiles
from tasks.messages import delivery, event_page, plan_announcements
from tasks.options import PlanOptions
from tasks.planning import aims, claims, leases, tile_plans
from tasks.records import Plan


@flow(name="plan", flow_run_name="plan-{event_id}")
def plan(
    event_id: str,
    telescopes: tuple[str, ...] = (),
    *,
    options: PlanOptions = PlanOptions(),
    clock: datetime | None = None,
    asked_by: str = "",
    observatory: str = "observatory",
    registry: str = "registry",
    slack: str = "slack",
    store: str = "store",
    treasure_map: str = "treasuremap",
) -> tuple[Plan, ...]:
    """Plan telescopes for the newest notice of an event, write the tables and pictures, tell everybody.

    Two requests for the same plan make one; the second gets what the first made.

    Args:
        event_id: Name of the event's folder: ``S250910b``, ``Swift_1423875``.
        telescopes: Names of telescopes; those of the event's decision where there is none.
        options: How the event is planned.
        clock: Time at which the window begins; now, where it is not given.
        asked_by: Who asked for it.
        observatory: Name of the block with the observatory's places.
        registry: Name of the block with the registry's database; empty: a file beside the alerts.
        slack: Name of the block with the Slack workspace; empty: messages are written to a folder.
        store: Name of the block with the product store; empty: a folder beside the alerts.
        treasure_map: Name of the block with the Treasure Map's token, for plans whose options ask for it.
    """
    root = tasks_observatory.places(observatory).alert_root
    event = registration.newest(event_id, root=root, registry=registry)
    chosen = telescopes or event.telescopes
    done = observed_tiles.already(event, options, treasure_map)
    where: dict[str, Any] = {
        "parameters_sha256": tile_plans.fingerprint(chosen, options, done),
        "root": root,
        "registry": registry,
    }
    if not claims.claim_plan(event.alert, chosen, asked_by=asked_by, **where):
        return claims.known_plans(event_id, root=root, registry=registry)

    with leases.held(event.alert, chosen, **where):
        plan_announcements.announce_started_plan(
            event, chosen, engine=options.engine, asked_by=asked_by, store=store, **where
        )
        delivery.deliver(root=root, registry=registry, workspace=slack, patience_s=0.0)

        try:
            source = aims.source_of(event.located, root)
            made = tile_plans.make_plans(source, chosen, options, event_id, clock, done=done, priority=event.priority)
            files = tile_plans.write_plans(made, source, aims.folder_of(event.alert, root), done)
        except SirenError as error:
            plan_announcements.announce_failed_plan(
                event.alert, chosen, str(error), event.registered, audience=event.audience, store=store, **where
            )
            delivery.deliver(root=root, registry=registry, workspace=slack)
            raise

        plan_announcements.announce_plans(
            event.alert, made, event.registered, audience=event.audience, files=files, store=store, **where
        )

    event_page.publish_page(event_id, root=root, registry=registry, store=store)
    delivery.deliver(root=root, registry=registry, workspace=slack)
    delivery.upload(root=root, registry=registry, store=store)
    return made
