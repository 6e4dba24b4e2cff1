"""A burst of Swift some time later: has XRT come, what does the BAT team's page say, when to look again."""

from __future__ import annotations

import hashlib
import logging
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.deployments import run_deployment
from prefect.events import emit_event

from tasks import resources
from tasks.errors import SirenError
from tasks.io.messages import event_announcements, number_words
from tasks.io.services import bat_page
from tasks.options import RevisitOptions
from tasks.records import Alert, Home
from tasks.records.bursts import BatPage
from tasks.records.events import EventHistory, EventState, Registered, Standing
from tasks.registry import Session, outbox
from tasks.registry.store import now
from tasks.science.alerts import revisit_times

log = logging.getLogger(__name__)

REVISIT = "revisit/prod"
HEARD = "grb.trigger.heard"
MISSION = "Swift"


@task(cache_policy=NO_CACHE, task_run_name="schedule-first-look-{registered.slug}")
def schedule_first_look(alert: Alert, registered: Registered) -> bool:
    """Tell the automations of a new burst that is worth looking at again; return whether it is one."""
    worth = alert.notice.mission == MISSION and registered.standing is Standing.FIRST and not registered.test
    if worth:
        resource = {"prefect.resource.id": f"siren.event.{registered.slug}"}
        emit_event(event=HEARD, resource=resource, payload={"event_id": registered.slug})
    return worth


@task(cache_policy=NO_CACHE, task_run_name="look-{slug}")
def look(slug: str, options: RevisitOptions, home: Home) -> datetime | None:
    """Say what is new of a burst; return when to look again, or None when that is done."""
    with resources.registry(home) as registry:
        known = registry.history(slug)
        trigger = known.time or known.notices[0].received
        if known.state is EventState.RETRACTED or known.mission != MISSION:
            return None
        page = _page(known, options)
        with registry.begin() as session:
            _tell_page(session, known, page, options)
            _tell_xrt(session, known, options, trigger)
    return _next(trigger, options, page)


@task(cache_policy=NO_CACHE, task_run_name="schedule-next-look-{slug}")
def schedule_next_look(slug: str, moment: datetime | None, parameters: dict[str, Any]) -> str:
    """Make the next run for its moment, once; return its id, or nothing where there is no next one."""
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


def address(known: EventHistory, options: RevisitOptions) -> str:
    """Return the address of an event's BAT page."""
    return options.bat_url.replace("{id}", quote(known.name, safe=""))


def _page(known: EventHistory, options: RevisitOptions) -> BatPage | None:
    """Read the page; None where it is not wanted, not there, or cannot be had now: the next visit tries again."""
    if not options.bat_page:
        return None
    try:
        content = bat_page.fetch(address(known, options))
        return None if content is None else bat_page.parse(content)
    except SirenError as error:
        log.warning("%s: %s", known.slug, error)
        return None


def _tell_page(session: Session, known: EventHistory, page: BatPage | None, options: RevisitOptions) -> None:
    audience = _audience(known)
    if page is None or audience is None:
        return
    url = address(known, options)
    if page.empty:
        outbox.enqueue_message(session, event_announcements.of_strange_page(known.slug, url), now=now())
        return
    words = bat_page.message(number_words.name(known.newest.alert.notice), page, url)
    first = all(entry.kind != "bat-page" for entry in known.messages)
    key = hashlib.sha256(repr(page).encode()).hexdigest()
    message = event_announcements.of_bat_page(known.slug, words, first=first, audience=audience, key=key)
    outbox.enqueue_message(session, message, now=now())


def _tell_xrt(session: Session, known: EventHistory, options: RevisitOptions, trigger: datetime) -> None:
    told = [entry.alert.notice for entry in known.notices]
    audience = _audience(known)
    if audience is None or not revisit_times.misses_xrt(told, options, trigger=trigger, now=now()):
        return
    waited = number_words.duration(timedelta(minutes=options.xrt_minutes).total_seconds())
    name = number_words.name(known.newest.alert.notice)
    message = event_announcements.of_missing_xrt(known.slug, name, waited, audience=audience)
    outbox.enqueue_message(session, message, now=now())


def _next(trigger: datetime, options: RevisitOptions, page: BatPage | None) -> datetime | None:
    finished = page is not None and page.complete
    left = RevisitOptions(xrt_minutes=options.xrt_minutes) if finished else options
    return revisit_times.following(trigger, left, now())


def _audience(known: EventHistory) -> Any:
    """Return where the event has its thread, or None."""
    return next((entry.audience for entry in reversed(known.messages) if entry.kind == event_announcements.TOP), None)
