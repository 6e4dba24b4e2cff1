"""Sun, Moon, altitude and airmass against astropy."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import AltAz, EarthLocation, SkyCoord, get_body, get_sun
from astropy.time import Time
from astropy.utils import iers

from tasks import telescopes
from tasks.records import Limits
from tasks.science.astrometry import directions
from tasks.science.planning import visibility

SITE = telescopes.load("7DT").site
START = datetime(2024, 11, 2, tzinfo=UTC)


@pytest.fixture(scope="module")
def frame():
    with iers.conf.set_temp("auto_download", False):
        place = EarthLocation.from_geodetic(SITE.longitude_deg, SITE.latitude_deg, SITE.elevation_m)
        yield AltAz(obstime=Time(seconds(), format="unix"), location=place)


def seconds() -> np.ndarray:
    return START.timestamp() + np.arange(0, 2 * 86400, 5400.0)


@pytest.mark.parametrize(("ra_deg", "dec_deg"), [(10.0, -30.0), (200.0, 45.0), (77.0, -85.0)])
def test_altitude_agrees_with_astropy(frame, ra_deg: float, dec_deg: float) -> None:
    expected = SkyCoord(ra_deg * u.deg, dec_deg * u.deg).transform_to(frame).alt.deg
    found = visibility.altitudes(visibility.over(SITE, seconds()), directions.unit_vectors([ra_deg], [dec_deg]))[0]
    np.testing.assert_allclose(found, expected, atol=0.01)


def test_sun_and_moon_stand_where_astropy_puts_them(frame) -> None:
    sky = visibility.over(SITE, seconds())
    moon = get_body("moon", frame.obstime, frame.location).transform_to(frame)
    star = SkyCoord(10 * u.deg, -30 * u.deg)
    np.testing.assert_allclose(sky.sun_altitude_deg, get_sun(frame.obstime).transform_to(frame).alt.deg, atol=0.02)
    np.testing.assert_allclose(sky.moon_altitude_deg, moon.alt.deg, atol=0.02)
    apart = visibility.moon_distances(sky, directions.unit_vectors([10.0], [-30.0]))[0]
    np.testing.assert_allclose(apart, moon.separation(star.transform_to(frame)).deg, atol=0.02)


def test_nights_begin_and_end_where_the_sun_crosses_the_altitude() -> None:
    nights = visibility.nights(SITE, START, START + timedelta(days=3), -12.0)
    assert len(nights) == 3
    for begin, end in nights:
        heights = visibility.over(SITE, [begin, end, (begin + end) / 2]).sun_altitude_deg
        np.testing.assert_allclose(heights[:2], -12.0, atol=0.01)
        assert heights[2] < -12
        assert 7 < (end - begin) / 3600 < 10


def test_a_window_in_daylight_has_no_night() -> None:
    noon = datetime(2024, 11, 2, 15, tzinfo=UTC)
    assert visibility.nights(SITE, noon, noon + timedelta(hours=4), -12.0) == ()


def test_the_moon_matters_only_while_it_is_up() -> None:
    sky = visibility.over(SITE, seconds())
    limits = Limits(moon_distance_deg=30.0)
    at_moon = np.array([visibility.clear_of_moon(sky, sky.moon[[row]], limits)[0, row] for row in range(len(sky.moon))])
    np.testing.assert_array_equal(at_moon, sky.moon_altitude_deg < 0)


def test_airmass_is_one_overhead_and_finite_at_the_horizon() -> None:
    found = visibility.airmass([90.0, 30.0, 0.0, -1.0])
    np.testing.assert_allclose(found[:2], [1.0, 1.995], rtol=2e-3)
    assert 35 < found[2] < 42
    assert np.isnan(found[3])


def test_moments_round_trip_to_the_millisecond() -> None:
    moment = datetime(2026, 1, 15, 23, 59, 59, 123000, tzinfo=UTC)
    assert visibility.moment(visibility.unix(moment)) == moment
