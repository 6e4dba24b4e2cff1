"""Draining the outbox: claim, send, record; wait as long as it is worth it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from sqlalchemy.orm import Session

from tasks.errors import AlgorithmError, Unavailable, UnusableData
from tasks.records import Audience
from tasks.records.outbox import Claimed, ClaimedUpload, Drained, Outgoing, Sent
from tasks.registry import outbox
from tasks.registry.store import Registry, now

log = logging.getLogger(__name__)

SHORTEST_WAIT_S = 0.05
LONGEST_WAIT_S = 1.0


def drain_messages(
    registry: Registry,
    send: Callable[[Claimed], Sent],
    *,
    patience_s: float = 0.0,
    pace_s: float = 0.0,
) -> Drained:
    """Send every message that is due.

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
    sent = 0
    reasons: list[str] = []
    while True:
        with registry.begin() as session:
            claimed = outbox.claim_message(session, now=now())
        if claimed is None:
            if _wait(registry, outbox.MESSAGES, deadline):
                continue
            return _drained(registry, outbox.MESSAGES, sent, reasons)
        if not _may_go(registry, claimed, pace_s):
            continue
        reason = _send(registry, send, claimed)
        sent += reason is None
        reasons += [reason] if reason else []


def drain_uploads(
    registry: Registry,
    put: Callable[[ClaimedUpload], object],
    *,
    patience_s: float = 0.0,
) -> Drained:
    """Bring every file that is due into the store; the parameters are those of ``drain_messages``."""
    deadline = time.monotonic() + patience_s
    sent = 0
    reasons: list[str] = []
    while True:
        with registry.begin() as session:
            claimed = outbox.claim_upload(session, now=now())
        if claimed is None:
            if _wait(registry, outbox.UPLOADS, deadline):
                continue
            return _drained(registry, outbox.UPLOADS, sent, reasons)
        reason = _put(registry, put, claimed)
        sent += reason is None
        reasons += [reason] if reason else []


def _may_go(registry: Registry, claimed: Claimed, pace_s: float) -> bool:
    """Wait for a message's turn; False where the service asked for quiet meanwhile: then the message waits, too."""
    if pace_s > 0:
        with registry.begin() as session:
            audience = claimed.message.audience.value
            moment = outbox.reserve(session, audience, pace=timedelta(seconds=pace_s), now=now())
        time.sleep(max(0.0, (moment - now()).total_seconds()))
    with registry.read() as session:
        until = outbox.held_until(session, outbox.MESSAGES)
    if until is None or until <= now():
        return True
    with registry.begin() as session:
        words = f"quiet was asked for until {until:%H:%M:%S}"
        outbox.message_failed(session, claimed, error=words, now=now(), retry=True, uncertain=claimed.uncertain)
    return False


def _send(registry: Registry, send: Callable[[Claimed], Sent], claimed: Claimed) -> str | None:
    """Send one message and record what became of it; return the reason when it was given up or must wait."""
    try:
        sent = send(claimed)
    except Unavailable as error:
        with registry.begin() as session:
            _put_off(session, claimed, error)
        log.warning("%s of %s waits: %s", claimed.message.kind, claimed.message.subject, error)
        return str(error)
    except (AlgorithmError, UnusableData) as error:
        with registry.begin() as session:
            outbox.message_failed(session, claimed, error=str(error), now=now(), retry=False)
            _tell_operators(session, claimed, str(error))
        log.warning("%s of %s is given up: %s", claimed.message.kind, claimed.message.subject, error)
        return str(error)
    with registry.begin() as session:
        outbox.message_sent(session, claimed, channel=sent.channel, ts=sent.ts, file=sent.file, now=now())
    return None


def _put_off(session: Session, claimed: Claimed, error: Unavailable) -> None:
    """Try a message again later: known to be unsent when the service asked for quiet, else uncertain."""
    wait_s = getattr(error, "wait_s", None)
    if wait_s is not None:
        outbox.hold(session, outbox.MESSAGES, until=now() + timedelta(seconds=wait_s))
    uncertain = claimed.uncertain or wait_s is None
    outbox.message_failed(session, claimed, error=str(error), now=now(), retry=True, uncertain=uncertain)


def _put(registry: Registry, put: Callable[[ClaimedUpload], object], claimed: ClaimedUpload) -> str | None:
    try:
        put(claimed)
    except (Unavailable, AlgorithmError, UnusableData) as error:
        retry = isinstance(error, Unavailable)
        with registry.begin() as session:
            outbox.upload_failed(session, claimed, error=str(error), now=now(), retry=retry)
        log.warning("upload of %s %s: %s", claimed.remote, "waits" if retry else "is given up", error)
        return str(error)
    with registry.begin() as session:
        outbox.upload_sent(session, claimed, now=now())
    return None


def _tell_operators(session: Session, claimed: Claimed, reason: str) -> None:
    """Tell the operators of a message that was given up; of one of their own only the log can tell."""
    message = claimed.message
    if message.audience is Audience.OPERATORS:
        return
    text = f"A message was given up: {message.kind} of {message.subject}. {reason}"
    notice = Outgoing(
        subject="outbox",
        kind="given-up",
        key=f"message {claimed.id}",
        audience=Audience.OPERATORS,
        mode="top",
        text=text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"),
    )
    outbox.enqueue_message(session, notice, now=now())


def _wait(registry: Registry, lane: str, deadline: float) -> bool:
    """Sleep until a lane has something to do; False when that is too far off, or never."""
    with registry.read() as session:
        due = outbox.next_due(session, lane)
    if due is None:
        return False
    left_s = max((due - datetime.now(UTC)).total_seconds(), SHORTEST_WAIT_S)
    if time.monotonic() + left_s > deadline:
        return False
    # what another sender has in hand may be due long before its claim ends
    time.sleep(min(left_s, LONGEST_WAIT_S))
    return True


def _drained(registry: Registry, lane: str, sent: int, reasons: list[str]) -> Drained:
    with registry.read() as session:
        states: Mapping[str, int] = outbox.counts(session, lane)
    waiting = states.get("waiting", 0) + states.get("sending", 0)
    return Drained(sent=sent, waiting=waiting, failed=states.get("failed", 0), reasons=tuple(reasons))
