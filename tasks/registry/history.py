"""All that is known of one event, as records."""

from __future__ import annotations

import dataclasses

import sqlalchemy as sa
from sqlalchemy.orm import Session, aliased

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
    event, linked = _event(session, slug)
    messages, presses = _messages(session, event)
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
        messages=messages,
        uploads=_uploads(session, event),
        linked=tuple(other.slug for other, _ in linked),
        evidence=tuple(why for _, why in linked),
        counterparts=tuple(
            Counterpart(mission=other.mission, time=other.t0) for other, _ in linked if other.t0 is not None
        ),
        actions=actions.entries(session, event, presses),
        muted=event.muted,
    )


def with_new_messages(session: Session, reading: EventHistory) -> EventHistory:
    """Return a history with the messages that were put into the outbox in this transaction."""
    query = sa.select(models.Message).join(models.Event, models.Event.id == models.Message.event_id)
    rows = session.scalars(query.where(models.Event.slug == reading.slug).order_by(models.Message.id))
    return dataclasses.replace(reading, messages=tuple(_message(row) for row in rows))


def events(session: Session, limit: int = 100) -> tuple[str, ...]:
    """Return the slugs of the events, newest first."""
    return tuple(session.scalars(sa.select(models.Event.slug).order_by(models.Event.id.desc()).limit(limit)))


def _event(session: Session, slug: str) -> tuple[models.Event, tuple[tuple[models.Event, str], ...]]:
    """Return an event and those that it is linked with, each with the evidence, in the order of their arrival."""
    event, link, other = models.Event, models.Link, aliased(models.Event)
    query = (
        sa.select(event, other, link.evidence)
        .outerjoin(link, sa.or_(link.first_id == event.id, link.second_id == event.id))
        .outerjoin(other, other.id == sa.case((link.first_id == event.id, link.second_id), else_=link.first_id))
        .where(event.slug == slug)
        .order_by(event.id, other.id)
    )
    rows = session.execute(query).all()
    if not rows:
        raise UnusableData(f"the registry has no event {slug!r}")
    first = rows[0][0]
    return first, tuple((other, why) for event, other, why in rows if event is first and other is not None)


def _notices(session: Session, event: models.Event) -> tuple[NoticeEntry, ...]:
    notice, decision, earlier = models.Notice, models.Decision, aliased(models.Decision)
    deliveries = sa.select(sa.func.count()).where(models.Delivery.notice_id == notice.id).scalar_subquery()
    latest = sa.select(sa.func.max(earlier.id)).where(earlier.notice_id == notice.id).scalar_subquery()
    query = (
        sa.select(notice.alert, notice.standing, notice.received, deliveries, decision.decision)
        .outerjoin(decision, decision.id == latest)
        .where(notice.event_id == event.id, notice.alert.is_not(None))
        .order_by(notice.id)
    )
    return tuple(
        NoticeEntry(
            alert=columns.load(Alert, alert or ""),
            standing=Standing(standing or Standing.FIRST),
            received=received,
            deliveries=count,
            decision=columns.load(Decision, document) if document else None,
        )
        for alert, standing, received, count, document in session.execute(query)
    )


def _plans(session: Session, event: models.Event) -> tuple[PlanEntry, ...]:
    query = (
        sa.select(models.Plan, models.Notice.sha256)
        .join(models.Notice, models.Notice.id == models.Plan.notice_id)
        .where(models.Plan.event_id == event.id)
        .order_by(models.Plan.id)
    )
    rows = session.execute(query).all()
    observed = _observed(session, event) if rows else {}
    return tuple(
        PlanEntry(
            notice_sha256=sha256,
            telescopes=tuple(row.telescopes.split(",")),
            state=PlanState(row.state),
            created=row.created,
            plans=columns.load(tuple[Plan, ...], row.plans),
            reason=row.reason,
            asked_by=row.asked_by or "",
            observed=observed.get(row.id, {}),
        )
        for row, sha256 in rows
    )


def _observed(session: Session, event: models.Event) -> dict[int, dict[str, tuple[str, ...]]]:
    """Return the names of the observed tiles of an event's plans, by the plan's number and by telescope."""
    tile, plan = models.Tile, models.Plan
    query = (
        sa.select(tile.plan_id, tile.telescope, tile.name)
        .join(plan, plan.id == tile.plan_id)
        .where(plan.event_id == event.id, tile.state == "observed")
        .order_by(tile.id)
    )
    names: dict[int, dict[str, tuple[str, ...]]] = {}
    for plan_id, telescope, name in session.execute(query):
        of_plan = names.setdefault(plan_id, {})
        of_plan[telescope] = (*of_plan.get(telescope, ()), name)
    return names


def _messages(session: Session, event: models.Event) -> tuple[tuple[MessageEntry, ...], tuple[models.Action, ...]]:
    """Return an event's messages, and the presses of their buttons, each in order."""
    message, action = models.Message, models.Action
    query = (
        sa.select(message, action)
        .outerjoin(action, action.message_id == message.id)
        .where(message.event_id == event.id)
        .order_by(message.id)
    )
    rows = session.execute(query).all()
    messages = dict.fromkeys(message for message, _ in rows)
    presses = sorted((action for _, action in rows if action is not None), key=lambda action: action.id)
    return tuple(_message(row) for row in messages), tuple(presses)


def _message(row: models.Message) -> MessageEntry:
    return MessageEntry(
        kind=row.kind,
        audience=Audience(row.audience),
        state=row.state,
        created=row.created,
        text=row.text,
        sent=row.sent,
        given_up=_given_up(row),
    )


def _given_up(row: models.Message | models.Upload) -> str:
    """Return why a row of the outbox was given up; nothing if it was not, or was dropped since."""
    return (row.error or "unknown reason") if row.state == "failed" and row.dropped is None else ""


def _uploads(session: Session, event: models.Event) -> tuple[UploadEntry, ...]:
    query = sa.select(models.Upload).filter_by(event_id=event.id).order_by(models.Upload.id)
    return tuple(
        UploadEntry(remote=row.remote, state=row.state, created=row.created, given_up=_given_up(row))
        for row in session.scalars(query)
    )
