"""When one looks again at a burst."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from support import alerts

from tasks.options import RevisitOptions
from tasks.science.alerts import revisit_times

T0 = datetime(2026, 1, 1, tzinfo=UTC)


def test_the_page_is_read_at_3_6_10_20_40_minutes_then_hourly_to_6_hours() -> None:
    made = revisit_times.moments(T0, RevisitOptions(bat_page=True))
    assert [(each - T0) / timedelta(minutes=1) for each in made] == [3, 6, 10, 20, 40, 60, 120, 180, 240, 300, 360]


def test_without_the_page_there_is_one_look_for_xrt() -> None:
    assert revisit_times.moments(T0, RevisitOptions(xrt_minutes=12)) == (T0 + timedelta(minutes=12),)
    moments = revisit_times.moments(T0, RevisitOptions())
    assert revisit_times.following(moments, T0) == T0 + timedelta(minutes=10)
    assert revisit_times.following(moments, T0 + timedelta(minutes=10)) is None


def test_a_sky_map_is_looked_for_after_its_notice_came() -> None:
    moments = revisit_times.map_moments(T0, RevisitOptions(map_minutes=(30, 1)))
    assert moments == (T0 + timedelta(minutes=1), T0 + timedelta(minutes=30))
    assert revisit_times.map_moments(T0, RevisitOptions(map_minutes=())) == ()


def test_xrt_is_missed_when_its_time_is_over_and_only_bat_was_heard() -> None:
    bat, xrt = alerts.grb("BAT").notice, alerts.grb("XRT").notice
    later = {"trigger": T0, "now": T0 + timedelta(minutes=10)}
    assert revisit_times.misses_xrt([bat], RevisitOptions(), **later)
    assert not revisit_times.misses_xrt([bat, xrt], RevisitOptions(), **later)
    assert not revisit_times.misses_xrt([xrt], RevisitOptions(), **later)
    assert not revisit_times.misses_xrt([bat], RevisitOptions(), trigger=T0, now=T0 + timedelta(minutes=9))
