"""Which of an event's positions is believed."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from support import alerts

from tasks.science.alerts import best_position


def test_the_smallest_error_wins_whatever_the_order() -> None:
    bat, xrt = alerts.grb("BAT"), alerts.grb("XRT", seconds=80, error_deg=0.0014)
    uvot = alerts.grb("UVOT", seconds=120, error_deg=None)
    for order in itertools.permutations((bat, xrt, uvot)):
        assert best_position.best(order) == uvot.notice
    assert best_position.best((bat, xrt)) == xrt.notice


def test_within_an_instrument_the_latest_wins_even_when_it_is_larger() -> None:
    first, second = alerts.grb("XRT", error_deg=0.001), alerts.grb("XRT", seconds=90, error_deg=0.002, ra_deg=330.3)
    assert best_position.best((second, first)) == second.notice


def test_a_notice_without_position_is_no_position() -> None:
    assert best_position.best((alerts.grb("GBM", ra_deg=None, dec_deg=None),)) is None


def test_errors_are_compared_at_the_same_containment():
    wide = alerts.grb(instrument="BAT", error_deg=0.050, containment=0.9)
    tight = alerts.grb(instrument="MXT", error_deg=0.040, containment=0.68, seconds=80)
    assert best_position.error90_deg(tight.notice) == pytest.approx(1.42 * 0.040, rel=0.005)
    assert best_position.best([wide, tight]) is wide.notice


@pytest.mark.parametrize(("stated", "meant"), [(0.5, 0.5), (0.68, 0.68), (0.9, 0.9), (0.95, 0.95), (None, 0.9)])
def test_the_radius_of_90_per_cent_is_that_of_a_drawn_gaussian(rng, stated, meant):
    """A notice that states no containment means 90 %, as those of Swift and SVOM do."""
    radii = np.hypot(*rng.normal(size=(2, 400_000)))
    given, wanted = np.quantile(radii, [meant, 0.9])
    notice = alerts.grb("BAT", error_deg=float(given), containment=stated).notice

    assert best_position.error90_deg(notice) == pytest.approx(wanted, rel=0.005)
