"""Events that may be one thing in the sky: found, and recorded as a link, within the caller's transaction."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path

from tasks.io.messages import coincidence_text, event_announcements
from tasks.io.skymaps import recent_maps
from tasks.records import Alert, Notice
from tasks.records.events import EventHistory
from tasks.records.outbox import Outgoing
from tasks.registry import Session, events, history
from tasks.registry.store import now
from tasks.science.alerts import best_position, coincidences
from tasks.science.skymaps import credible_regions as maps

log = logging.getLogger(__name__)

FOLLOW_UP = "follow-up"
SAME = "same"


@dataclass(frozen=True, kw_only=True)
class Links:
    """What an event is linked with, as it is now, whether a link is new, and the messages that tell of new ones."""

    others: tuple[EventHistory, ...] = ()
    new: bool = False
    messages: tuple[Outgoing, ...] = ()


def link(session: Session, alert: Alert, event: EventHistory, *, within_s: float) -> Links:
    """Link an event with those that may be the same thing in the sky.

    Linked events stay apart: each says of the other why. A link that is known is not told again.
    """
    if alert.notice.retraction:
        return Links()
    near = events.neighbours(session, event, follows=alert.notice.follow_up_event, within_s=within_s)
    histories = [history.of_event(session, slug) for slug in near]
    reasons = [(other, why) for other in histories if (why := _evidence(event, other, within_s))]
    new = [(other, why) for other, why in reasons if _record(session, event, other, why)]
    messages = [
        message for other, why in new for message in (*_told(event, other.slug, why), *_told(other, event.slug, why))
    ]
    others = [history.of_event(session, other.slug) if new else other for other, _ in reasons]
    return Links(others=tuple(others), new=bool(new), messages=tuple(messages))


def _record(session: Session, event: EventHistory, other: EventHistory, why: str) -> bool:
    """Record a link; return whether it is new."""
    kind = FOLLOW_UP if why.startswith("follows") else SAME
    new = events.link_slugs(session, event.slug, other.slug, kind=kind, evidence=why, now=now())
    if new:
        log.info("%s and %s are linked: %s", event.slug, other.slug, why)
    return new


def _evidence(event: EventHistory, other: EventHistory, within_s: float) -> str:
    one, two = _facts(event), _facts(other)
    for follower, followed in ((one, other), (two, event)):
        if follower.follow_up_event == followed.name and follower.test is followed.test:
            return f"follows {followed.name}{coincidence_text.search(follower)}"
    return coincidences.evidence(one, two, within_s=within_s, credible_level=_level(event, other, one, two))


def _level(event: EventHistory, other: EventHistory, one: Notice, two: Notice) -> float | None:
    """Return the credible level of one's position on the other's sky map, where there are both."""
    for holder, notice in ((event, two), (other, one)):
        best = _newest_map(holder)
        if best is not None and coincidences.has_place(notice):
            return float(
                maps.credible_level(recent_maps.read(best), notice.ra_deg or 0.0, notice.dec_deg or 0.0).item()
            )
    return None


def _newest_map(event: EventHistory) -> Path | None:
    paths = [entry.alert.best_map.path for entry in event.notices if entry.alert.best_map]
    return next((path for path in reversed(paths) if path is not None and path.is_file()), None)


def _facts(event: EventHistory) -> Notice:
    """Return an event's facts with its best position in them."""
    burst = best_position.burst([entry.alert for entry in event.notices])
    place = burst.position
    facts = replace(burst.facts, time=event.time)
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


def _told(event: EventHistory, other: str, why: str) -> tuple[Outgoing, ...]:
    """Tell an event's thread of a link; an event without a thread shows it when it is announced."""
    tops = [entry.audience for entry in event.messages if entry.kind == event_announcements.TOP]
    return (event_announcements.of_link(event.slug, other, why, audience=tops[-1]),) if tops else ()
