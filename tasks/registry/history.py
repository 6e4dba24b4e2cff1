"""All that is known of one event, as records."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from tasks.errors import UnusableData
from tasks.records import Alert, Audience, Decision, Kind, Plan
from tasks.records.events import (
    Counterpart,
    EventHistory,
    EventState,
    MessageEntry,
    NoticeEntry,
    PlanEntry,
    PlanState,
    Standing,
    UploadEntry,
)
from tasks.registry import actions, columns, models


def of_event(session: Session, slug: str) -> EventHistory:
    """Return an event's history; raise ``UnusableData`` when there is no such event."""
    event = session.scalars(sa.select(models.Event).filter_by(slug=slug).limit(1)).one_or_none()
    if event is None:
        raise UnusableData(f"the registry has no event {slug!r}")
    linked = _linked(session, event)
    return EventHistory(
        slug=event.slug,
        kind=Kind(event.kind),
        mission=event.mission,
        name=event.name,
        state=EventState(event.state),
        test=event.test,
        time=event.t0,
        notices=_notices(session, event),
        newest_sha256=event.newest_sha256,
        plans=_plans(session, event),
        messages=_messages(session, event),
        uploads=_uploads(session, event),
        linked=tuple(slug for slug, _, _ in linked),
        counterparts=tuple(Counterpart(mission=mission, time=time) for _, mission, time in linked if time is not None),
        actions=actions.entries(session, event),
        muted=event.muted,
    )


def events(session: Session, limit: int = 100) -> tuple[str, ...]:
    """Return the slugs of the events, newest first."""
    return tuple(session.scalars(sa.select(models.Event.slug).order_by(models.Event.id.desc()).limit(limit)))


def _notices(session: Session, event: models.Event) -> tuple[NoticeEntry, ...]:
    notice = models.Notice
    query = sa.select(notice).where(notice.event_id == event.id, notice.alert.is_not(None)).order_by(notice.id)
    return tuple(_notice(session, row) for row in session.scalars(query))


def _notice(session: Session, row: models.Notice) -> NoticeEntry:
    deliveries = sa.select(sa.func.count()).select_from(models.Delivery).filter_by(notice_id=row.id)
    decision = (
        sa.select(models.Decision.decision).filter_by(notice_id=row.id).order_by(models.Decision.id.desc()).limit(1)
    )
    document = session.scalars(decision).one_or_none()
    return NoticeEntry(
        alert=columns.load(Alert, row.alert or ""),
        standing=Standing(row.standing or Standing.FIRST),
        received=row.received,
        deliveries=session.scalars(deliveries).one(),
        decision=columns.load(Decision, document) if document else None,
    )


def _plans(session: Session, event: models.Event) -> tuple[PlanEntry, ...]:
    query = (
        sa.select(models.Plan, models.Notice.sha256)
        .join(models.Notice, models.Notice.id == models.Plan.notice_id)
        .where(models.Plan.event_id == event.id)
        .order_by(models.Plan.id)
    )
    return tuple(
        PlanEntry(
            notice_sha256=sha256,
            telescopes=tuple(row.telescopes.split(",")),
            state=PlanState(row.state),
            created=row.created,
            plans=columns.load(tuple[Plan, ...], row.plans),
            reason=row.reason,
            asked_by=row.asked_by or "",
            observed=_observed(session, row),
        )
        for row, sha256 in session.execute(query)
    )


def _observed(session: Session, plan: models.Plan) -> dict[str, tuple[str, ...]]:
    tile = models.Tile
    query = sa.select(tile.telescope, tile.name).where(tile.plan_id == plan.id, tile.state == "observed")
    found: dict[str, tuple[str, ...]] = {}
    for telescope, name in session.execute(query.order_by(tile.id)):
        found[telescope] = (*found.get(telescope, ()), name)
    return found


def _messages(session: Session, event: models.Event) -> tuple[MessageEntry, ...]:
    query = sa.select(models.Message).filter_by(event_id=event.id).order_by(models.Message.id)
    return tuple(
        MessageEntry(
            kind=row.kind,
            audience=Audience(row.audience),
            state=row.state,
            created=row.created,
            text=row.text,
            sent=row.sent,
        )
        for row in session.scalars(query)
    )


def _uploads(session: Session, event: models.Event) -> tuple[UploadEntry, ...]:
    query = sa.select(models.Upload).filter_by(event_id=event.id).order_by(models.Upload.id)
    return tuple(UploadEntry(remote=row.remote, state=row.state, created=row.created) for row in session.scalars(query))


def _linked(session: Session, event: models.Event) -> list[tuple[str, str, datetime | None]]:
    """Return the linked events: slug, mission, T0."""
    link = models.Link
    other = sa.case((link.first_id == event.id, link.second_id), else_=link.first_id)
    query = (
        sa.select(models.Event.slug, models.Event.mission, models.Event.t0)
        .join(link, models.Event.id == other)
        .where(sa.or_(link.first_id == event.id, link.second_id == event.id))
        .order_by(models.Event.id)
    )
    return [(slug, mission, time) for slug, mission, time in session.execute(query)]
