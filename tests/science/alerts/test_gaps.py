"""Gaps between messages."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tasks.records.backfills import Span
from tasks.science.alerts import listening_gaps

START = datetime(2026, 1, 1, tzinfo=UTC)
HALF_A_DAY = timedelta(hours=12)


def at(*hours: float) -> list[datetime]:
    return [START + timedelta(hours=each) for each in hours]


def test_a_long_silence_is_a_gap_and_a_quiet_hour_is_none():
    [gap] = listening_gaps.between(at(0, 1, 2, 242, 243), now=START + timedelta(hours=244), longer_than=HALF_A_DAY)
    assert gap == Span(since=at(2)[0], until=at(242)[0])


def test_a_silence_that_lasts_until_now_is_a_gap():
    [gap] = listening_gaps.between(at(0), now=START + timedelta(days=10), longer_than=HALF_A_DAY)
    assert gap.until == START + timedelta(days=10)


def test_who_never_listened_has_no_gap():
    assert listening_gaps.between([], now=START, longer_than=HALF_A_DAY) == ()


def test_a_gap_inside_a_span_that_is_done_is_left_out():
    gap, other = (Span(since=since, until=until) for since, until in (at(2, 20), at(30, 60)))
    done = Span(since=START, until=at(21)[0])
    assert listening_gaps.left([gap, other], [done]) == (other,)
