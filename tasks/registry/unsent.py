"""What the outbox has not sent: listed, and what was given up sent again or dropped by a person."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import ColumnElement
from sqlalchemy.orm import Session

from tasks.errors import UnusableData
from tasks.records.outbox import Unsent
from tasks.registry import models, outbox, row_updates

# the first letter of an id names the table
LETTERS: Mapping[str, type[models.Message | models.Upload]] = {"m": models.Message, "u": models.Upload}


def waiting(session: Session) -> tuple[Unsent, ...]:
    """Return the messages, then the uploads, that are still to be sent, oldest first."""
    return _messages(session, models.Message.state.in_(outbox.OPEN)) + _uploads(
        session, models.Upload.state.in_(outbox.OPEN)
    )


def given_up(session: Session) -> tuple[Unsent, ...]:
    """Return the messages, then the uploads, that were given up and not dropped, oldest first."""
    return _messages(session, _given_up(models.Message)) + _uploads(session, _given_up(models.Upload))


def events_of(session: Session, ids: Collection[str]) -> tuple[str, ...]:
    """Return the events of some messages (``m…``) and uploads (``u…``), by the names of their folders."""
    event = models.Event
    named = {letter: [int(name[1:]) for name in ids if name.startswith(letter)] for letter in LETTERS}
    of = [sa.select(model.event_id).where(model.id.in_(named[letter])) for letter, model in LETTERS.items()]
    query = sa.select(event.slug).where(sa.or_(*(event.id.in_(chosen) for chosen in of))).order_by(event.id)
    return tuple(session.scalars(query))


def retry(session: Session, ids: Collection[str] = (), *, now: datetime) -> int:
    """Try again what was given up, after the reason was mended; none named means all. Return how many.

    Raises
    ------
    UnusableData
        If an id names nothing that was given up.
    """
    if ids:
        _check(session, ids)
    return sum(
        row_updates.change(session, model, _given_up(model), _named(letter, ids), state="waiting", due=now)
        for letter, model in LETTERS.items()
    )


def drop(session: Session, ids: Collection[str], *, now: datetime) -> int:
    """Note that what was given up is not to be sent any more; its row and reason stay. Return how many.

    Raises
    ------
    UnusableData
        If an id names nothing that was given up.
    """
    _check(session, ids)
    return sum(
        row_updates.change(session, model, _given_up(model), _named(letter, ids), dropped=now)
        for letter, model in LETTERS.items()
    )


def _check(session: Session, ids: Collection[str]) -> None:
    entries = {entry.id for entry in given_up(session)}
    strangers = [name for name in ids if name not in entries]
    if strangers:
        raise UnusableData(f"nothing that was given up has the id {', '.join(strangers)}: see siren outbox list")


def _given_up(model: type[models.Message | models.Upload]) -> ColumnElement[bool]:
    return sa.and_(model.state == "failed", model.dropped.is_(None))


def _named(letter: str, ids: Collection[str]) -> ColumnElement[bool]:
    """Choose the rows of one table that are named; all where none is named of any table."""
    if not ids:
        return sa.true()
    return LETTERS[letter].id.in_([int(name[1:]) for name in ids if name.startswith(letter)])


def _messages(session: Session, condition: ColumnElement[bool]) -> tuple[Unsent, ...]:
    rows = session.scalars(sa.select(models.Message).where(condition).order_by(models.Message.id))
    return tuple(_unsent(f"m{row.id}", f"{row.kind} of {row.subject} to {row.audience}", row) for row in rows)


def _uploads(session: Session, condition: ColumnElement[bool]) -> tuple[Unsent, ...]:
    rows = session.scalars(sa.select(models.Upload).where(condition).order_by(models.Upload.id))
    return tuple(_unsent(f"u{row.id}", row.remote, row) for row in rows)


def _unsent(name: str, what: str, row: models.Message | models.Upload) -> Unsent:
    return Unsent(id=name, what=what, reason=row.error or "", created=row.created, due=row.due, attempts=row.attempt)
