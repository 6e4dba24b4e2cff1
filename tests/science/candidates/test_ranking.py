"""Sources of a night on an event's sky map."""

from __future__ import annotations

import astropy.units as u
import healpy
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from support import records as make

from tasks.records import SkyMap
from tasks.science.candidates import sky_map_ranking

ORDER, NSIDE = 8, 256


@pytest.fixture(scope="module")
def sky_map() -> SkyMap:
    """A Gaussian of 3 degrees about (110, -30), on pixels of one order."""
    pixels = np.arange(healpy.nside2npix(NSIDE))
    ra, dec = healpy.pix2ang(NSIDE, pixels, nest=True, lonlat=True)
    cosine = np.sin(np.radians(dec)) * np.sin(np.radians(-30)) + np.cos(np.radians(dec)) * np.cos(
        np.radians(-30)
    ) * np.cos(np.radians(ra - 110))
    density = np.exp(-0.5 * (np.degrees(np.arccos(np.clip(cosine, -1, 1))) / 3) ** 2)
    density /= density.sum() * healpy.nside2pixarea(NSIDE)
    return SkyMap(uniq=4 * 4**ORDER + pixels, order=np.full(len(pixels), ORDER), density=density)


def test_detections_of_one_place_are_one_source(sky_map):
    found = sky_map_ranking.sources(
        [
            make.candidate(id="a", filter="r", mag=19.0, snr=20.0),
            make.candidate(id="b", filter="i", mag=18.5, snr=30.0, ra_deg=110.01 + 0.5 / 3600),
            make.candidate(id="c", filter="r", ra_deg=110.5),
        ],
        sky_map,
    )

    assert [each.candidates for each in found] == [("a", "b"), ("c",)]
    assert found[0].filters == ("i", "r")
    assert found[0].mags == {"r": 19.0, "i": 18.5}
    assert found[0].best_snr == 30.0
    assert found[0].detections == 2


@pytest.mark.parametrize(("apart_arcsec", "number"), [(1.4, 1), (1.6, 2), (3.5, 2)])
@pytest.mark.parametrize("direction_deg", [0.0, 90.0])
def test_detections_are_joined_within_1p5_arcsec_in_any_direction(sky_map, apart_arcsec, number, direction_deg):
    """Pixels are 0.5", and the error of a position below 0.4"; astropy sets the distance."""
    there = SkyCoord(110.01, -60.02, unit="deg").directional_offset_by(direction_deg * u.deg, apart_arcsec * u.arcsec)
    pair = [
        make.candidate(id="a", dec_deg=-60.02),
        make.candidate(id="b", ra_deg=there.ra.deg, dec_deg=there.dec.deg, filter="i"),
    ]

    assert len(sky_map_ranking.sources(pair, sky_map)) == number


def test_the_denser_part_of_the_map_comes_first_among_equals(sky_map):
    far = make.candidate(id="far", ra_deg=118.0, snr=90.0)
    near = make.candidate(id="near", ra_deg=110.2, snr=10.0)

    found = sky_map_ranking.sources([far, near], sky_map)

    assert [each.candidates[0] for each in found] == ["near", "far"]
    assert found[0].credible_level < found[1].credible_level


def test_the_credible_level_of_a_gaussian_is_that_of_its_radius(sky_map):
    """A two-dimensional Gaussian holds 1 - exp(-r²/2) within r sigma."""
    radius_deg = 3.0
    [source] = sky_map_ranking.sources([make.candidate(ra_deg=110.0, dec_deg=-30.0 + radius_deg)], sky_map)

    assert source.credible_level == pytest.approx(1 - np.exp(-0.5), abs=0.03)


def test_the_density_is_per_square_degree(sky_map):
    [source] = sky_map_ranking.sources([make.candidate(ra_deg=110.0, dec_deg=-30.0)], sky_map)

    assert source.probability_per_deg2 == pytest.approx(1 / (2 * np.pi * 9), rel=0.05)


def test_flagged_candidates_are_no_sources(sky_map):
    assert sky_map_ranking.sources([make.candidate(flags=("dipole",))], sky_map) == ()
