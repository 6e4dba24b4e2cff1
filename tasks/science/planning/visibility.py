"""Visibility from a site: darkness, declination, altitude, airmass, distance from the Moon.

Only ``refusals`` applies the limits of a telescope: plans and outlooks call it.

The Earth's orientation is the IAU 2006/2000A precession-nutation and sidereal time at UT1 = UTC and without
polar motion: within 0.005 deg of the complete model, and no table is downloaded. Directions are those of the
catalogue (no aberration, no refraction). Sun and Moon are ERFA's ``epv00`` and ``moon98``; the Moon is seen
from the site, whose parallax is up to 1 deg.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import erfa  # type: ignore[import-untyped]  # pyerfa carries no types
import numpy as np
import numpy.typing as npt

from tasks import constants
from tasks.records import Limits, Site

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

# IAU 2012 resolution B2
AU_KM = 149597870.7
# equatorial radius and flattening of WGS 84
EARTH_RADIUS_KM, WGS84_FLATTENING = 6378.137, 1 / 298.257223563
# near twilight; its error is given below
NIGHT_STEP_S = 60.0
# of plans and outlooks: in five minutes a position moves by 1.3 deg at most
STEP_S = 300.0
# far from twilight the Sun is computed only at each tenth of these times
STEPS_AT_ONCE = 10
# more than the Sun's change of altitude in so many steps
NEAR_DEG = 3.0
# twilight is interpolated between two times a minute apart: 0.0002 deg off at most
TWILIGHT_DEG = 0.001
# rounding of a declination converted to a direction and back
ROUNDING_DEG = 1e-9


class Refusal(enum.StrEnum):
    """Reason why a telescope cannot observe a direction at a time."""

    SUN = "Sun"
    """It is not dark: the Sun is not below the limit."""
    DECLINATION = "declination"
    """The declination is outside the telescope's limits."""
    ALTITUDE = "altitude"
    """The altitude is below the limit."""
    MOON = "Moon"
    """The Moon is up, and too close."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SiteSky:
    """Zenith, Sun and Moon of a site at times (n,), for products with ICRS directions.

    ``zenith`` (n, 3) and ``moon`` (n, 3) are ICRS unit vectors, ``sun_altitude_deg`` and ``moon_altitude_deg`` (n,).
    """

    unix_s: Floats
    zenith: Floats
    moon: Floats
    sun_altitude_deg: Floats
    moon_altitude_deg: Floats


def unix(moment: datetime) -> float:
    """Return seconds since 1970 UTC."""
    return moment.timestamp()


def moment(unix_s: float) -> datetime:
    """Return the UTC time of seconds since 1970, to the millisecond."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=round(unix_s * 1000))


def over(site: Site, unix_s: npt.ArrayLike) -> SiteSky:
    """Return the sky of ``site`` at times in seconds since 1970 UTC, shape (n,)."""
    seconds = np.atleast_1d(np.asarray(unix_s, dtype=float))
    day, fraction = (
        constants.UNIX_EPOCH_JD + np.floor(seconds / constants.DAY_S),
        (seconds % constants.DAY_S) / constants.DAY_S,
    )
    tt = erfa.taitt(*erfa.utctai(day, fraction))
    to_date = erfa.pnm06a(*tt)
    sidereal = erfa.gst06(day, fraction, *tt, to_date) + np.radians(site.longitude_deg)
    latitude = np.radians(site.latitude_deg)
    zenith = _back(to_date, sidereal, np.cos(latitude), np.sin(latitude))
    moon = erfa.moon98(*tt)["p"] * AU_KM - _observer_km(site, to_date, sidereal)
    moon /= np.linalg.norm(moon, axis=1)[:, None]
    sun = -erfa.epv00(*tt)[0]["p"]
    sun /= np.linalg.norm(sun, axis=1)[:, None]
    return SiteSky(
        unix_s=seconds,
        zenith=zenith,
        moon=moon,
        sun_altitude_deg=_elevation(np.einsum("ij,ij->i", zenith, sun)),
        moon_altitude_deg=_elevation(np.einsum("ij,ij->i", zenith, moon)),
    )


def sun_and_moon(unix_s: float) -> tuple[Floats, Floats]:
    """Return the directions (3,) of Sun and Moon from the Earth's centre at seconds since 1970 UTC, ICRS."""
    day, fraction = (
        constants.UNIX_EPOCH_JD + np.floor(unix_s / constants.DAY_S),
        (unix_s % constants.DAY_S) / constants.DAY_S,
    )
    tt = erfa.taitt(*erfa.utctai(day, fraction))
    sun, moon = -erfa.epv00(*tt)[0]["p"], erfa.moon98(*tt)["p"]
    return np.asarray(sun / np.linalg.norm(sun)), np.asarray(moon / np.linalg.norm(moon))


def _back(to_date: Floats, sidereal: Floats, along: float, up: float) -> Floats:
    """Turn a vector of the meridian (towards the equator, towards the pole) from the date's axes to ICRS."""
    of_date = np.stack([along * np.cos(sidereal), along * np.sin(sidereal), np.full_like(sidereal, up)], axis=1)
    return np.asarray(np.einsum("nji,nj->ni", to_date, of_date))


def _observer_km(site: Site, to_date: Floats, sidereal: Floats) -> Floats:
    latitude, height = np.radians(site.latitude_deg), site.elevation_m / 1000
    eccentricity2 = WGS84_FLATTENING * (2 - WGS84_FLATTENING)
    normal = EARTH_RADIUS_KM / np.sqrt(1 - eccentricity2 * np.sin(latitude) ** 2)
    along = (normal + height) * np.cos(latitude)
    up = (normal * (1 - eccentricity2) + height) * np.sin(latitude)
    return _back(to_date, sidereal, float(along), float(up))


def _elevation(sine: Floats) -> Floats:
    return np.asarray(np.degrees(np.arcsin(np.clip(sine, -1, 1))))


def altitudes(sky: SiteSky, points: Floats) -> Floats:
    """Return the altitude in degrees of ICRS directions (m, 3) at the sky's times: (m, n)."""
    return _elevation(points @ sky.zenith.T)


def airmass(altitude_deg: npt.ArrayLike) -> Floats:
    """Return the airmass by Pickering (2002), NaN below the horizon."""
    altitude = np.asarray(altitude_deg, dtype=float)
    up = np.where(altitude >= 0, altitude, np.nan)
    return np.asarray(1 / np.sin(np.radians(up + 244 / (165 + 47 * up**1.1))))


def nights(site: Site, start: datetime, end: datetime, sun_altitude_deg: float) -> tuple[tuple[float, float], ...]:
    """Return the intervals (seconds since 1970) within a window in which the Sun is below an altitude."""
    first, last = unix(start), unix(end)
    times = _near_twilight(site, first, last, sun_altitude_deg)
    height = over(site, times).sun_altitude_deg - sun_altitude_deg
    dark = height < 0
    change = np.flatnonzero(dark[1:] != dark[:-1])
    slope = (height[change + 1] - height[change]) / (times[change + 1] - times[change])
    crossings = times[change] - height[change] / slope
    bounds = [*([first] if dark[0] else []), *crossings.tolist(), *([last] if dark[-1] else [])]
    return tuple(zip(bounds[::2], bounds[1::2], strict=True))


def _near_twilight(site: Site, first: float, last: float, sun_altitude_deg: float) -> Floats:
    """Return times over a window, dense near the Sun's crossings of an altitude."""
    times = np.append(np.arange(first, last, NIGHT_STEP_S), last)
    strides = np.append(np.arange(0, len(times) - 1, STEPS_AT_ONCE), len(times) - 1)
    near = np.abs(over(site, times[strides]).sun_altitude_deg - sun_altitude_deg) < NEAR_DEG
    wanted = np.repeat(near[1:] | near[:-1], np.diff(strides))
    return np.asarray(times[np.union1d(np.flatnonzero(wanted), strides)])


def steps(intervals: Sequence[tuple[float, float]], step_s: float, block_s: float = 0.0) -> Floats:
    """Return times, ``step_s`` apart, at which a block of ``block_s`` starts and ends within an interval."""
    return np.concatenate([*(np.arange(first, last - block_s, step_s) for first, last in intervals), np.empty(0)])


def refusals(sky: SiteSky, points: Floats, limits: Limits) -> dict[Refusal, Flags]:
    """Return by reason where a limit forbids ICRS directions (m, 3) at the sky's times (n,): flags (m, n)."""
    refused = {
        Refusal.SUN: sky.sun_altitude_deg > limits.sun_altitude_deg + TWILIGHT_DEG,
        Refusal.DECLINATION: ~within_declination(points, limits)[:, None],
        Refusal.ALTITUDE: points @ sky.zenith.T < np.sin(np.radians(limits.minimum_altitude_deg)),
        # a Moon below the horizon does not matter
        Refusal.MOON: (points @ sky.moon.T > np.cos(np.radians(limits.moon_distance_deg)))
        & (sky.moon_altitude_deg >= 0),
    }
    shape = (len(points), len(sky.unix_s))
    return {reason: np.broadcast_to(flags, shape) for reason, flags in refused.items()}


def observable(sky: SiteSky, points: Floats, limits: Limits) -> Flags:
    """Return at which of the sky's times (n,) no limit forbids ICRS directions (m, 3): flags (m, n)."""
    return np.asarray(~np.logical_or.reduce(list(refusals(sky, points, limits).values())))


def within_declination(points: Floats, limits: Limits) -> Flags:
    """Return which ICRS directions (m, 3) are within a telescope's declination limits, inclusive."""
    dec_deg = np.degrees(erfa.c2s(points)[1])
    lowest, highest = limits.declination_deg
    return np.asarray((dec_deg >= lowest - ROUNDING_DEG) & (dec_deg <= highest + ROUNDING_DEG))
