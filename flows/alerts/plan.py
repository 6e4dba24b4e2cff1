"""Plan: the tiles that telescopes should observe for one event."""

from __future__ import annotations

from datetime import datetime

from prefect import flow

from flows.deprecated import block_keywords
from tasks import observatory
from tasks.alerts import registration
from tasks.errors import SirenError
from tasks.follow import observed_tiles
from tasks.messages import delivery, event_page, plan_announcements
from tasks.options import PlanOptions
from tasks.planning import aims, claims, leases, tile_plans
from tasks.records import Blocks, Plan


@flow(name="plan", flow_run_name="plan-{event_id}")
@block_keywords("observatory", "registry", "slack", "store", "treasure_map")
def plan(
    event_id: str,
    telescopes: tuple[str, ...] = (),
    *,
    options: PlanOptions = PlanOptions(),
    clock: datetime | None = None,
    asked_by: str = "",
    automatic: bool = False,
    blocks: Blocks = Blocks(),
) -> tuple[Plan, ...]:
    """Plan telescopes for the newest notice of an event, write tables and pictures, and announce the plan.

    A second request for the same plan gets the plan of the first.

    Args:
        event_id: Name of the event's folder: ``S250910b``, ``Swift_1423875``.
        telescopes: Names of telescopes; none means those of the event's decision.
        options: How the event is planned.
        clock: Time at which the window begins; now, if it is not given.
        asked_by: Person who requested the plan.
        automatic: Whether a decision asked for the plan; it is not made if a newer notice no longer does.
        blocks: Names of the blocks with places, registry, Slack, store and the Treasure Map's token.
    """
    home = observatory.home(blocks)
    event = registration.load_event(event_id, home)
    chosen = telescopes or event.telescopes
    done = observed_tiles.already(event, options, blocks.treasure_map)
    request = tile_plans.request_for(event.alert, chosen, options, done)
    decision = event.decision if automatic else None
    if not claims.claim_plan(event.alert, request, home, asked_by=asked_by, decision=decision):
        return claims.known_plans(event_id, home)

    with leases.renewing_lease(request, home):
        plan_announcements.announce_started_plan(event, request, home, engine=options.engine, asked_by=asked_by)
        delivery.deliver(home, patience_s=0.0)

        try:
            source = aims.source_of(event.located, home.root)
            plans = tile_plans.make_plans(source, chosen, options, event_id, clock, done=done, priority=event.priority)
            files = tile_plans.write_plans(plans, source, aims.folder_of(event.alert, home.root), done)
        except SirenError as error:
            plan_announcements.announce_failed_plan(event, request, str(error), home)
            delivery.deliver(home)
            raise

        plan_announcements.announce_plans(event, request, plans, home, files=files)

    event_page.publish_page(event_id, home)
    messages = delivery.deliver(home)
    uploads = delivery.upload(home)
    event_page.show_losses((messages, uploads), home)
    return plans
