"""Presses of buttons: each on record once, with who, when and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from tasks.records import Audience
from tasks.records.buttons import ActionEntry, Button, Press, Pressed
from tasks.records.events import EventState, PlanState
from tasks.records.plans import joined
from tasks.registry import columns, models, plans, row_updates

DONE, ASKED = "done", "asked"
# a run that has not begun after this was lost
ASK_LIFE = timedelta(minutes=10)
BUSY_WORDS = {
    PlanState.RUNNING: "is being planned already",
    PlanState.DONE: "is planned already",
    PlanState.EMPTY: "was planned already: nothing is observable",
}


def record(session: Session, press: Press, *, now: datetime) -> Pressed | None:
    """Put a press on record and lock its event until the transaction ends; None when it is on record already."""
    message = session.scalars(sa.select(models.Message).filter_by(channel=press.channel, ts=press.ts)).one_or_none()
    values = {
        "user": columns.text(f"{press.user} {press.user_name}".strip()),
        "button": press.button,
        "message_id": message.id if message else None,
        "created": now,
        "outcome": "received",
    }
    row, made = row_updates.insert_once(
        session, models.Action, key={"trigger": columns.identity(press.trigger)}, values=values
    )
    if not made:
        return None
    if message is None or message.event_id is None:
        return Pressed(id=row.id)
    return Pressed(id=row.id, slug=_lock(session, message.event_id).slug, audience=Audience(message.audience))


def settle(session: Session, pressed: Pressed, outcome: str) -> None:
    """Note what came of a press."""
    row_updates.change(session, models.Action, models.Action.id == pressed.id, outcome=columns.text(outcome))


def ask(session: Session, pressed: Pressed, telescopes: Sequence[str], *, now: datetime) -> str:
    """Ask for a plan of the newest notice of the event; return why not, or nothing when it may begin.

    The event is locked, so of two presses at once the second sees the first.
    """
    event = _event(session, pressed)
    sha256 = event.newest_sha256 or ""
    if event.state == EventState.RETRACTED:
        return "was retracted"
    known = plans.states(session, sha256, telescopes)
    if words := next((BUSY_WORDS[state] for state in known if state in BUSY_WORDS), ""):
        return words
    recent = [row for row in _rows(session, event.id) if row.id != pressed.id and row.created > now - ASK_LIFE]
    wanted = tuple(joined(telescopes).split(","))
    if any(_waits_for(session, event, row) == wanted for row in recent):
        return BUSY_WORDS[PlanState.RUNNING]
    begun = plans.attempts(session, sha256, telescopes)
    settle(session, pressed, f"{ASKED} {sha256[:12]} {begun} {joined(telescopes)}")
    return ""


def cancel(session: Session, pressed: Pressed, *, by: str) -> int:
    """Cancel the standing plans of the event and all that was asked for; return how many."""
    event = _event(session, pressed)
    asked = [row for row in _rows(session, event.id) if _waits_for(session, event, row)]
    for row in asked:
        row.outcome = "cancelled"
    session.flush()
    return plans.cancel(session, event.id, reason=f"cancelled by {by}") + len(asked)


def mute(session: Session, pressed: Pressed, *, muted: bool) -> bool:
    """Mute an event, or let it speak again; return whether that is news."""
    event = models.Event
    return row_updates.compare_and_set(
        session, event, event.slug == pressed.slug, event.muted.is_not(muted), muted=muted
    )


def entries(session: Session, event: models.Event, presses: Sequence[models.Action]) -> tuple[ActionEntry, ...]:
    """Describe the presses of the buttons under an event's messages."""
    return tuple(_entry(session, event, row) for row in presses)


def _entry(session: Session, event: models.Event, row: models.Action) -> ActionEntry:
    user, _, name = row.user.partition(" ")
    return ActionEntry(
        user=user,
        user_name=name,
        button=Button(row.button),
        created=row.created,
        outcome=row.outcome,
        done=row.outcome.startswith((DONE, ASKED)),
        waits_for=_waits_for(session, event, row),
    )


def _waits_for(session: Session, event: models.Event, row: models.Action) -> tuple[str, ...]:
    """Return the telescopes that a press asked to be planned, where the newest notice's plan has not begun since."""
    words = row.outcome.split(" ", 3)
    newest = event.newest_sha256 or ""
    if len(words) < 4 or words[0] != ASKED or not newest.startswith(words[1]):
        return ()
    telescopes = tuple(words[3].split(","))
    return () if plans.attempts(session, newest, telescopes) > int(words[2]) else telescopes


def _rows(session: Session, event_id: int) -> Sequence[models.Action]:
    query = (
        sa.select(models.Action)
        .join(models.Message, models.Message.id == models.Action.message_id)
        .where(models.Message.event_id == event_id)
        .order_by(models.Action.id)
    )
    return session.scalars(query).all()


def _event(session: Session, pressed: Pressed) -> models.Event:
    return session.scalars(sa.select(models.Event).filter_by(slug=pressed.slug)).one()


def _lock(session: Session, event_id: int) -> models.Event:
    query = sa.select(models.Event).filter_by(id=event_id).with_for_update().execution_options(populate_existing=True)
    return session.scalars(query).one()
