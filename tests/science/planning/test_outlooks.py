"""How a position can be observed: Sun and Moon as the mission states them, windows as astropy computes altitudes."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime

import astropy.units as u
import pytest
from astropy.coordinates import AltAz, EarthLocation, SkyCoord, get_sun
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
