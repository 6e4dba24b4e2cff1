"""Footprints against Monte Carlo, mocpy and brute force over pixels."""

from __future__ import annotations

import astropy.units as u
import healpy
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from mocpy import MOC
from support import plans

from tasks.io.skymaps import sky_map_files
from tasks.records import FieldOfView
from tasks.science.astrometry import directions
from tasks.science.skymaps import footprints, healpix

VIEW = FieldOfView(width_deg=1.34, height_deg=0.90)


@pytest.mark.parametrize("dec_deg", [-89.9, -45.0, 0.0, 88.0])
def test_the_area_of_a_field_is_its_solid_angle(dec_deg: float) -> None:
    ranges = footprints.field_ranges(200.0, dec_deg, VIEW)
    half_x, half_y = np.tan(np.radians([0.67, 0.45]))
    exact = 4 * np.arcsin(np.sin(np.arctan(half_x)) * np.sin(np.arctan(half_y))) * healpix.SR_TO_DEG2
    assert healpix.area_deg2(ranges) == pytest.approx(exact, rel=2e-3)


def test_the_probability_of_a_field_is_the_brute_force_sum_over_fine_pixels(rng: np.random.Generator) -> None:
    coarse = rng.random(12 * 8**2)
    map_ = plans.flat(8, coarse)
    pixel = np.arange(12 * 512**2)
    points = np.stack(healpy.pix2vec(512, pixel, nest=True), axis=1)
    view = FieldOfView(width_deg=6.0, height_deg=4.0)
    fine = np.repeat(coarse / coarse.sum(), 64**2) / 64**2
    expected = fine[footprints.inside(points, 33.0, 12.0, view)].sum()
    found = footprints.probability(footprints.field_ranges(33.0, 12.0, view), footprints.curve(map_))
    assert found == pytest.approx(expected, rel=0.01)


def test_union_counts_the_overlap_once_as_mocpy_does() -> None:
    centres = [(10.0, 20.0), (10.7, 20.3), (11.0, 20.0)]
    ranges = [footprints.field_ranges(ra, dec, VIEW) for ra, dec in centres]
    mocs = [
        MOC.from_polygon_skycoord(SkyCoord(footprints.corners(ra, dec, VIEW) * u.deg), max_depth=13)
        for ra, dec in centres
    ]
    together = mocs[0].union(*mocs[1:])
    area = healpix.area_deg2(healpix.union(np.concatenate(ranges)))
    assert area == pytest.approx(together.sky_fraction * footprints.SPHERE_DEG2, rel=0.02)
    assert area < sum(healpix.area_deg2(each) for each in ranges)


def test_the_whole_sky_holds_the_whole_map(rng: np.random.Generator) -> None:
    curve = footprints.curve(plans.flat(16, rng.random(12 * 16**2)))
    assert footprints.probability(np.array([[0, 12 * 4**29]]), curve) == pytest.approx(1.0, abs=1e-12)


def test_tile_probabilities_of_a_real_map_are_near_the_published_schedule(shared_data) -> None:
    """The planner's expected schedule of TRE for S190814bv, made with another tool's footprints."""
    map_ = sky_map_files.read(shared_data / "skymaps" / "S190814bv_5_LALInference.v1.fits.gz")
    curve, view = footprints.curve(map_), FieldOfView(width_deg=4.2, height_deg=4.2)
    lines = (shared_data / "planning" / "expected-gwemopt" / "schedule_TRE.dat").read_text().splitlines()
    for line in lines[:3]:
        ra, dec, expected = (float(line.split()[column]) for column in (1, 2, 6))
        found = footprints.probability(footprints.field_ranges(ra, dec, view), curve)
        assert found == pytest.approx(expected, rel=0.05)


def test_corners_lie_on_the_edge_of_the_field() -> None:
    wide = FieldOfView(width_deg=1.34 * 1.001, height_deg=0.9 * 1.001)
    narrow = FieldOfView(width_deg=1.34 * 0.999, height_deg=0.9 * 0.999)
    outline = footprints.corners(120.0, -70.0, VIEW, per_side=4)
    points = directions.unit_vectors(outline[:, 0], outline[:, 1])
    assert outline.shape == (16, 2)
    assert footprints.inside(points, 120.0, -70.0, wide).all()
    assert not footprints.inside(points, 120.0, -70.0, narrow).any()
