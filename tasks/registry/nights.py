"""Nights and how far their frames came."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from tasks.registry import columns, models, row_updates

# a night that failed may be run again; one that is done may be settled again when late frames come
FOLLOWS = {
    "settled": ("done", "failed"),
    "running": ("settled", "running", "failed"),
    "done": ("running",),
    "failed": ("settled", "running"),
}


def record_night(session: Session, night: date, *, now: datetime) -> bool:
    """Record that a night's folder has settled; return whether that is news."""
    values = {"state": "settled", "changed": now, "summary": "{}"}
    return row_updates.insert_once(session, models.Night, key={"night": night.isoformat()}, values=values)[1]


def set_night(session: Session, night: date, state: str, *, now: datetime, page: str | None = None) -> bool:
    """Move a night to ``state`` where the order of states allows it; return whether it moved."""
    model = models.Night
    allowed = model.state.in_(FOLLOWS[state])
    return row_updates.compare_and_set(
        session, model, model.night == night.isoformat(), allowed, state=state, changed=now, page=page
    )


def night_state(session: Session, night: date) -> str | None:
    """Return how far a night is, or None when it is unknown."""
    return session.scalars(sa.select(models.Night.state).filter_by(night=night.isoformat())).one_or_none()


def record_frame(session: Session, night: date, *, unit: str, name: str, stage: str, reason: str = "") -> None:
    """Note how far a frame came; ``reason`` says why not further, or is empty."""
    row = session.scalars(sa.select(models.Night).filter_by(night=night.isoformat())).one()
    key = {"night_id": row.id, "unit": columns.text(unit), "name": columns.text(name)}
    values = {"stage": stage, "reason": columns.text(reason)}
    frame, made = row_updates.insert_once(session, models.FrameState, key=key, values=values)
    if not made:
        frame.stage, frame.reason = stage, columns.text(reason)


def rejected(session: Session, night: date) -> Iterable[tuple[str, str, str, str]]:
    """Return unit, name, stage and reason of a night's frames that were left out."""
    frame = models.FrameState
    query = (
        sa.select(frame.unit, frame.name, frame.stage, frame.reason)
        .join(models.Night, models.Night.id == frame.night_id)
        .where(models.Night.night == night.isoformat(), frame.reason != "")
        .order_by(frame.unit, frame.name)
    )
    return [(unit, name, stage, reason) for unit, name, stage, reason in session.execute(query)]
