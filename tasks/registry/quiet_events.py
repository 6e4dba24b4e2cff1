"""Events that nobody was woken for, and the digests that told of them."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from tasks.records import Audience
from tasks.records.events import EventHistory
from tasks.records.outbox import DIGEST
from tasks.registry import history, models

QUIET = frozenset({Audience.LOW_SIGNIFICANCE, Audience.NOBODY})


def last_digest(session: Session) -> datetime | None:
    """Return the end of the time that the last digest tells of; None before the first."""
    key = session.scalars(sa.select(sa.func.max(models.Message.content_key)).filter_by(subject=DIGEST)).one()
    return None if key is None else datetime.fromisoformat(key)


def events(session: Session, *, since: datetime, until: datetime) -> tuple[EventHistory, ...]:
    """Return the events of which something came from ``since`` to before ``until`` and whose facts are for no big channel.

    Tests are none of them, nor is an event that has become significant meanwhile.
    """
    event, notice = models.Event, models.Notice
    came = sa.exists().where(notice.event_id == event.id, notice.announced >= since, notice.announced < until)
    slugs = session.scalars(sa.select(event.slug).where(event.test.is_(False), came).order_by(event.id)).all()
    known = (history.of_event(session, slug) for slug in slugs)
    return tuple(each for each in known if each.shown.decision is not None and each.shown.decision.audience in QUIET)
