"""Messages about no single event: gaps in reception, alarms of automations, the digest of low-significance events."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from tasks.io.messages import blockkit, number_words
from tasks.records import Audience
from tasks.records.backfills import Backfilled, Span
from tasks.records.events import EventHistory, EventState
from tasks.records.outbox import DIGEST, Outgoing

REFUSED_SHOWN = 10
EVENTS_SHOWN, EVENTS_A_BLOCK = 60, 10


def of_backfill(result: Backfilled) -> Outgoing:
    """Return the message about gaps that were filled, one for each back-fill."""
    gaps = "; ".join(_gap(span) for span in result.spans)
    words = f"No notices received {gaps}. GraceDB has {result.new} missed notices; {result.known} were already known."
    lines = [f"• {blockkit.escape(reason)}" for reason in result.refused[:REFUSED_SHOWN]]
    left = len(result.refused) - len(lines)
    lines += [f"… and {left} more"] if left > 0 else []
    refused = [blockkit.section("Could not be used:\n" + "\n".join(lines))] if lines else []
    blocks = [blockkit.section(f"🕳️ {blockkit.escape(words)}"), *refused]
    key = f"{result.spans[0].since.isoformat()}/{result.spans[-1].until.isoformat()}" if result.spans else "none"
    return _message("backfill", "backfill", key, words, blocks)


def of_automation(words: str, *, minute: str) -> Outgoing:
    """Return an automation's alarm."""
    return _message(
        "automation", "alarm", f"{minute} {words}"[:300], words, [blockkit.section(f"🚨 {blockkit.escape(words)}")]
    )


def of_quiet_events(events: Sequence[EventHistory], *, since: datetime, until: datetime) -> Outgoing:
    """Return the digest of events below the alert threshold, one for each ``until``."""
    count = f"{len(events)} low-significance event{'s' if len(events) > 1 else ''}"
    words = f"{count} {_gap(Span(since=since, until=until))}"
    lines = [f"• {blockkit.escape(_quiet(event))}" for event in events[:EVENTS_SHOWN]]
    left = len(events) - len(lines)
    lines += [f"… and {left} more, see their pages"] if left else []
    chunks = [
        blockkit.section("\n".join(lines[first : first + EVENTS_A_BLOCK]))
        for first in range(0, len(lines), EVENTS_A_BLOCK)
    ]
    blocks = [blockkit.section(f"📋 *{blockkit.escape(words)}*"), *chunks]
    return _message(DIGEST, "digest", until.isoformat(), words, blocks, audience=Audience.LOW_SIGNIFICANCE)


def _quiet(event: EventHistory) -> str:
    """Summarise an event in one line, with the number of its notices and a retraction."""
    number = len(event.notices)
    count = f" {number} notices." if number > 1 else ""
    state = " Retracted since." if event.state is EventState.RETRACTED else ""
    return f"{number_words.sentence(event.shown.alert)}{count}{state}"


def _gap(span: Span) -> str:
    since, until = (number_words.moment(time.replace(microsecond=0)) for time in (span.since, span.until))
    return f"from {since} to {until}"


def _message(
    subject: str,
    kind: str,
    key: str,
    words: str,
    blocks: list[blockkit.Block],
    *,
    audience: Audience = Audience.OPERATORS,
) -> Outgoing:
    rendered = blockkit.rendered(words, blocks)
    return Outgoing(
        subject=subject,
        kind=kind,
        key=key,
        audience=audience,
        mode="top",
        text=rendered.text,
        blocks=rendered.blocks,
    )
