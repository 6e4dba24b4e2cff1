"""Simulated sky of a field: stars along a stellar locus, galaxies, and transients."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from astropy.coordinates import angular_separation
from numpy.typing import NDArray

from tasks import constants
from tasks.science.simulation import bands
from tasks.science.simulation.bands import Floats

# a field at galactic latitude of about -10 deg: cumulative counts rise by 0.28 dex per mag; the density gives some
# 2500 stars with 12 < G < 20 in 20' x 13.4'
COUNTS_SLOPE, STARS_PER_DEG2 = 0.28, 63_600.0
# stars from saturated ones to those below the limit of a stack; the catalogue ends earlier, as Gaia's
BRIGHTEST_MAG, FAINTEST_MAG, CATALOGUE_LIMIT_MAG = 9.5, 21.0, 20.0
# larger than any offset of a frame from the field
MARGIN_DEG = 0.1


@dataclass(frozen=True, kw_only=True)
class SimulatedStars:
    """Stars of one field, arrays of one length: ICRS degrees at J2016, mas/yr, mas, mag."""

    source_id: NDArray[np.int64]
    ra_deg: Floats
    dec_deg: Floats
    pmra_mas: Floats
    pmdec_mas: Floats
    parallax_mas: Floats
    g_mag: Floats
    bp_rp: Floats

    def positions(self, year: float) -> tuple[Floats, Floats]:
        """Return RA and Dec in degrees at a Julian year; ``pmra_mas`` holds the factor cos(Dec), as Gaia's."""
        years = year - constants.GAIA_EPOCH_YEAR
        dec = self.dec_deg + self.pmdec_mas * years / constants.MAS_PER_DEG
        ra = self.ra_deg + self.pmra_mas * years / constants.MAS_PER_DEG / np.cos(np.radians(self.dec_deg))
        return ra % 360, dec


@dataclass(frozen=True, kw_only=True)
class SimulatedGalaxies:
    """Exponential discs: half-light radius along the major axis in arcsec, axis ratio, angle east of north in rad."""

    ra_deg: Floats
    dec_deg: Floats
    r_mag: Floats
    radius_arcsec: Floats
    axis_ratio: Floats
    angle_rad: Floats


@dataclass(frozen=True, kw_only=True)
class Transients:
    """New point sources; ``host`` is the galaxy's index or -1; ``snr`` is that of the nominal stack in every filter."""

    ra_deg: Floats
    dec_deg: Floats
    host: NDArray[np.int64]
    snr: Floats


def from_tangent(xi_deg: Floats, eta_deg: Floats, centre: tuple[float, float]) -> tuple[Floats, Floats]:
    """Return RA and Dec in degrees of gnomonic coordinates about ``centre`` (RA, Dec in degrees)."""
    xi, eta = np.radians(xi_deg), np.radians(eta_deg)
    dec0 = np.radians(centre[1])
    across = np.cos(dec0) - eta * np.sin(dec0)
    ra = centre[0] + np.degrees(np.arctan2(xi, across))
    dec = np.degrees(np.arctan2(np.sin(dec0) + eta * np.cos(dec0), np.hypot(xi, across)))
    return ra % 360, dec


def draw_stars(
    centre: tuple[float, float], half_size_deg: tuple[float, float], rng: np.random.Generator
) -> SimulatedStars:
    """Draw the stars of a field of half width and half height ``half_size_deg`` and a margin around it."""
    half_x, half_y = (half + MARGIN_DEG for half in half_size_deg)
    n = int(rng.poisson(STARS_PER_DEG2 * 4 * half_x * half_y))
    ra, dec = from_tangent(rng.uniform(-half_x, half_x, n), rng.uniform(-half_y, half_y, n), centre)
    g_mag = _power_law_mags(rng, n)
    return SimulatedStars(
        source_id=5_600_000_000_000_000_000 + np.arange(n, dtype=np.int64) * 128,
        ra_deg=ra,
        dec_deg=dec,
        pmra_mas=rng.normal(-1.5, 4.0, n),
        pmdec_mas=rng.normal(1.5, 4.0, n),
        parallax_mas=rng.gamma(2.0, 0.25, n),
        g_mag=g_mag,
        bp_rp=_colours(rng, g_mag),
    )


def draw_galaxies(
    centre: tuple[float, float], half_size_deg: tuple[float, float], number: int, rng: np.random.Generator
) -> SimulatedGalaxies:
    """Draw ``number`` galaxies of 14.5 < r < 18.5 within the field, the first half of them well inside."""
    reach = np.where(np.arange(number) < number // 2, 0.5, 1.0)
    xi, eta = (rng.uniform(-half, half, number) * reach for half in half_size_deg)
    ra, dec = from_tangent(xi, eta, centre)
    r_mag = 14.5 + 4.0 * np.sqrt(rng.random(number))
    return SimulatedGalaxies(
        ra_deg=ra,
        dec_deg=dec,
        r_mag=r_mag,
        radius_arcsec=4.0 * 10 ** (-0.15 * (r_mag - 15.5)) * rng.lognormal(0.0, 0.2, number),
        axis_ratio=rng.uniform(0.4, 1.0, number),
        angle_rad=rng.uniform(0, np.pi, number),
    )


def galaxy_mags(galaxies: SimulatedGalaxies, name: str) -> Floats:
    """Return magnitudes in a filter: every galaxy has the colours of a star with BP - RP = 1.1."""
    colour = np.full_like(galaxies.r_mag, 1.1)
    zero = np.zeros_like(colour)
    shift: Floats = bands.star_mags(zero, colour, name) - bands.star_mags(zero, colour, "r")
    return galaxies.r_mag + shift


def draw_transients(
    centre: tuple[float, float],
    half_size_deg: tuple[float, float],
    number: int,
    *,
    stars: SimulatedStars,
    galaxies: SimulatedGalaxies,
    rng: np.random.Generator,
) -> Transients:
    """Draw transients inside the half sizes, clear of bright stars and of one another; every third has a host.

    Their signal to noise in the nominal stack runs from 15 to 110, in equal steps of its logarithm.
    """
    ra, dec, host = _candidates(centre, half_size_deg, galaxies, rng)
    clear = _clear_of_bright_stars(ra, dec, stars)
    chosen = _spread(ra[clear], dec[clear], host[clear], number)
    kept = np.flatnonzero(clear)[chosen]
    snr = rng.permutation(np.geomspace(15, 110, max(number, 2))[:number])
    return Transients(ra_deg=ra[kept], dec_deg=dec[kept], host=host[kept], snr=snr[: len(kept)])


def _power_law_mags(rng: np.random.Generator, n: int) -> Floats:
    low, high = 10 ** (COUNTS_SLOPE * BRIGHTEST_MAG), 10 ** (COUNTS_SLOPE * FAINTEST_MAG)
    mags: Floats = np.log10(rng.uniform(low, high, n)) / COUNTS_SLOPE
    return mags


def _colours(rng: np.random.Generator, g_mag: Floats) -> Floats:
    """Draw BP - RP: a turn-off population, and red dwarfs whose share grows to the faint end."""
    red = rng.random(len(g_mag)) < np.clip(0.05 * (g_mag - 12), 0.1, 0.45)
    colour = np.where(red, rng.normal(1.9, 0.35, len(g_mag)), rng.normal(0.95, 0.18, len(g_mag)))
    return np.clip(colour, 0.2, 2.7)


def _candidates(
    centre: tuple[float, float],
    half_size_deg: tuple[float, float],
    galaxies: SimulatedGalaxies,
    rng: np.random.Generator,
) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Return many possible positions: every third near a galaxy's centre if that lies inside."""
    n = 600
    half_x, half_y = half_size_deg
    ra, dec = from_tangent(rng.uniform(-half_x, half_x, n), rng.uniform(-half_y, half_y, n), centre)
    host = np.full(n, -1, dtype=np.int64)
    xi = _turn(galaxies.ra_deg - centre[0]) * np.cos(np.radians(centre[1]))
    inside = np.flatnonzero((np.abs(xi) < 0.97 * half_x) & (np.abs(galaxies.dec_deg - centre[1]) < 0.97 * half_y))
    places = np.arange(0, n, 3)[: len(inside)]
    hosts = inside[: len(places)]
    reach = galaxies.radius_arcsec[hosts] / 3600 * rng.uniform(0.5, 1.5, len(places))
    angle = rng.uniform(0, 2 * np.pi, len(places))
    ra[places] = galaxies.ra_deg[hosts] + reach * np.cos(angle) / np.cos(np.radians(galaxies.dec_deg[hosts]))
    dec[places] = galaxies.dec_deg[hosts] + reach * np.sin(angle)
    host[places] = hosts
    return ra, dec, host


def _clear_of_bright_stars(ra: Floats, dec: Floats, stars: SimulatedStars) -> NDArray[np.bool_]:
    """Keep 25" from stars that may saturate (G < 13), 8" from G < 16, 4" from G < 19."""
    clear = np.ones(len(ra), dtype=bool)
    for limit_mag, distance_arcsec in ((13.0, 25.0), (16.0, 8.0), (19.0, 4.0)):
        bright = stars.g_mag < limit_mag
        apart = _apart_arcsec(ra[:, None], dec[:, None], stars.ra_deg[bright], stars.dec_deg[bright])
        clear &= ~np.any(apart < distance_arcsec, axis=1)
    return clear


def _turn(difference_deg: Floats) -> Floats:
    """Bring differences of right ascension between -180 and 180 deg."""
    return (difference_deg + 180) % 360 - 180


def _apart_arcsec(ra_deg: Floats, dec_deg: Floats, other_ra_deg: Floats, other_dec_deg: Floats) -> Floats:
    places = (np.radians(each) for each in (ra_deg, dec_deg, other_ra_deg, other_dec_deg))
    return np.asarray(3600 * np.degrees(angular_separation(*places)))


def _spread(ra: Floats, dec: Floats, host: NDArray[np.int64], number: int) -> list[int]:
    """Choose the first positions that lie 20" from one another and do not share a host."""
    chosen: list[int] = []
    for i in range(len(ra)):
        near = _apart_arcsec(ra[chosen], dec[chosen], ra[i], dec[i]) < 20
        if not near.any() and (host[i] < 0 or host[i] not in host[chosen]):
            chosen.append(i)
        if len(chosen) == number:
            break
    return chosen
