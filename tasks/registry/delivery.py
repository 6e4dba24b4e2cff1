"""Draining the outbox: claim, send, record; wait as long as it is worth it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from sqlalchemy.orm import Session

from tasks.errors import AlgorithmError, Refused, Unavailable, UnusableData
from tasks.records import Audience
from tasks.records.outbox import Claimed, ClaimedUpload, Drained, LaneState, Outgoing, Sent
from tasks.registry import outbox
from tasks.registry.store import Registry, now

log = logging.getLogger(__name__)

SHORTEST_WAIT_S = 0.05
LONGEST_WAIT_S = 1.0
FILES_AT_ONCE = 8
"""Uploads claimed together: those of one notice; a claim stands for three minutes."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one claim: how it is written down, and why the message or file did not go, if it did not."""

    record: Callable[[Session], object]
    sent: int = 0
    reason: str = ""
    touched: tuple[str, ...] = ()
    """Ids (``m…``, ``u…``) of what was given up, and of what went at a later try."""


@dataclass(kw_only=True)
class Count:
    """How many were sent by this sender, and the reasons of the others."""

    sent: int = 0
    reasons: list[str] = field(default_factory=list)
    touched: list[str] = field(default_factory=list)

    def add(self, outcomes: Sequence[Outcome]) -> None:
        """Count outcomes that are on record."""
        self.sent += sum(outcome.sent for outcome in outcomes)
        self.reasons += [outcome.reason for outcome in outcomes if outcome.reason]
        self.touched += [name for outcome in outcomes for name in outcome.touched]

    def drained(self, lane: LaneState) -> Drained:
        """Return the count together with what is left in the lane."""
        waiting = sum(lane.counts.get(state, 0) for state in outbox.OPEN)
        failed = lane.counts.get("failed", 0)
        reasons, touched = tuple(self.reasons), tuple(self.touched)
        return Drained(sent=self.sent, waiting=waiting, failed=failed, reasons=reasons, touched=touched)


def drain_messages(
    registry: Registry,
    send: Callable[[Claimed], Sent],
    *,
    patience_s: float = 0.0,
    pace_s: float = 0.0,
) -> Drained:
    """Send every message that is due.

    What became of a message is committed together with the claim of the next one, before that is sent: to send is not
    idempotent, so a claim and its end are always two transactions.

    Parameters
    ----------
    registry
        Holds the outbox; other senders may drain it at the same time.
    send
        Sends one message; an ``Unavailable`` that carries ``wait_s`` silences every sender for so long.
    patience_s
        How long to wait for messages that are to be tried again.
    pace_s
        Least time between two messages to one audience, whoever sends them.
    """
    deadline = time.monotonic() + patience_s
    count = Count()
    outcomes: list[Outcome] = []
    while True:
        with registry.begin() as session:
            _record(session, outcomes)
            claimed = outbox.claim_message(session, now=now())
            turn = _reserve(session, claimed, pace_s) if claimed else None
            lane = None if claimed else outbox.lane_state(session, outbox.MESSAGES)
        count.add(outcomes)
        outcomes = [_in_turn(registry, send, claimed, turn)] if claimed else []
        if lane is not None and not _wait(lane, deadline):
            return count.drained(lane)


def drain_uploads(
    registry: Registry,
    put: Callable[[ClaimedUpload], object],
    *,
    patience_s: float = 0.0,
) -> Drained:
    """Bring every file that is due into the store; the parameters are those of ``drain_messages``.

    Several files are claimed at once and their ends recorded at once: to bring the same content twice does no harm.
    """
    deadline = time.monotonic() + patience_s
    count = Count()
    outcomes: list[Outcome] = []
    more = True
    while True:
        with registry.begin() as session:
            _record(session, outcomes)
            claimed = outbox.claim_uploads(session, FILES_AT_ONCE, now=now()) if more else ()
            lane = None if claimed else outbox.lane_state(session, outbox.UPLOADS)
        count.add(outcomes)
        outcomes = _bring(put, claimed)
        came_meanwhile = not more and lane is not None and lane.due is not None and lane.due <= now()
        if lane is not None and not came_meanwhile and not _wait(lane, deadline):
            return count.drained(lane)
        # fewer than were asked for: nothing else was due
        more = len(claimed) in (0, FILES_AT_ONCE)


def _record(session: Session, outcomes: Sequence[Outcome]) -> None:
    for outcome in outcomes:
        outcome.record(session)


def _reserve(session: Session, claimed: Claimed, pace_s: float) -> datetime | None:
    """Take a message's turn among all senders to its audience; None where they keep no pace."""
    if pace_s <= 0:
        return None
    return outbox.reserve(session, claimed.message.audience.value, pace=timedelta(seconds=pace_s), now=now())


def _in_turn(registry: Registry, send: Callable[[Claimed], Sent], claimed: Claimed, turn: datetime | None) -> Outcome:
    """Send a message in its turn, unless the service asked for quiet meanwhile: then the message waits, too."""
    left_s = 0.0 if turn is None else (turn - now()).total_seconds()
    if left_s > 0:
        time.sleep(left_s)
        with registry.read() as session:
            until = outbox.held_until(session, outbox.MESSAGES)
        if until is not None and until > now():
            words = f"quiet was asked for until {until:%H:%M:%S}"
            return Outcome(record=lambda session: _again(session, claimed, words, uncertain=claimed.uncertain))
    return _send(send, claimed)


def _send(send: Callable[[Claimed], Sent], claimed: Claimed) -> Outcome:
    """Send one message."""
    message = claimed.message
    try:
        place = send(claimed)
    except Unavailable as error:
        reason, wait_s = str(error), getattr(error, "wait_s", None)
        log.warning("%s of %s waits: %s", message.kind, message.subject, reason)
        refused = isinstance(error, Refused)
        return Outcome(
            record=lambda session: _put_off(session, claimed, reason, wait_s, refused=refused), reason=reason
        )
    except (AlgorithmError, UnusableData) as error:
        reason = str(error)
        log.warning("%s of %s is given up: %s", message.kind, message.subject, reason)
        return Outcome(
            record=lambda session: _give_up(session, claimed, reason), reason=reason, touched=(f"m{claimed.id}",)
        )
    moment = now()
    return Outcome(
        record=lambda session: outbox.message_sent(
            session, claimed, channel=place.channel, ts=place.ts, file=place.file, now=moment
        ),
        sent=1,
        touched=(f"m{claimed.id}",) if claimed.failed_before else (),
    )


def _put_off(session: Session, claimed: Claimed, reason: str, wait_s: float | None, *, refused: bool) -> None:
    """Try a message again later: known to be unsent when the service asked for quiet or refused it, else uncertain."""
    if refused:
        _tell_of_refusal(session, reason)
        _again(session, claimed, reason, uncertain=claimed.uncertain)
        return
    if wait_s is not None:
        outbox.hold(session, outbox.MESSAGES, until=now() + timedelta(seconds=wait_s))
    _again(session, claimed, reason, uncertain=claimed.uncertain or wait_s is None)


def _again(session: Session, claimed: Claimed, reason: str, *, uncertain: bool) -> None:
    outbox.message_failed(session, claimed, error=reason, now=now(), retry=True, uncertain=uncertain)


def _give_up(session: Session, claimed: Claimed, reason: str) -> None:
    """Give a message up and tell the operators; of one of their own only log, doctor and ``siren outbox`` tell."""
    outbox.message_failed(session, claimed, error=reason, now=now(), retry=False)
    message = claimed.message
    if message.audience is not Audience.OPERATORS:
        words = f"A message was given up: {message.kind} of {message.subject}. {reason}"
        _tell_operators(session, f"message {claimed.id}", words)


def _bring(put: Callable[[ClaimedUpload], object], claimed: Sequence[ClaimedUpload]) -> list[Outcome]:
    """Bring files into the store; all that are there are recorded in one statement, and lost ones told in one message."""
    outcomes: list[Outcome] = []
    brought: list[ClaimedUpload] = []
    lost: dict[ClaimedUpload, str] = {}
    for upload in claimed:
        try:
            put(upload)
        except Unavailable as error:
            outcomes.append(_upload_waits(upload, str(error), refused=isinstance(error, Refused)))
        except (AlgorithmError, UnusableData) as error:
            lost[upload] = str(error)
        else:
            brought.append(upload)
    if brought:
        outcomes.append(
            Outcome(
                record=lambda session: outbox.uploads_sent(session, brought, now=now()),
                sent=len(brought),
                touched=tuple(f"u{upload.id}" for upload in brought if upload.failed_before),
            )
        )
    if lost:
        outcomes.append(
            Outcome(
                record=lambda session: _give_up_uploads(session, lost),
                reason="; ".join(dict.fromkeys(lost.values())),
                touched=tuple(f"u{upload.id}" for upload in lost),
            )
        )
    return outcomes


def _upload_waits(upload: ClaimedUpload, reason: str, *, refused: bool) -> Outcome:
    log.warning("upload of %s waits: %s", upload.remote, reason)

    def record(session: Session) -> None:
        outbox.upload_failed(session, upload, error=reason, now=now(), retry=True)
        if refused:
            _tell_of_refusal(session, reason)

    return Outcome(record=record, reason=reason)


def _give_up_uploads(session: Session, lost: Mapping[ClaimedUpload, str]) -> None:
    for upload, reason in lost.items():
        log.warning("upload of %s is given up: %s", upload.remote, reason)
        outbox.upload_failed(session, upload, error=reason, now=now(), retry=False)
    lines = "\n".join(f"• {upload.remote}: {reason}" for upload, reason in lost.items())
    key = "uploads " + " ".join(f"{upload.id}/{upload.attempt}" for upload in lost)
    _tell_operators(session, key, f"Files were given up; after mending, siren outbox retry sends them.\n{lines}")


def _tell_of_refusal(session: Session, reason: str) -> None:
    """Tell the operators, once a day for each reason, that a service refuses our credentials."""
    words = f"{reason[:1].upper()}{reason[1:]}. What waits goes out by itself once the block has the right credentials."
    _tell_operators(session, f"{reason} {now():%Y-%m-%d}", words, kind="refused")


def _tell_operators(session: Session, key: str, words: str, *, kind: str = "given-up") -> None:
    message = Outgoing(
        subject="outbox",
        kind=kind,
        key=key,
        audience=Audience.OPERATORS,
        mode="top",
        text=words.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"),
    )
    outbox.enqueue_message(session, message, now=now())


def _wait(lane: LaneState, deadline: float) -> bool:
    """Sleep until a lane has something to do; False when that is too far off, or never."""
    if lane.due is None:
        return False
    left_s = max((lane.due - datetime.now(UTC)).total_seconds(), SHORTEST_WAIT_S)
    if time.monotonic() + left_s > deadline:
        return False
    # what another sender has in hand may be due long before its claim ends
    time.sleep(min(left_s, LONGEST_WAIT_S))
    return True
