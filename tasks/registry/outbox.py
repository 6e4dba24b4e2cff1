"""The outbox: messages and uploads, written with their cause, taken by one sender at a time, tried until done.

A claim ends after ``LEASE``: when its sender died, another takes the row, told that the first may have got through.
The attempt number is the fence: a sender that lost its claim can no longer change the row.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.orm import Session, aliased

from tasks.records import Audience
from tasks.records.outbox import SKY_MAP, Claimed, ClaimedUpload, Outgoing
from tasks.registry import columns, models, row_updates

LEASE = timedelta(minutes=3)
FIRST_DELAY = timedelta(seconds=2)
LONGEST_DELAY = timedelta(minutes=15)
MESSAGES, UPLOADS = "messages", "uploads"
OPEN = ("waiting", "sending")


def enqueue_message(session: Session, message: Outgoing, *, now: datetime) -> bool:
    """Put a message into the outbox, in the caller's transaction; return whether it is new."""
    key = {"subject": message.subject, "kind": message.kind, "content_key": message.key}
    values = {
        "event_id": _event_id(session, message.subject),
        "audience": message.audience,
        "mode": message.mode,
        "text": message.text,
        "blocks": message.blocks,
        "broadcast": message.broadcast,
        "attachment": str(message.attachment) if message.attachment else None,
        "state": "waiting",
        "attempt": 0,
        "uncertain": False,
        "due": now,
        "created": now,
    }
    return row_updates.insert_once(session, models.Message, key=key, values=values)[1]


def claim_message(session: Session, *, now: datetime) -> Claimed | None:
    """Take the next message that is due, new events first, what only operators must know last.

    None when nothing is due or the lane is held.

    A message waits until all earlier ones of its subject are sent or given up, so that a thread keeps its order.
    """
    if _held(session, MESSAGES, now):
        return None
    message, earlier = models.Message, aliased(models.Message)
    blocked = sa.exists().where(earlier.subject == message.subject, earlier.id < message.id, earlier.state.in_(OPEN))
    query = (
        sa.select(message)
        .where(message.state.in_(OPEN), message.due <= now, ~blocked)
        .order_by(message.audience == Audience.OPERATORS, message.mode != "top", message.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    row = session.scalars(query).one_or_none()
    return None if row is None else _take(session, row, now=now)


def message_sent(
    session: Session, claimed: Claimed, *, channel: str, ts: str | None, now: datetime, file: str | None = None
) -> bool:
    """Note that a message is out; ``ts`` is None for an edit. False when the claim was lost."""
    place = {"channel": channel if ts else None, "ts": ts, "file": file}
    return _end(session, models.Message, claimed, state="sent", sent=now, **place)


def message_failed(
    session: Session,
    claimed: Claimed,
    *,
    error: str,
    now: datetime,
    retry: bool,
    uncertain: bool = False,
) -> bool:
    """Note that a message could not be sent: tried again after a growing delay, or given up."""
    values = _failure(claimed.attempt, error, now=now, retry=retry)
    return _end(session, models.Message, claimed, uncertain=uncertain, **values)


def enqueue_upload(
    session: Session,
    *,
    source: Path,
    remote: str,
    sha256: str,
    size: int,
    now: datetime,
    subject: str = "",
) -> bool:
    """Put a file into the outbox; return whether there is something to do: new, or new content under an old path."""
    content = {"source": str(source), "sha256": sha256, "size": size}
    fresh = {"state": "waiting", "due": now}
    values = {"event_id": _event_id(session, subject), "attempt": 0, "created": now, **content, **fresh}
    row, made = row_updates.insert_once(session, models.Upload, key={"remote": remote}, values=values)
    changed = row_updates.compare_and_set(
        session,
        models.Upload,
        models.Upload.id == row.id,
        models.Upload.sha256 != sha256,
        # the higher attempt takes the row out of the hands of a sender that is busy with the old content
        attempt=models.Upload.attempt + sa.case((models.Upload.state == "sending", 1), else_=0),
        error=None,
        **content,
        **fresh,
    )
    return made or changed


def claim_upload(session: Session, *, now: datetime) -> ClaimedUpload | None:
    """Take the next upload that is due; None when nothing is due."""
    upload = models.Upload
    query = (
        sa.select(upload)
        .where(upload.state.in_(OPEN), upload.due <= now)
        .order_by(upload.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    row = session.scalars(query).one_or_none()
    if row is None:
        return None
    row.state, row.attempt, row.due = "sending", row.attempt + 1, now + LEASE
    session.flush()
    return ClaimedUpload(id=row.id, attempt=row.attempt, source=Path(row.source), remote=row.remote, sha256=row.sha256)


def upload_sent(session: Session, claimed: ClaimedUpload, *, now: datetime) -> bool:
    """Note that a file is in the store; False when the claim was lost, as when the file has new content."""
    return _end(session, models.Upload, claimed, state="sent", sent=now, error=None)


def upload_failed(session: Session, claimed: ClaimedUpload, *, error: str, now: datetime, retry: bool) -> bool:
    """Note that a file could not be brought over: tried again after a growing delay, or given up."""
    return _end(session, models.Upload, claimed, **_failure(claimed.attempt, error, now=now, retry=retry))


def hold(session: Session, lane: str, *, until: datetime) -> None:
    """Keep every sender of a lane quiet until a time: a service said Retry-After."""
    row, made = row_updates.insert_once(session, models.Hold, key={"lane": lane}, values={"until": until})
    if not made:
        row.until = max(row.until, until)


def held_until(session: Session, lane: str) -> datetime | None:
    """Return until when a lane must stay quiet; None where nobody ever asked for that."""
    held = session.get(models.Hold, lane)
    return None if held is None else held.until


def reserve(session: Session, place: str, *, pace: timedelta, now: datetime) -> datetime:
    """Take the next moment at which something may go to a place, ``pace`` after the last one that any sender took."""
    lane = f"to {place}"
    row_updates.insert_once(session, models.Hold, key={"lane": lane}, values={"until": now})
    row = session.scalars(sa.select(models.Hold).filter_by(lane=lane).with_for_update()).one()
    moment = max(row.until, now)
    row.until = moment + pace
    return moment


def requeue_failed(session: Session, *, now: datetime) -> int:
    """Try again what was given up, after the reason was mended; return how many messages and uploads."""
    return sum(
        row_updates.change(session, model, model.state == "failed", state="waiting", due=now)
        for model in (models.Message, models.Upload)
    )


def next_due(session: Session, lane: str) -> datetime | None:
    """Return when a lane has something to send: None when it is empty."""
    model = models.Message if lane == MESSAGES else models.Upload
    due = session.scalars(sa.select(sa.func.min(model.due)).where(model.state.in_(OPEN))).one()
    until = held_until(session, lane)
    return max(due, until) if due is not None and until is not None else due


def counts(session: Session, lane: str) -> dict[str, int]:
    """Count a lane's rows by state."""
    model = models.Message if lane == MESSAGES else models.Upload
    found = session.execute(sa.select(model.state, sa.func.count()).group_by(model.state))
    return {str(state): int(number) for state, number in found}


def failures(session: Session) -> Sequence[str]:
    """Return the reasons of everything that was given up, newest first."""
    message, upload = models.Message, models.Upload
    told = session.scalars(sa.select(message.error).where(message.state == "failed").order_by(message.id.desc()))
    files = session.scalars(sa.select(upload.error).where(upload.state == "failed").order_by(upload.id.desc()))
    return [error or "" for error in (*told, *files)]


def _take(session: Session, row: models.Message, *, now: datetime) -> Claimed:
    # a claim that ran out: its sender may have died between the service's answer and our record of it
    uncertain = row.uncertain or row.state == "sending"
    row.state, row.attempt, row.due, row.uncertain = "sending", row.attempt + 1, now + LEASE, uncertain
    session.flush()
    top = _target(session, row)
    message = Outgoing(
        subject=row.subject,
        kind=row.kind,
        key=row.content_key,
        audience=Audience(row.audience),
        mode=row.mode,
        text=row.text,
        blocks=row.blocks,
        broadcast=row.broadcast,
        attachment=Path(row.attachment) if row.attachment else None,
    )
    return Claimed(
        id=row.id,
        attempt=row.attempt,
        message=message,
        channel=top.channel if top else None,
        thread=top.ts if top else None,
        uncertain=uncertain,
        picture=_picture(session, row.subject) if row.mode == "edit" else None,
    )


def _picture(session: Session, subject: str) -> str | None:
    """Return Slack's name of the sky map that was put last into a subject's thread."""
    message = models.Message
    query = (
        sa.select(message.file)
        .where(message.subject == subject, message.kind == SKY_MAP, message.file.is_not(None))
        .order_by(message.id.desc())
        .limit(1)
    )
    return session.scalars(query).one_or_none()


def _target(session: Session, row: models.Message) -> models.Message | None:
    """Return the message that a row answers or rewrites: its thread's top, or for ``amend`` the last of its own kind."""
    if row.mode == "top":
        return None
    return _last(session, row) if row.mode == "amend" else _top(session, row.subject)


def _last(session: Session, row: models.Message) -> models.Message | None:
    message = models.Message
    query = (
        sa.select(message)
        .where(message.subject == row.subject, message.kind == row.kind, message.ts.is_not(None))
        .order_by(message.id.desc())
        .limit(1)
    )
    return session.scalars(query).one_or_none()


def _top(session: Session, subject: str) -> models.Message | None:
    """Return the newest message that opened a thread on the subject."""
    query = (
        sa.select(models.Message)
        .where(models.Message.subject == subject, models.Message.mode == "top", models.Message.ts.is_not(None))
        .order_by(models.Message.id.desc())
        .limit(1)
    )
    return session.scalars(query).one_or_none()


def _end(
    session: Session,
    model: type[models.Message | models.Upload],
    claimed: Claimed | ClaimedUpload,
    **values: object,
) -> bool:
    fence = (model.id == claimed.id, model.state == "sending", model.attempt == claimed.attempt)
    return row_updates.compare_and_set(session, model, *fence, **values)


def _failure(attempt: int, error: str, *, now: datetime, retry: bool) -> dict[str, object]:
    delay = min(FIRST_DELAY * 2 ** min(attempt - 1, 20), LONGEST_DELAY)
    return {"state": "waiting" if retry else "failed", "due": now + delay, "error": columns.text(error)}


def _held(session: Session, lane: str, now: datetime) -> bool:
    until = held_until(session, lane)
    return until is not None and now < until


def _event_id(session: Session, subject: str) -> int | None:
    slug = subject.removeprefix("event:")
    if slug == subject:
        return None
    return session.scalars(sa.select(models.Event.id).filter_by(slug=slug).limit(1)).one_or_none()
