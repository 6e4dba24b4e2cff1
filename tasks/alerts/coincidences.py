"""Events that may be one thing in the sky: found, recorded as a link, told in both threads."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks import resources
from tasks.io.messages import event_announcements
from tasks.io.skymaps import sky_map_files
from tasks.records import Alert, Home, Notice
from tasks.records.events import EventHistory, Registered
from tasks.registry import Session, events, history, outbox
from tasks.registry.store import now
from tasks.science.alerts import best_position, coincidences
from tasks.science.skymaps import credible_regions as maps

log = logging.getLogger(__name__)

FOLLOW_UP = "follow-up"
SAME = "same"


@task(cache_policy=NO_CACHE, task_run_name="link-{registered.slug}")
def link(alert: Alert, registered: Registered, home: Home, *, within_s: float = 60.0) -> tuple[str, ...]:
    """Link an event with those that may be the same thing in the sky; return the names of their folders.

    Linked events stay apart: each says of the other why. A link that is known is not told again. The top messages of the
    others are rewritten by ``publishing.refresh``.
    """
    if alert.notice.retraction:
        return ()
    with resources.registry(home) as registry, registry.begin() as session:
        mine = history.of_event(session, registered.slug)
        near = events.neighbours(session, registered.slug, follows=alert.notice.follow_up_event, within_s=within_s)
        told = [history.of_event(session, slug) for slug in near]
        found = {other.slug: why for other in told if (why := _evidence(mine, other, within_s))}
        for slug, why in found.items():
            kind = FOLLOW_UP if why.startswith("follows") else SAME
            if events.link_slugs(session, mine.slug, slug, kind=kind, evidence=why, now=now()):
                log.info("%s and %s are linked: %s", mine.slug, slug, why)
                _tell(session, mine.slug, slug, why)
                _tell(session, slug, mine.slug, why)
        return tuple(found)


def _evidence(mine: EventHistory, other: EventHistory, within_s: float) -> str:
    one, two = _known(mine), _known(other)
    for follower, followed in ((one, other), (two, mine)):
        if follower.follow_up_event == followed.name and follower.test is followed.test:
            return f"follows {followed.name}"
    return coincidences.evidence(one, two, within_s=within_s, credible_level=_level(mine, other, one, two))


def _level(mine: EventHistory, other: EventHistory, one: Notice, two: Notice) -> float | None:
    """Return the credible level of one's position on the other's sky map, where there are both."""
    for holder, notice in ((mine, two), (other, one)):
        best = _newest_map(holder)
        if best is not None and coincidences.has_place(notice):
            return float(
                maps.credible_level(sky_map_files.read(best), notice.ra_deg or 0.0, notice.dec_deg or 0.0).item()
            )
    return None


def _newest_map(known: EventHistory) -> Path | None:
    paths = [entry.alert.best_map.path for entry in known.notices if entry.alert.best_map]
    return next((path for path in reversed(paths) if path is not None and path.is_file()), None)


def _known(known: EventHistory) -> Notice:
    """Return an event's facts with its best position in them."""
    burst = best_position.burst([entry.alert for entry in known.notices])
    place = burst.position
    facts = replace(burst.facts, time=known.time)
    if place is None:
        return facts
    return replace(
        facts,
        ra_deg=place.ra_deg,
        dec_deg=place.dec_deg,
        error_deg=place.error_deg,
        containment=place.containment,
        instrument=place.instrument,
    )


def _tell(session: Session, slug: str, other: str, why: str) -> None:
    """Tell an event's thread of a link; an event without a thread shows it when it is announced."""
    known = history.of_event(session, slug)
    tops = [entry.audience for entry in known.messages if entry.kind == event_announcements.TOP]
    if not tops:
        return
    outbox.enqueue_message(session, event_announcements.of_link(slug, other, why, audience=tops[-1]), now=now())
