"""Coverage: published numbers, geometry in closed form, mocpy and brute force as oracles."""

from __future__ import annotations

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from mocpy import MOC
from support import skymap_files

from tasks.errors import UnusableData
from tasks.io.planning import pointing_lists
from tasks.io.skymaps import sky_map_files
from tasks.science.skymaps import coverage, footprints, healpix
from tasks.science.skymaps.coverage import covered, rectangle

WHOLE_SKY_DEG2 = 4 * np.pi * healpix.SR_TO_DEG2


@pytest.fixture(scope="module")
def flat():
    """The same density everywhere: probability is area."""
    return sky_map_files.read(skymap_files.multiorder(np.arange(4, 16), np.full(12, 1 / (4 * np.pi))))


def at(*centres):
    return tuple(np.array(column, float) for column in zip(*centres, strict=True))


def solid_angle_deg2(width_deg, height_deg):
    """Solid angle of a pyramid with these apex angles."""
    sines = np.sin(np.radians(width_deg) / 2) * np.sin(np.radians(height_deg) / 2)
    return 4 * np.arcsin(sines) * healpix.SR_TO_DEG2


@pytest.fixture(scope="module")
def ztf(shared_data):
    folder = shared_data / "coverage"
    return pointing_lists.read(folder / "ZTF_GW190425_exposures.csv", fields=folder / "ZTF_fields.csv")


@pytest.fixture(scope="module")
def gw190425(shared_data):
    return sky_map_files.read(shared_data / "skymaps/GW190425-bayestar.fits.gz")


def test_597_exposures_of_ztf_covered_half_of_gw190425(ztf, gw190425):
    found = covered(gw190425, ztf.ra_deg, ztf.dec_deg, footprint=rectangle(7.3, 7.3))
    assert len(ztf.ra_deg) == 597
    assert found.fields == 172
    assert found.area_deg2 == pytest.approx(8400, abs=100)
    assert found.probability == pytest.approx(0.53, abs=0.01)


def test_the_union_agrees_with_mocpy(ztf, gw190425):
    centres = np.unique(np.stack([ztf.ra_deg, ztf.dec_deg], axis=1), axis=0)[::6]
    order = 9
    moc = MOC.new_empty(order)
    for ra_deg, dec_deg in centres:
        corners = SkyCoord(*tangent(ra_deg, dec_deg), unit="deg", frame="icrs")
        moc = moc.union(MOC.from_polygon_skycoord(corners, max_depth=order))
    found = covered(gw190425, centres[:, 0], centres[:, 1], footprint=rectangle(7.3, 7.3))
    # mocpy takes every pixel that a side touches, half a pixel too much along it
    rim = 4 * 7.3 * len(centres) * 0.5 * np.degrees(np.sqrt(np.pi / 3)) / 2**order
    theirs = moc.sky_fraction * WHOLE_SKY_DEG2
    assert theirs - 1.5 * rim < found.area_deg2 < theirs


def tangent(ra_deg, dec_deg, side_deg=7.3):
    half = np.degrees(np.tan(np.radians(side_deg) / 2))
    centre = SkyCoord(ra_deg, dec_deg, unit="deg").skyoffset_frame()
    x = np.array([-half, half, half, -half])
    y = np.array([-half, -half, half, half])
    # from the plane to the sphere: longitude atan(x), latitude atan(y cos(longitude))
    lon = np.arctan(np.radians(x))
    lat = np.arctan(np.radians(y) * np.cos(lon))
    corners = SkyCoord(lon * u.rad, lat * u.rad, frame=centre).icrs
    return corners.ra.deg, corners.dec.deg


@pytest.mark.parametrize(("width", "height"), [(1.34, 0.90), (7.3, 7.3), (0.05, 0.05), (30, 10)])
@pytest.mark.parametrize("centre", [(0.0, 0.0), (359.9, 41.0), (120.0, 89.9), (12.0, -90.0)])
def test_a_field_has_the_solid_angle_of_its_pyramid_anywhere(flat, centre, width, height):
    found = covered(flat, *at(centre), footprint=rectangle(width, height))
    assert found.area_deg2 == pytest.approx(solid_angle_deg2(width, height), rel=2e-3)
    assert found.probability == pytest.approx(found.area_deg2 / WHOLE_SKY_DEG2, rel=1e-9)


def test_each_place_counts_once(flat):
    one = covered(flat, *at((10, 5)), footprint=rectangle(2, 2))
    same = covered(flat, *at((10, 5), (370, 5), (10, 5)), footprint=rectangle(2, 2))
    assert same == one
    half = covered(flat, *at((10, 0), (11, 0)), footprint=rectangle(2, 2))
    assert half.area_deg2 == pytest.approx(1.5 * solid_angle_deg2(2, 2), rel=3e-3)
    assert half.fields == 2


def test_coverage_never_exceeds_the_whole(flat):
    ra_deg, dec_deg = np.meshgrid(np.arange(0, 360, 20.0), np.arange(-90, 91, 20.0))
    found = covered(flat, ra_deg.ravel(), dec_deg.ravel(), footprint=rectangle(40, 40))
    assert found.area_deg2 == pytest.approx(WHOLE_SKY_DEG2, rel=1e-9)
    assert found.probability == pytest.approx(1)


def test_the_probability_of_fields_is_that_of_the_positions_in_them(rng):
    skymap = sky_map_files.read(skymap_files.blob(40, -20, sigma_deg=6, order=5))
    ra_deg, dec_deg = rng.uniform(30, 50, 12), rng.uniform(-30, -10, 12)
    found = covered(skymap, ra_deg, dec_deg, footprint=rectangle(4, 3))
    points = np.concatenate([rng.uniform(-1, 1, (200_000, 3))])
    points /= np.linalg.norm(points, axis=1)[:, None]
    ra, dec = np.degrees(np.arctan2(points[:, 1], points[:, 0])), np.degrees(np.arcsin(points[:, 2]))
    near = (np.abs((ra - 40 + 180) % 360 - 180) < 15) & (np.abs(dec + 20) < 15)
    ra, dec = ra[near], dec[near]
    seen = np.zeros(len(ra), bool)
    for centre in zip(ra_deg, dec_deg, strict=True):
        offset = SkyCoord(ra, dec, unit="deg").transform_to(SkyCoord(*centre, unit="deg").skyoffset_frame())
        x, y = np.tan(offset.lon.rad), np.tan(offset.lat.rad) / np.cos(offset.lon.rad)
        seen |= (np.abs(x) < np.tan(np.radians(2))) & (np.abs(y) < np.tan(np.radians(1.5)))
    weight = skymap.density[healpix_rows(skymap, ra, dec)]
    assert found.probability == pytest.approx(weight[seen].sum() / weight.sum(), abs=0.05)


def healpix_rows(skymap, ra_deg, dec_deg):
    from tasks.science.skymaps import credible_regions as science

    return science.rows_at(skymap, ra_deg, dec_deg)


def test_a_mosaic_of_chips_leaves_its_gaps_out(flat):
    chips = (
        np.array([[-1.0, -1.0], [-0.1, -1.0], [-0.1, 1.0], [-1.0, 1.0]]),
        np.array([[0.1, -1.0], [1.0, -1.0], [1.0, 1.0], [0.1, 1.0]]),
    )
    found = covered(flat, *at((200, 30)), footprint=chips)
    gap = solid_angle_deg2(0.2, 2.0)
    assert found.area_deg2 == pytest.approx(solid_angle_deg2(2, 2) - gap, rel=3e-3)


def test_a_polygon_may_be_hollow_or_turned_either_way(flat):
    ell = np.array([[-1, -1], [1, -1], [1, 0], [0, 0], [0, 1], [-1, 1]], float)
    for corners in (ell, ell[::-1]):
        assert covered(flat, *at((80, -50)), footprint=(corners,)).area_deg2 == pytest.approx(3, rel=3e-3)


def test_east_is_where_right_ascension_grows(flat):
    east = (np.array([[0.0, -1], [2, -1], [2, 1], [0, 1]]),)
    ranges = coverage.union(np.array([[100.0, 40.0]]), east)
    inside = healpix.contains(ranges, healpix.place_of([101.0, 99.0, 100.5], [40.0, 40.0, 40.9]))
    assert inside.tolist() == [True, False, True]


def test_the_same_rectangle_as_the_planners(flat):
    from tasks.records import FieldOfView

    ranges = coverage.union(np.array([[33.0, -30.0]]), rectangle(1.34, 0.9))
    theirs = footprints.field_ranges(33.0, -30.0, FieldOfView(width_deg=1.34, height_deg=0.9))
    assert healpix.area_deg2(ranges) == pytest.approx(healpix.area_deg2(healpix.union(theirs)), rel=1e-2)


@pytest.mark.parametrize(
    "polygon",
    [[[0, 0], [1, 1]], [[0, 0], [1, 0], [2, 0]], [[-70, -1], [70, -1], [0, 1]], [[0, 0], [np.nan, 1], [1, 1]]],
)
def test_a_footprint_that_is_none_is_refused(flat, polygon):
    with pytest.raises(UnusableData, match="footprint"):
        covered(flat, *at((0, 0)), footprint=(np.array(polygon, float),))
