"""Revisit: look again at an event, for a Swift burst's XRT position and BAT page, or a sky map given by address."""

from __future__ import annotations

from datetime import datetime

from prefect import flow
from pydantic_core import to_jsonable_python

from flows.deprecated import block_keywords
from tasks import observatory
from tasks.alerts import revisits
from tasks.messages import delivery
from tasks.options import RevisitOptions
from tasks.records import Blocks


@flow(name="revisit", flow_run_name="revisit-{event_id}")
@block_keywords("observatory", "registry", "slack", "store")
def revisit(event_id: str, *, options: RevisitOptions = RevisitOptions(), blocks: Blocks = Blocks()) -> datetime | None:
    """Announce news of an event, fetch its sky map, and schedule the run of the next look; return its time.

    If a look fails, the run still succeeds and schedules the next look.

    Args:
        event_id: Name of the event's folder: Swift_1423875.
        options: Kinds and times of the looks.
        blocks: Names of the blocks with places, registry, Slack and store.
    """
    home = observatory.home(blocks)
    moment = revisits.look(event_id, options, home, observatory.map_servers(blocks))

    parameters = {"options": to_jsonable_python(options), "blocks": to_jsonable_python(blocks)}
    revisits.schedule_next_look(event_id, moment, parameters)

    delivery.deliver(home)
    return moment
