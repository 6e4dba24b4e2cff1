"""A night is at rest when nothing has changed for a while."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tasks.science import manifests

NOW = datetime(2026, 1, 16, 12, tzinfo=UTC)


def entry(name="a.fits", size=10, age_s=300.0):
    return manifests.Entry(name=name, size=size, changed=NOW - timedelta(seconds=age_s))


def test_an_old_folder_is_at_rest():
    assert manifests.at_rest([entry(age_s=120)], now=NOW, quiet_s=120)


def test_one_young_file_keeps_a_folder_awake():
    assert not manifests.at_rest([entry(), entry("b.fits", age_s=119)], now=NOW, quiet_s=120)


def test_an_empty_folder_is_no_night():
    assert not manifests.at_rest([], now=NOW, quiet_s=0)


def test_a_late_or_longer_file_changes_the_manifest_and_a_touched_one_does_not():
    before = manifests.digest([entry(), entry("b.fits")])

    assert manifests.digest([entry("b.fits", age_s=1), entry(age_s=1)]) == before
    assert manifests.digest([entry(), entry("b.fits", size=11)]) != before
    assert manifests.digest([entry(), entry("b.fits"), entry("c.fits")]) != before
