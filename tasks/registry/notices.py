"""Notices from their arrival to their dispatch: bytes, deliveries, dead letters."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.orm import Session

from tasks.records import PlanMode
from tasks.records.events import EventState, Standing, StoredNotice
from tasks.registry import columns, models, plans, row_updates

# an event that went without its plan for so long is for people to judge
PLANNED_WITHIN = timedelta(days=1)
# notices that nobody acts on, see Registered.counts
STALE = (Standing.LATE, Standing.DUPLICATE, Standing.RETRACTION)


def record_notices(session: Session, stored: Sequence[StoredNotice]) -> frozenset[str]:
    """Record that the bytes of notices are safe on disk, and how they came; return the hashes of those that are new.

    The key is the hash of the bytes, never the offset: a replay of the topic, or the same bytes on another topic, adds
    a delivery at most.
    """
    hashes = {each.sha256 for each in stored}
    known = row_updates.ids(session, models.Notice.sha256, hashes)
    arrivals = [
        {"sha256": each.sha256, "path": str(each.path), "received": each.received, "state": "received"}
        for each in stored
        if each.sha256 not in known
    ]
    row_updates.insert_missing(session, models.Notice, arrivals, key=("sha256",))
    numbers = row_updates.ids(session, models.Notice.sha256, hashes)
    deliveries = [
        {
            "topic": columns.text(each.topic),
            "partition": each.partition,
            "offset": each.offset,
            "received": each.received,
            "notice_id": numbers[each.sha256],
        }
        for each in stored
        if each.topic is not None and each.partition is not None and each.offset is not None
    ]
    row_updates.insert_missing(session, models.Delivery, deliveries, key=("topic", "partition", "offset"))
    return frozenset(hashes - known.keys())


def undispatched(session: Session, limit: int = 100) -> tuple[StoredNotice, ...]:
    """Return notices that no run has been made for, oldest first."""
    return _stored(session, models.Notice.state == "received", limit=limit)


def is_known(session: Session, sha256: str) -> bool:
    """Tell whether there is a row for these bytes."""
    return bool(session.scalars(sa.select(sa.exists().where(models.Notice.sha256 == sha256))).one())


def arrivals(session: Session, *, since: datetime) -> tuple[datetime, ...]:
    """Return when messages came since a time, and when the last one before it did, in their order."""
    received = models.Delivery.received
    before = session.scalars(sa.select(sa.func.max(received)).where(received < since)).one()
    later = session.scalars(sa.select(received).where(received >= since).order_by(received))
    return (*([before] if before else []), *later)


def unanswered(session: Session, *, before: datetime, limit: int = 100) -> tuple[StoredNotice, ...]:
    """Return notices whose run was made before a time and has come to nothing: the work of ``reconcile``.

    A notice is answered when its run came to its end, or its bytes are a dead letter; and where its decision asks for a
    plan, when somebody took up that plan.
    """
    notice = models.Notice
    open_ = notice.state.in_(("dispatched", "understood"))
    silent = sa.or_(notice.answered.is_(None), _lacks_plan(before))
    return _stored(session, open_, silent, notice.dispatched < before, limit=limit)


def mark_answered(session: Session, sha256: str, *, now: datetime) -> bool:
    """Note that all was done for a notice; return whether that is news."""
    notice = models.Notice
    return row_updates.compare_and_set(
        session, notice, notice.sha256 == sha256, notice.answered.is_(None), answered=now
    )


def mark_dispatched(session: Session, sha256: str, *, run: str, now: datetime) -> bool:
    """Note the run that was made for a notice; a notice that is further already stays there."""
    notice = models.Notice
    return row_updates.compare_and_set(
        session,
        notice,
        notice.sha256 == sha256,
        notice.state.in_(("received", "dispatched")),
        state="dispatched",
        dispatched=now,
        run=columns.text(run),
    )


def record_dead(session: Session, sha256: str, reason: str) -> bool:
    """Note that a notice cannot be understood, and why; return whether that is news."""
    notice = models.Notice
    return row_updates.compare_and_set(
        session,
        notice,
        notice.sha256 == sha256,
        notice.state.in_(("received", "dispatched")),
        state="dead",
        error=columns.text(reason),
    )


def _lacks_plan(before: datetime) -> sa.ColumnElement[bool]:
    """Tell an event's newest notice whose plan was wanted and never taken up, or whose planner died."""
    notice, event, decision, plan = models.Notice, models.Event, models.Decision, models.Plan
    acted_on = sa.exists().where(
        event.newest_sha256 == notice.sha256, event.state != EventState.RETRACTED, notice.standing.not_in(STALE)
    )
    # a decision is JSON text on every database
    wanted = sa.exists().where(
        decision.notice_id == notice.id, decision.decision.contains(f'"plan": "{PlanMode.AUTOMATIC.value}"')
    )
    taken_up = sa.exists().where(
        plan.notice_id == notice.id, sa.or_(plan.state != "running", plan.alive >= before - plans.LEASE)
    )
    recent = sa.and_(notice.answered < before, notice.answered >= before - PLANNED_WITHIN)
    return sa.and_(recent, acted_on, wanted, ~taken_up)


def _stored(session: Session, *where: sa.ColumnElement[bool], limit: int) -> tuple[StoredNotice, ...]:
    query = sa.select(models.Notice).where(*where).order_by(models.Notice.id).limit(limit)
    return tuple(_with_place(session, notice) for notice in session.scalars(query))


def _with_place(session: Session, notice: models.Notice) -> StoredNotice:
    query = sa.select(models.Delivery).filter_by(notice_id=notice.id).order_by(models.Delivery.id).limit(1)
    delivery = session.scalars(query).one_or_none()
    return StoredNotice(
        sha256=notice.sha256,
        path=Path(notice.path),
        received=notice.received,
        topic=delivery.topic if delivery else None,
        partition=delivery.partition if delivery else None,
        offset=delivery.offset if delivery else None,
    )
