"""How a position can be observed: Sun and Moon as the mission states them, windows as astropy computes altitudes."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime

import astropy.units as u
import pytest
from astropy.coordinates import AltAz, EarthLocation, SkyCoord, get_body, get_sun
from astropy.time import Time
from astropy.utils import iers

from tasks import telescopes
from tasks.science.planning import observability

ECLAIRS = (337.5347, -0.3918, datetime(2025, 12, 8, 16, 50, 21, tzinfo=UTC))


def test_sun_and_moon_are_where_the_notice_says():
    found = observability.of_position(*ECLAIRS, ())
    assert found.sun_deg == pytest.approx(82.67, abs=0.1)
    assert found.moon_deg == pytest.approx(146.93, abs=0.5), "the notice's Moon is that of some minutes later"


def test_a_window_begins_and_ends_where_the_place_is_high_in_the_dark():
    telescope = telescopes.load("7DT")
    [view] = observability.of_position(*ECLAIRS, [telescope]).views
    site = EarthLocation(
        lat=telescope.site.latitude_deg * u.deg,
        lon=telescope.site.longitude_deg * u.deg,
        height=telescope.site.elevation_m * u.m,
    )
    with iers.conf.set_temp("auto_download", False), iers.conf.set_temp("iers_degraded_accuracy", "ignore"):
        times = Time([view.start, view.end])
        frame = AltAz(obstime=times, location=site)
        height = SkyCoord(ECLAIRS[0] * u.deg, ECLAIRS[1] * u.deg).transform_to(frame).alt.deg
        sun = get_sun(times).transform_to(frame).alt.deg
    limits = telescope.limits
    assert all(height >= limits.minimum_altitude_deg - 1.3), "a step of 5 min is 1.3 deg at most"
    assert all(sun <= limits.sun_altitude_deg + 0.1)
    assert sun[0] == pytest.approx(limits.sun_altitude_deg, abs=0.1), "it begins at dusk"
    assert height[1] == pytest.approx(limits.minimum_altitude_deg, abs=1.3), "it ends where the place is too low"
    assert view.highest_deg == pytest.approx(height[0], abs=1.0)


def test_a_place_that_never_rises_says_so():
    [view] = observability.of_position(10.0, 80.0, ECLAIRS[2], [telescopes.load("7DT")]).views
    assert view.start is None
    assert view.reason.startswith("too low")


def test_a_place_beyond_a_telescopes_declinations_says_so():
    telescope = telescopes.load("7DT")
    limits = dataclasses.replace(telescope.limits, declination_deg=(-90.0, -5.0))
    [view] = observability.of_position(*ECLAIRS, [dataclasses.replace(telescope, limits=limits)]).views
    assert view.start is None
    assert view.reason == "beyond the telescope's declinations, -90° to -5°"


def test_a_place_beside_the_moon_is_not_observable_and_says_so():
    """Where astropy puts the Moon that evening, as the site sees it; at the same hour 60 degrees away all is well."""
    telescope = telescopes.load("7DT")
    site = EarthLocation(
        lat=telescope.site.latitude_deg * u.deg,
        lon=telescope.site.longitude_deg * u.deg,
        height=telescope.site.elevation_m * u.m,
    )
    evening = datetime(2025, 12, 2, 20, 0, tzinfo=UTC)
    with iers.conf.set_temp("auto_download", False), iers.conf.set_temp("iers_degraded_accuracy", "ignore"):
        moon = get_body("moon", Time("2025-12-03T03:00:00"), site)
        frame = AltAz(obstime=Time("2025-12-03T03:00:00"), location=site)
        assert moon.transform_to(frame).alt.deg > telescope.limits.minimum_altitude_deg, "the Moon is up"
        place = SkyCoord(moon.ra, moon.dec)
        far = place.directional_offset_by(180 * u.deg, 60 * u.deg)
    [near] = observability.of_position(place.ra.deg, place.dec.deg, evening, [telescope]).views
    [free] = observability.of_position(far.ra.deg, far.dec.deg, evening, [telescope]).views

    assert (near.start, near.reason) == (None, "too close to the Moon")
    assert free.start is not None


def test_a_window_is_cut_where_the_moon_comes_too_close():
    """Every moment of the window, and none of the 5-minute steps around it, keeps the distance that astropy measures."""
    telescope = telescopes.load("7DT")
    limit = telescope.limits.moon_distance_deg
    site = EarthLocation(
        lat=telescope.site.latitude_deg * u.deg,
        lon=telescope.site.longitude_deg * u.deg,
        height=telescope.site.elevation_m * u.m,
    )
    evening = datetime(2025, 12, 2, 20, 0, tzinfo=UTC)
    with iers.conf.set_temp("auto_download", False), iers.conf.set_temp("iers_degraded_accuracy", "ignore"):
        middle = get_body("moon", Time("2025-12-03T04:00:00"), site)
        # the Moon moves east by half a degree an hour: it comes within the limit of this place at about 4 h
        place = SkyCoord(middle.ra, middle.dec).directional_offset_by(90 * u.deg, limit * u.deg)
        [view] = observability.of_position(place.ra.deg, place.dec.deg, evening, [telescope]).views
        times = Time([view.start, view.end])
        moon = get_body("moon", times, site)
        apart = SkyCoord(moon.ra, moon.dec).separation(place).deg

    assert apart[0] > limit
    assert apart[1] == pytest.approx(limit, abs=0.1), "it ends where the Moon is too close"
