"""Numbers as text: published values, with Astropy as the oracle for angles."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pytest
from astropy import units as u
from astropy.coordinates import Angle, SkyCoord
from hypothesis import given
from hypothesis import strategies as st
from support import alerts

from tasks.io.messages import number_words


@pytest.mark.parametrize(
    ("far_hz", "words"),
    [
        (1.79286773809082e-11, "one per 1767 years"),
        (5.577e-08, "one per 207.5 days"),
        (1.465e-05, "one per 19.0 hours"),
        (0.001, "one per 16.7 minutes"),
        (1e-5 / 1e36, "less than one per billion years"),
        (0.0, "practically never"),
        (None, "not given"),
        (math.nan, "not given"),
    ],
)
def test_a_rate_is_one_event_per_so_much_time(far_hz: float | None, words: str) -> None:
    assert number_words.rate(far_hz) == words


@pytest.mark.parametrize(
    ("probability", "words"),
    [(0.0, "0 %"), (1e-60, "< 1 %"), (0.62, "62 %"), (0.999, "> 99 %"), (1.0, "100 %"), (None, "not given")],
)
def test_a_percentage_is_never_rounded_to_certainty(probability: float | None, words: str) -> None:
    assert number_words.percent(probability) == words


@given(ra=st.floats(0, 360, exclude_max=True), dec=st.floats(-90, 90))
def test_sexagesimal_coordinates_survive_a_round_trip(ra: float, dec: float) -> None:
    back_ra = Angle(number_words.right_ascension(ra), unit=u.hourangle).deg
    back_dec = Angle(number_words.declination(dec).replace(number_words.MINUS, "-"), unit=u.deg).deg
    assert abs((back_ra - ra + 180) % 360 - 180) * 3600 <= 0.08
    assert abs(back_dec - dec) * 3600 <= 0.051


def test_the_published_positions_are_written_as_published() -> None:
    assert number_words.right_ascension(330.2169) == "22:00:52.06"
    assert number_words.declination(-9.1670) == "\u221209:10:01.2"
    assert number_words.right_ascension(359.99999999) == "00:00:00.00"
    assert number_words.declination(-1e-9) == "+00:00:00.0"


@given(ra=st.floats(0, 360), dec=st.floats(-90, 90))
def test_galactic_latitude_is_astropys(ra: float, dec: float) -> None:
    expected = SkyCoord(ra, dec, unit="deg").galactic.b.deg
    assert number_words.galactic_latitude_deg(ra, dec) == pytest.approx(expected, abs=1e-4)


def test_the_separation_of_two_positions_is_astropys() -> None:
    bat, xrt = alerts.grb(), alerts.grb("XRT", ra_deg=74.7510, dec_deg=-9.3095)
    expected = SkyCoord(330.2169, -9.1670, unit="deg").separation(SkyCoord(74.7510, -9.3095, unit="deg")).deg
    assert number_words.separation_deg(bat.notice, xrt.notice) == pytest.approx(expected)
    assert number_words.separation_deg(bat.notice, alerts.grb(ra_deg=None).notice) is None


def test_an_error_radius_is_in_the_unit_that_reads_best() -> None:
    assert number_words.radius(alerts.grb(error_deg=0.05).notice) == "3.0\u2032"
    assert number_words.radius(alerts.grb(error_deg=0.0014).notice) == "5.0\u2033"
    assert number_words.radius(alerts.grb(error_deg=4.2, containment=0.68).notice) == "4.2° (68 %)"
    assert number_words.radius(alerts.grb(error_deg=None).notice) == "error not given"


def test_times_are_utc_and_delays_may_be_negative() -> None:
    time = datetime(2024, 11, 2, 23, 59, 59, 999900, tzinfo=UTC)
    assert number_words.moment(time) == "2024-11-03 00:00:00 UTC"
    assert number_words.moment(alerts.T0) == "2024-11-02 12:40:58.799 UTC"
    assert number_words.delay(alerts.CREATED, alerts.T0) == "28 s after T0"
    assert number_words.delay(alerts.T0 - timedelta(seconds=6), alerts.T0) == "6.0 s before T0"
    assert number_words.duration(553) == "9 min 13 s"
    assert number_words.duration(2 * 86400 + 3 * 3600 + 59) == "2 d 3 h"


def test_an_alert_is_said_in_one_sentence() -> None:
    assert number_words.sentence(alerts.gw(), "GO") == (
        "S241102br PRELIMINARY: BNS 62 %, 165 deg² (90 %), 465 ± 93 Mpc, one per 1767 years; GO."
    )
    assert number_words.sentence(alerts.gw(maps=False, classification=None, test=True)) == (
        "TEST S241102br PRELIMINARY: class not given, no map yet, one per 1767 years."
    )
    assert number_words.sentence(alerts.retraction()) == "S241102br was retracted."
    assert (
        number_words.sentence(alerts.grb()) == "Swift 1423875 INITIAL: BAT, 22:00:52.06 \u221209:10:01.2 ± 3.0\u2032."
    )
