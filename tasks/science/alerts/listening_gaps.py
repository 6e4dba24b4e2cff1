"""Gaps in the stream of messages that are too long to be a quiet sky."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from tasks.records.backfills import Span


def between(arrivals: Sequence[datetime], *, now: datetime, longer_than: timedelta) -> tuple[Span, ...]:
    """Return the long spans without a message, including one that lasts until now.

    Parameters
    ----------
    arrivals
        Times of arrival, ascending. Without any there is no gap: listening has not begun.
    now
        Current time.
    longer_than
        Shortest span that counts as a gap, itself excluded.
    """
    ends = [*arrivals[1:], now]
    pairs = zip(arrivals, ends, strict=True) if arrivals else ()
    return tuple(Span(since=since, until=until) for since, until in pairs if until - since > longer_than)


def left(gaps: Sequence[Span], done: Sequence[Span]) -> tuple[Span, ...]:
    """Return the gaps that no finished span contains."""
    return tuple(gap for gap in gaps if not any(span.since <= gap.since and gap.until <= span.until for span in done))
