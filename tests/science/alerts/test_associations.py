"""Which events may be one thing in the sky."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from support import alerts

from tasks.records import Kind
from tasks.science.alerts import coincidences

SWIFT = alerts.grb().notice


def fermi(*, seconds: float = 5.0, away_deg: float = 0.0, error_deg: float | None = 3.0, **changes):
    place = {"ra_deg": SWIFT.ra_deg, "dec_deg": SWIFT.dec_deg + away_deg, "error_deg": error_deg, "containment": 0.68}
    values = {"mission": "Fermi", "instrument": "GBM", "event_id": "1", "time": SWIFT.time + timedelta(seconds=seconds)}
    return replace(SWIFT, **(values | place | changes))


@pytest.mark.parametrize(("seconds", "linked"), [(0, True), (59.9, True), (-59.9, True), (60.1, False), (-61, False)])
def test_only_what_is_close_in_time_is_one(seconds: float, linked: bool) -> None:
    assert bool(coincidences.evidence(SWIFT, fermi(seconds=seconds), within_s=60)) is linked


def test_places_must_agree_within_both_errors() -> None:
    allowed = coincidences.allowed_deg(fermi())
    assert coincidences.evidence(SWIFT, fermi(away_deg=0.9 * allowed), within_s=60).startswith("5.0 s apart, ")
    assert coincidences.evidence(SWIFT, fermi(away_deg=1.1 * allowed), within_s=60) == ""


def test_the_allowed_radius_leaves_out_three_in_a_thousand(rng: np.random.Generator) -> None:
    notice = fermi()
    sigma_deg = notice.error_deg / np.sqrt(-2 * np.log(1 - 0.68))
    away_deg = np.hypot(*rng.normal(scale=sigma_deg, size=(2, 200_000)))
    assert np.mean(away_deg > coincidences.allowed_deg(notice)) == pytest.approx(0.003, abs=0.0005)


def test_a_place_that_is_not_known_speaks_neither_way() -> None:
    words = coincidences.evidence(SWIFT, fermi(ra_deg=None, dec_deg=None), within_s=60)
    assert "without two places" in words


def test_a_map_decides_where_there_is_one() -> None:
    merger = alerts.gw(time=SWIFT.time).notice
    assert merger.kind is Kind.GW
    assert "inside the 42 %" in coincidences.evidence(merger, SWIFT, within_s=60, credible_level=0.42)
    assert coincidences.evidence(merger, SWIFT, within_s=60, credible_level=0.9999) == ""


def test_one_mission_a_test_and_an_unknown_time_are_never_linked() -> None:
    assert coincidences.evidence(SWIFT, fermi(mission="Swift"), within_s=60) == ""
    assert coincidences.evidence(SWIFT, fermi(test=True), within_s=60) == ""
    assert coincidences.evidence(SWIFT, fermi(time=None), within_s=60) == ""
