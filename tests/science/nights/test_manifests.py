"""A night is at rest when nothing has changed for a while."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tasks.science.nights import folder_manifests

NOW = datetime(2026, 1, 16, 12, tzinfo=UTC)


def entry(name="a.fits", size=10, age_s=300.0):
    return folder_manifests.Entry(name=name, size=size, changed=NOW - timedelta(seconds=age_s))


def test_an_old_folder_is_at_rest():
    assert folder_manifests.at_rest([entry(age_s=120)], now=NOW, quiet_s=120)


def test_one_young_file_keeps_a_folder_awake():
    assert not folder_manifests.at_rest([entry(), entry("b.fits", age_s=119)], now=NOW, quiet_s=120)


def test_an_empty_folder_is_no_night():
    assert not folder_manifests.at_rest([], now=NOW, quiet_s=0)


def test_a_late_or_longer_file_changes_the_manifest_and_a_touched_one_does_not():
    before = folder_manifests.digest([entry(), entry("b.fits")])

    assert folder_manifests.digest([entry("b.fits", age_s=1), entry(age_s=1)]) == before
    assert folder_manifests.digest([entry(), entry("b.fits", size=11)]) != before
    assert folder_manifests.digest([entry(), entry("b.fits"), entry("c.fits")]) != before


def look(entries, **changes):
    known = {"seen": folder_manifests.digest(entries), "complete": True, "now": NOW, "quiet_s": 120}
    return folder_manifests.settled(entries, **{**known, **changes})


def test_a_night_settles_at_the_second_look_that_finds_it_unchanged():
    night = [entry(), entry("b.fits")]

    assert look(night)
    assert not look(night, seen=None)
    assert not look(night, seen=folder_manifests.digest(night[:1]))
    assert not look([entry(age_s=30)])


def test_a_last_file_that_is_not_complete_is_waited_for_but_not_for_ever():
    assert not look([entry()], complete=False)
    assert look([entry(age_s=3600)], complete=False)


@pytest.mark.parametrize("name", ["end-of-night", "END_OF_NIGHT", ".end_of_night", "end-of-night.txt"])
def test_a_marker_settles_a_night_at_once_and_does_not_change_its_manifest(name):
    night = [entry(age_s=0), entry(name, size=0, age_s=0)]

    assert look(night, seen=None)
    assert folder_manifests.digest(night) == folder_manifests.digest(night[:1])
    assert folder_manifests.last(night) == night[0]
    assert not look([entry(name)])


def due(state, hours, attempts=1, started=None):
    announced = NOW - timedelta(hours=hours)
    return folder_manifests.retry_due(state=state, started=started, announced=announced, attempts=attempts, now=NOW)


def test_a_failed_night_is_tried_again_ever_later_and_then_left_alone():
    assert [due("failed", 0.1), due("failed", 0.2)] == [False, True]
    assert [due("failed", 0.9, 2), due("failed", 1.1, 2)] == [False, True]
    assert [due("failed", 5, 3), due("failed", 7, 3)] == [False, True]
    assert not due("failed", 1000, 4)
    assert due("partial", 0.2)


def test_frames_announced_while_a_run_was_under_way_are_announced_again():
    assert due("done", 1, started=NOW - timedelta(hours=2))
    assert not due("done", 1, started=NOW - timedelta(minutes=50))


def test_a_night_that_is_done_is_not_tried_again_and_a_silent_one_after_half_a_day():
    assert not due("done", 1000)
    assert [due(None, 11), due(None, 13)] == [False, True]
    assert not due("running", 13, started=NOW - timedelta(hours=2))
    assert due("running", 13, started=NOW - timedelta(hours=13))
    assert not due("running", 1000, 4, started=NOW - timedelta(hours=500))
