"""News of a Swift burst some time later: has XRT come, and what does the BAT team's page say."""

from __future__ import annotations

import hashlib
import logging
from datetime import datetime, timedelta
from urllib.parse import quote

from tasks.errors import SirenError
from tasks.io.messages import event_announcements, number_words
from tasks.io.services import bat_page
from tasks.options import RevisitOptions
from tasks.records import Audience
from tasks.records.bursts import BatPage
from tasks.records.events import EventHistory
from tasks.registry import Session, outbox
from tasks.science.alerts import revisit_times

log = logging.getLogger(__name__)

MISSION = "Swift"


def address(known: EventHistory, options: RevisitOptions) -> str:
    """Return the address of an event's BAT page."""
    return options.bat_url.replace("{id}", quote(known.name, safe=""))


def read_page(known: EventHistory, options: RevisitOptions) -> BatPage | None:
    """Read the page; None where it is not wanted, not there, or cannot be had now: the next look tries again."""
    if not options.bat_page:
        return None
    try:
        content = bat_page.fetch(address(known, options))
        return None if content is None else bat_page.parse(content)
    except SirenError as error:
        log.warning("%s: %s", known.slug, error)
        return None


def tell(
    session: Session,
    known: EventHistory,
    page: BatPage | None,
    options: RevisitOptions,
    *,
    trigger: datetime,
    now: datetime,
) -> None:
    """Put into the outbox what the page says, and that XRT has not come."""
    audience = _audience(known)
    if audience is None:
        return
    if page is not None:
        _tell_page(session, known, page, options, audience, now=now)
    _tell_xrt(session, known, options, audience, trigger=trigger, now=now)


def next_look(page: BatPage | None, options: RevisitOptions, *, trigger: datetime, now: datetime) -> datetime | None:
    """Return when to look again; a page that is complete is not read again."""
    finished = page is not None and page.complete
    left = RevisitOptions(xrt_minutes=options.xrt_minutes) if finished else options
    return revisit_times.following(revisit_times.moments(trigger, left), now)


def _tell_page(
    session: Session, known: EventHistory, page: BatPage, options: RevisitOptions, audience: Audience, *, now: datetime
) -> None:
    url = address(known, options)
    if page.empty:
        outbox.enqueue_message(session, event_announcements.of_strange_page(known.slug, url), now=now)
        return
    words = bat_page.message(number_words.name(known.newest.alert.notice), page, url)
    first = all(entry.kind != "bat-page" for entry in known.messages)
    key = hashlib.sha256(repr(page).encode()).hexdigest()
    message = event_announcements.of_bat_page(known.slug, words, first=first, audience=audience, key=key)
    outbox.enqueue_message(session, message, now=now)


def _tell_xrt(
    session: Session,
    known: EventHistory,
    options: RevisitOptions,
    audience: Audience,
    *,
    trigger: datetime,
    now: datetime,
) -> None:
    told = [entry.alert.notice for entry in known.notices]
    if not revisit_times.misses_xrt(told, options, trigger=trigger, now=now):
        return
    waited = number_words.duration(timedelta(minutes=options.xrt_minutes).total_seconds())
    name = number_words.name(known.newest.alert.notice)
    message = event_announcements.of_missing_xrt(known.slug, name, waited, audience=audience)
    outbox.enqueue_message(session, message, now=now)


def _audience(known: EventHistory) -> Audience | None:
    """Return where the event has its thread, or None."""
    return next((entry.audience for entry in reversed(known.messages) if entry.kind == event_announcements.TOP), None)
