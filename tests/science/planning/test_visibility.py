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
from tasks.science.planning.visibility import Refusal

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
    apart = directions.separations_deg(sky.moon, directions.unit_vectors(10.0, -30.0))
    np.testing.assert_allclose(apart, moon.separation(star.transform_to(frame)).deg, atol=0.02)


def test_every_limit_refuses_what_astropy_says_is_beyond_it(frame, rng) -> None:
    ra_deg, dec_deg = rng.uniform(0, 360, 300), np.degrees(np.arcsin(rng.uniform(-1, 1, 300)))
    limits = Limits(sun_altitude_deg=-15, minimum_altitude_deg=35, moon_distance_deg=60, declination_deg=(-70.0, 20.0))
    sky, points = visibility.over(SITE, seconds()), directions.unit_vectors(ra_deg, dec_deg)
    stars = SkyCoord(ra_deg[:, None] * u.deg, dec_deg[:, None] * u.deg).transform_to(frame[None, :])
    moon = get_body("moon", frame.obstime, frame.location).transform_to(frame)
    sun_deg = get_sun(frame.obstime).transform_to(frame).alt.deg
    # how far beyond its limit a place is, in degrees: refused where that is positive
    beyond = {
        Refusal.SUN: sun_deg[None, :] + 15 + 0 * stars.alt.deg,
        Refusal.DECLINATION: np.maximum(-70 - dec_deg, dec_deg - 20)[:, None] + 0 * stars.alt.deg,
        Refusal.ALTITUDE: 35 - stars.alt.deg,
        Refusal.MOON: np.minimum(60 - moon[None, :].separation(stars).deg, moon.alt.deg),
    }
    refused = visibility.refusals(sky, points, limits)
    assert set(refused) == set(beyond) == set(Refusal)
    for reason, excess in beyond.items():
        sure = np.abs(excess) > 0.03
        assert sure.mean() > 0.99
        np.testing.assert_array_equal(refused[reason][sure], excess[sure] > 0)
        assert 0.05 < refused[reason].mean() < 0.95
    np.testing.assert_array_equal(
        visibility.observable(sky, points, limits), ~np.any([refused[reason] for reason in Refusal], axis=0)
    )


def test_a_declination_on_the_limit_is_within_it() -> None:
    dec_deg = np.array([-90.0, -25.000001, -25.0, 0.1, 40.0, 40.000001, 90.0])
    points = directions.unit_vectors(np.linspace(0, 350, 7), dec_deg)
    within = visibility.within_declination(points, Limits(declination_deg=(-25.0, 40.0)))
    np.testing.assert_array_equal(within, [False, False, True, True, True, False, False])
    assert visibility.within_declination(points, Limits()).all()


def test_the_sun_refuses_no_time_of_a_night() -> None:
    nights = visibility.nights(SITE, START, START + timedelta(days=40), -12.0)
    sky = visibility.over(SITE, np.concatenate(nights))
    refused = visibility.refusals(sky, np.array([[0.0, 0.0, 1.0]]), Limits(sun_altitude_deg=-12.0))
    assert not refused[Refusal.SUN].any()


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
    refused = visibility.refusals(sky, sky.moon, limits)[Refusal.MOON]
    np.testing.assert_array_equal(np.diag(refused), sky.moon_altitude_deg >= 0)


def test_airmass_is_one_overhead_and_finite_at_the_horizon() -> None:
    found = visibility.airmass([90.0, 30.0, 0.0, -1.0])
    np.testing.assert_allclose(found[:2], [1.0, 1.995], rtol=2e-3)
    assert 35 < found[2] < 42
    assert np.isnan(found[3])


def test_moments_round_trip_to_the_millisecond() -> None:
    moment = datetime(2026, 1, 15, 23, 59, 59, 123000, tzinfo=UTC)
    assert visibility.moment(visibility.unix(moment)) == moment
