"""Later looks at an event: a burst's XRT position and BAT page, a sky map that its notice gave by address."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.deployments import run_deployment
from prefect.events import emit_event

from tasks import resources
from tasks.alerts.engines import sky_map_looks, swift_looks
from tasks.options import RevisitOptions
from tasks.records import Alert, Home
from tasks.records.events import EventHistory, EventState, Registered, Standing
from tasks.registry import Registry
from tasks.registry.store import now

REVISIT = "revisit/prod"
HEARD = "grb.trigger.heard"


@task(cache_policy=NO_CACHE, task_run_name="schedule-first-look-{registered.slug}")
def schedule_first_look(alert: Alert, registered: Registered) -> bool:
    """Tell the automations of an event that is worth looking at again; return whether it is one."""
    first_of_swift = alert.notice.mission == swift_looks.MISSION and registered.standing is Standing.FIRST
    awaits_map = sky_map_looks.is_awaited(alert) and registered.counts
    worth = (first_of_swift or awaits_map) and not registered.test
    if worth:
        resource = {"prefect.resource.id": f"siren.event.{registered.slug}"}
        emit_event(event=HEARD, resource=resource, payload={"event_id": registered.slug})
    return worth


@task(cache_policy=NO_CACHE, task_run_name="look-{slug}")
def look(slug: str, options: RevisitOptions, home: Home, map_servers: str = "") -> datetime | None:
    """Say what is new of an event, and fetch its sky map; return when to look again, or None when that is done."""
    with resources.registry(home) as registry:
        known = registry.history(slug)
        if known.state is EventState.RETRACTED:
            return None
        moments = [sky_map_looks.look(known, options, map_servers, registry=registry, root=home.root, now=now())]
        if known.mission == swift_looks.MISSION:
            moments.append(_look_at_burst(known, options, registry))
    return min((moment for moment in moments if moment is not None), default=None)


@task(cache_policy=NO_CACHE, task_run_name="schedule-next-look-{slug}")
def schedule_next_look(slug: str, moment: datetime | None, parameters: dict[str, Any]) -> str:
    """Schedule the next run, once; return its id, or an empty text if there is no next look."""
    if moment is None:
        return ""
    run = run_deployment(
        REVISIT,
        parameters={"event_id": slug, **parameters},
        scheduled_time=moment,
        timeout=0,
        as_subflow=False,
        idempotency_key=f"revisit:{slug}:{moment.isoformat(timespec='seconds')}",
    )
    return str(getattr(run, "id", ""))


def _look_at_burst(known: EventHistory, options: RevisitOptions, registry: Registry) -> datetime | None:
    trigger = known.time or known.notices[0].received
    page = swift_looks.read_page(known, options)
    with registry.begin() as session:
        swift_looks.tell(session, known, page, options, trigger=trigger, now=now())
    return swift_looks.next_look(page, options, trigger=trigger, now=now())
