"""What is told of no single event: a gap in what was heard, the words of an automation, what nobody was woken for."""

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


def of_backfill(made: Backfilled) -> Outgoing:
    """Return the message about a gap that was filled, once for each gap."""
    gaps = "; ".join(_gap(span) for span in made.spans)
    words = f"Nothing was heard {gaps}. GraceDB has {made.new} notices of it that were missed, {made.known} were known."
    lines = [f"• {blockkit.escape(each)}" for each in made.refused[:REFUSED_SHOWN]]
    left = len(made.refused) - len(lines)
    lines += [f"… and {left} more"] if left > 0 else []
    refused = [blockkit.section("Could not be used:\n" + "\n".join(lines))] if lines else []
    blocks = [blockkit.section(f"🕳️ {blockkit.escape(words)}"), *refused]
    key = f"{made.spans[0].since.isoformat()}/{made.spans[-1].until.isoformat()}" if made.spans else "none"
    return _told("backfill", "backfill", key, words, blocks)


def of_automation(words: str, *, minute: str) -> Outgoing:
    """Return the message that an automation asks for."""
    return _told(
        "automation", "alarm", f"{minute} {words}"[:300], words, [blockkit.section(f"🚨 {blockkit.escape(words)}")]
    )


def of_quiet_events(events: Sequence[EventHistory], *, since: datetime, until: datetime) -> Outgoing:
    """Return the digest of events that nobody was woken for, once for each ``until``."""
    count = f"{len(events)} low-significance event{'s' if len(events) > 1 else ''}"
    words = f"{count} {_gap(Span(since=since, until=until))}"
    lines = [f"• {blockkit.escape(_quiet(each))}" for each in events[:EVENTS_SHOWN]]
    left = len(events) - len(lines)
    lines += [f"… and {left} more, each with its page"] if left else []
    chunks = [
        blockkit.section("\n".join(lines[first : first + EVENTS_A_BLOCK]))
        for first in range(0, len(lines), EVENTS_A_BLOCK)
    ]
    blocks = [blockkit.section(f"📋 *{blockkit.escape(words)}*"), *chunks]
    return _told(DIGEST, "digest", until.isoformat(), words, blocks, audience=Audience.LOW_SIGNIFICANCE)


def _quiet(known: EventHistory) -> str:
    """Say an event in one line, with its number of notices and whether it was retracted since."""
    told = len(known.notices)
    count = f" {told} notices." if told > 1 else ""
    state = " Retracted since." if known.state is EventState.RETRACTED else ""
    return f"{number_words.sentence(known.shown.alert)}{count}{state}"


def _gap(span: Span) -> str:
    since, until = (number_words.moment(each.replace(microsecond=0)) for each in (span.since, span.until))
    return f"from {since} to {until}"


def _told(
    subject: str,
    kind: str,
    key: str,
    words: str,
    blocks: list[blockkit.Block],
    *,
    audience: Audience = Audience.OPERATORS,
) -> Outgoing:
    made = blockkit.rendered(words, blocks)
    return Outgoing(
        subject=subject,
        kind=kind,
        key=key,
        audience=audience,
        mode="top",
        text=made.text,
        blocks=made.blocks,
    )
