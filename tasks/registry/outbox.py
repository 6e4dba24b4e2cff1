"""The outbox: messages and uploads, written with their cause, taken by one sender at a time, tried until done.

A claim ends after ``LEASE``: when its sender died, another takes the row, told that the first may have got through.
The attempt number is the fence: a sender that lost its claim can no longer change the row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import ColumnElement
from sqlalchemy.orm import Session, aliased

from tasks.records import Audience
from tasks.records.outbox import Claimed, ClaimedUpload, LaneState, Outgoing, StoreFile
from tasks.registry import columns, models, row_updates

LEASE = timedelta(minutes=3)
FIRST_DELAY = timedelta(seconds=2)
LONGEST_DELAY = timedelta(minutes=15)
MESSAGES, UPLOADS = "messages", "uploads"
MODELS: Mapping[str, type[models.Message | models.Upload]] = {MESSAGES: models.Message, UPLOADS: models.Upload}
OPEN = ("waiting", "sending")

# as text: in RETURNING, SQLAlchemy names no tables on SQLite, so that a subquery would compare a row with itself
TARGET = """(select target.{} from message as target where target.id = (
    select max(older.id) from message as older
    where older.subject = message.subject and older.ts is not null and (
        message.mode = 'amend' and older.kind = message.kind
        or message.mode not in ('amend', 'top') and older.mode = 'top')))"""
"""What a message answers or rewrites: its thread's newest top, or for ``amend`` the last of its own kind."""

PICTURE = """(select picture.file from message as picture where picture.id = (
    select max(shown.id) from message as shown
    where shown.subject = message.subject and shown.kind = 'sky-map' and shown.file is not null))"""
"""Slack's name of the sky map (``records.outbox.SKY_MAP``) that was put last into a message's thread."""


def enqueue_message(session: Session, message: Outgoing, *, now: datetime) -> bool:
    """Put a message into the outbox, in the caller's transaction; return whether it is new."""
    return enqueue_messages(session, [message], now=now) == 1


def enqueue_messages(session: Session, messages: Sequence[Outgoing], *, now: datetime) -> int:
    """Put messages into the outbox in their order, in the caller's transaction; return how many are new."""
    rows = [
        {
            "subject": message.subject,
            "kind": message.kind,
            "content_key": message.key,
            "event_id": _event_id(message.subject),
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
        for message in messages
    ]
    return row_updates.insert_missing(session, models.Message, rows, key=("subject", "kind", "content_key"))


def claim_message(session: Session, *, now: datetime) -> Claimed | None:
    """Take the next message that is due, new events first, what only operators must know last.

    None when nothing is due or the lane is held.

    A message waits until all earlier ones of its subject are sent or given up, so that a thread keeps its order. What it
    answers or rewrites is read with it: a message and its thread's top are seen as they were at one moment.
    """
    message, candidate = models.Message, aliased(models.Message)
    due = (
        sa.select(candidate.id)
        .where(candidate.state.in_(OPEN), candidate.due <= now, ~_blocked(candidate), ~_held(MESSAGES, now))
        .order_by(candidate.audience == Audience.OPERATORS, candidate.mode != "top", candidate.id)
        .limit(1)
        .with_for_update(skip_locked=True)
        .scalar_subquery()
    )
    # a claim that ran out: its sender may have died between the service's answer and our record of it
    uncertain = sa.or_(message.uncertain, message.state == "sending")
    claim = (
        sa.update(message)
        .where(message.id == due)
        .values(state="sending", attempt=message.attempt + 1, due=now + LEASE, uncertain=uncertain)
        .returning(message, *map(sa.literal_column, (TARGET.format("channel"), TARGET.format("ts"), PICTURE)))
        .execution_options(synchronize_session=False)
    )
    found = session.execute(claim).one_or_none()
    if found is None:
        return None
    row, channel, thread, picture = found
    return Claimed(
        id=row.id,
        attempt=row.attempt,
        message=_outgoing(row),
        channel=channel,
        thread=thread,
        uncertain=row.uncertain,
        picture=picture if row.mode == "edit" else None,
        failed_before=bool(row.error),
    )


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


def enqueue_upload(session: Session, file: StoreFile, *, now: datetime, subject: str = "") -> bool:
    """Put a file into the outbox; return whether there is something to do: new, or new content under an old path."""
    return enqueue_uploads(session, [file], now=now, subject=subject) == 1


def enqueue_uploads(session: Session, files: Sequence[StoreFile], *, now: datetime, subject: str = "") -> int:
    """Put files, each with a path of its own, into the outbox in one statement; return how many there are to bring."""
    if not files:
        return 0
    upload = models.Upload
    rows = [
        {
            "remote": file.remote,
            "source": str(file.source),
            "sha256": file.sha256,
            "size": file.size,
            "event_id": _event_id(subject),
            "state": "waiting",
            "attempt": 0,
            "due": now,
            "created": now,
        }
        for file in files
    ]
    statement = row_updates.insert(session)(upload).values(rows)
    fresh = statement.excluded
    renewed = statement.on_conflict_do_update(
        index_elements=["remote"],
        set_={
            **{name: fresh[name] for name in ("source", "sha256", "size", "state", "due")},
            # the higher attempt takes the row out of the hands of a sender that is busy with the old content
            "attempt": upload.attempt + sa.case((upload.state == "sending", 1), else_=0),
            "error": None,
            "dropped": None,
        },
        where=upload.sha256 != fresh.sha256,
    )
    return len(session.execute(renewed.returning(upload.id)).all())


def claim_upload(session: Session, *, now: datetime) -> ClaimedUpload | None:
    """Take the next upload that is due; None when nothing is due."""
    return next(iter(claim_uploads(session, 1, now=now)), None)


def claim_uploads(session: Session, most: int, *, now: datetime) -> tuple[ClaimedUpload, ...]:
    """Take the next uploads that are due, at most so many; none when nothing is due."""
    upload = models.Upload
    query = (
        sa.select(upload.id, upload.attempt, upload.source, upload.remote, upload.sha256, upload.error)
        .where(upload.state.in_(OPEN), upload.due <= now)
        .order_by(upload.id)
        .limit(most)
        .with_for_update(skip_locked=True)
    )
    rows = session.execute(query).all()
    if not rows:
        return ()
    claimed = upload.id.in_([row.id for row in rows])
    row_updates.change(session, upload, claimed, state="sending", attempt=upload.attempt + 1, due=now + LEASE)
    return tuple(
        ClaimedUpload(
            id=row.id,
            attempt=row.attempt + 1,
            source=Path(row.source),
            remote=row.remote,
            sha256=row.sha256,
            failed_before=bool(row.error),
        )
        for row in rows
    )


def upload_sent(session: Session, claimed: ClaimedUpload, *, now: datetime) -> bool:
    """Note that a file is in the store; False when the claim was lost, as when the file has new content."""
    return uploads_sent(session, [claimed], now=now) == 1


def uploads_sent(session: Session, claimed: Sequence[ClaimedUpload], *, now: datetime) -> int:
    """Note in one statement that files are in the store; return of how many the claim still stood."""
    if not claimed:
        return 0
    upload = models.Upload
    fence = sa.tuple_(upload.id, upload.attempt).in_([(each.id, each.attempt) for each in claimed])
    return row_updates.change(session, upload, upload.state == "sending", fence, state="sent", sent=now, error=None)


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
    query = sa.select(models.Hold).filter_by(lane=lane).with_for_update().execution_options(populate_existing=True)
    row = session.scalars(query).one_or_none()
    if row is None:
        row_updates.insert_once(session, models.Hold, key={"lane": lane}, values={"until": now})
        row = session.scalars(query).one()
    moment = max(row.until, now)
    row.until = moment + pace
    return moment


def next_due(session: Session, lane: str) -> datetime | None:
    """Return when a lane has something to send: None when it is empty."""
    return lane_state(session, lane).due


def counts(session: Session, lane: str) -> Mapping[str, int]:
    """Count a lane's rows by state."""
    return lane_state(session, lane).counts


def lane_state(session: Session, lane: str) -> LaneState:
    """Return how a lane stands, read in one statement."""
    row = MODELS[lane]
    state = sa.case((row.dropped.is_not(None), "dropped"), else_=row.state)
    until = sa.select(models.Hold.until).where(models.Hold.lane == lane).scalar_subquery()
    groups = session.execute(sa.select(state, sa.func.count(), sa.func.min(row.due), until).group_by(state)).all()
    due = min((due for name, _, due, _ in groups if name in OPEN), default=None)
    held = next((until for *_, until in groups), None)
    return LaneState(
        counts={str(name): int(number) for name, number, *_ in groups},
        due=max(due, held) if due is not None and held is not None else due,
    )


def _outgoing(row: models.Message) -> Outgoing:
    return Outgoing(
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


def _blocked(message: type[models.Message]) -> ColumnElement[bool]:
    """Tell a message of whose subject an earlier one is still to be sent."""
    earlier = aliased(message)
    return sa.exists().where(earlier.subject == message.subject, earlier.id < message.id, earlier.state.in_(OPEN))


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


def _held(lane: str, now: datetime) -> ColumnElement[bool]:
    return sa.exists().where(models.Hold.lane == lane, models.Hold.until > now)


def _event_id(subject: str) -> sa.ScalarSelect[int] | None:
    """Look up the event that a subject names, within the statement that inserts its row."""
    slug = subject.removeprefix("event:")
    if slug == subject:
        return None
    return sa.select(models.Event.id).where(models.Event.slug == slug).limit(1).scalar_subquery()
