"""When nothing was heard: the gaps between messages that are too long to be a quiet sky."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from tasks.records.backfills import Span


def between(arrivals: Sequence[datetime], *, now: datetime, longer_than: timedelta) -> tuple[Span, ...]:
    """Return the spans without an arrival, the one that lasts until now included.

    Parameters
    ----------
    arrivals
        When messages came, ascending. Without any there is no gap: nobody has listened yet.
    now
        The time.
    longer_than
        A longer span without a message is a gap.
    """
    ends = [*arrivals[1:], now]
    pairs = zip(arrivals, ends, strict=True) if arrivals else ()
    return tuple(Span(since=since, until=until) for since, until in pairs if until - since > longer_than)


def left(gaps: Sequence[Span], done: Sequence[Span]) -> tuple[Span, ...]:
    """Return the gaps that do not lie within a span that is done."""
    return tuple(gap for gap in gaps if not any(each.since <= gap.since and gap.until <= each.until for each in done))
