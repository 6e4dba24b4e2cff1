"""What only operators are told: a gap in what was heard and how it was filled, the words of an automation."""

from __future__ import annotations

from tasks.io import blockkit, wording
from tasks.records import Audience
from tasks.records.backfills import Backfilled, Span
from tasks.records.effects import Outgoing

REFUSED_SHOWN = 10


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


def _gap(span: Span) -> str:
    since, until = (wording.moment(each.replace(microsecond=0)) for each in (span.since, span.until))
    return f"from {since} to {until}"


def _told(subject: str, kind: str, key: str, words: str, blocks: list[blockkit.Block]) -> Outgoing:
    made = blockkit.rendered(words, blocks)
    return Outgoing(
        subject=subject,
        kind=kind,
        key=key,
        audience=Audience.OPERATORS,
        mode="top",
        text=made.text,
        blocks=made.blocks,
    )
