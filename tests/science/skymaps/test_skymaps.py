"""Sky maps in numbers: published values, ligo.skymap, and brute force as oracles."""

from __future__ import annotations

import json
import math

import astropy.units as u
import healpy
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.table import Table
from hypothesis import given, settings
from hypothesis import strategies as st
from ligo.skymap.distance import parameters_to_moments
from ligo.skymap.postprocess.crossmatch import crossmatch
from scipy import integrate, stats
from support import skymap_files

from tasks.io.notices import parsing
from tasks.io.skymaps import sky_map_files as files
from tasks.records import MapRole
from tasks.science.skymaps import credible_regions, distances, healpix

GW = [
    "S241102br-preliminary",
    "S241102br-initial",
    "S241102br-update",
    "S250910b-earlywarning",
    "S241004ap-preliminary",
]
FLAT = {
    "GW170817.fits.gz": (5.001, 16.158, 37.96, 7.49, 1024),
    "GW190425-bayestar.fits.gz": (2805.7, 10182.6, 154.62, 44.62, 256),
    "S190814bv_5_LALInference.v1.fits.gz": (4.756, 23.084, 267.40, 51.59, 1024),
}


@pytest.fixture(scope="module")
def expected(shared_data):
    return json.loads((shared_data / "expected_notices.json").read_text())


@pytest.fixture(scope="module")
def maps(shared_data):
    payloads = {name: (shared_data / f"notices/{name}.json").read_bytes() for name in GW}
    return {name: files.read(parsing.parse(payload).maps[MapRole.GW]) for name, payload in payloads.items()}


@pytest.fixture(scope="module")
def bright(shared_data):
    return files.read(shared_data / "skymaps/GW170817.fits.gz")


@pytest.fixture(scope="module")
def lumps():
    """A small map of mixed orders with a different distance in each pixel."""
    rng = np.random.default_rng(7)
    uniq = np.concatenate([np.arange(5, 16), np.arange(16, 19), np.arange(4 * 19, 4 * 19 + 4)])
    order = (np.log2(uniq // 4) // 2).astype(int)
    weight = rng.dirichlet(np.ones(len(uniq)))
    mu = rng.uniform(-50, 300, len(uniq))
    sigma = rng.uniform(30, 60, len(uniq))
    ones = np.ones(len(uniq))
    return files.read(
        skymap_files.multiorder(uniq, weight / skymap_files.PIXEL_SR[order], distance=(mu, sigma, ones * 1e-5))
    )


# ------------------------------------------------------------------------------------------------------- summaries


@pytest.mark.parametrize("name", GW)
def test_a_real_map_is_summarised_as_expected(maps, expected, name):
    ours, seed = expected["gw"][f"{name}.json"]["ours"], expected["gw"][f"{name}.json"]["seed"]
    found = credible_regions.summary(maps[name], MapRole.GW)
    tolerance = expected["tolerances"]
    assert found.area50_deg2 == pytest.approx(ours["area50_deg2"], rel=tolerance["area_rel"])
    assert found.area90_deg2 == pytest.approx(ours["area90_deg2"], rel=tolerance["area_rel"])
    assert found.seed_area50_deg2 == pytest.approx(seed["area50_deg2"], rel=tolerance["seed_area_rel"])
    assert found.seed_area90_deg2 == pytest.approx(seed["area90_deg2"], rel=tolerance["seed_area_rel"])
    assert found.seed_distance_mpc == pytest.approx(
        float(seed["mean_distance_mpc"]), rel=tolerance["seed_distance_rel"]
    )
    assert found.seed_distance_std_mpc == pytest.approx(seed["mean_sigma_mpc"], rel=tolerance["seed_distance_rel"])
    assert (found.distance_mpc, found.distance_std_mpc) == (ours["distance_mpc"], ours["distance_std_mpc"])
    assert found.peak_ra_deg == pytest.approx(ours["sky_map"]["peak_ra_deg"], abs=tolerance["peak_deg"])
    assert found.peak_dec_deg == pytest.approx(ours["sky_map"]["peak_dec_deg"], abs=tolerance["peak_deg"])
    assert (found.rows, found.creator) == (ours["sky_map"]["rows"], ours["sky_map"]["creator"])


@pytest.mark.parametrize("name", GW)
def test_the_marginal_distance_of_a_real_map_is_as_expected(maps, expected, name):
    wanted = expected["gw"][f"{name}.json"]["ours"]["marginal"]
    found = distances.marginal(maps[name])
    if wanted is None:
        assert found is None
        return
    assert found.mean_mpc == pytest.approx(wanted["mean_mpc"], rel=1e-3)
    assert found.std_mpc == pytest.approx(wanted["std_mpc"], rel=2e-3)
    for quantile in ("p05", "median", "p95"):
        assert getattr(found, f"{quantile}_mpc") == pytest.approx(wanted[f"{quantile}_mpc"], rel=5e-3)


@pytest.mark.parametrize("name", GW)
def test_the_region_with_its_crossing_pixel_has_the_expected_area(maps, expected, name):
    ours = expected["gw"][f"{name}.json"]["ours"]
    for level, key in ((0.5, "area50_with_crossing_pixel_deg2"), (0.9, "area90_with_crossing_pixel_deg2")):
        assert healpix.area_deg2(credible_regions.region(maps[name], level)) == pytest.approx(ours[key], rel=1e-9)


@pytest.mark.parametrize("name", FLAT)
def test_a_flat_map_has_its_published_areas_and_distance(shared_data, bright, name):
    skymap = bright if name.startswith("GW170817") else files.read(shared_data / "skymaps" / name)
    area50, area90, distance, std, nside = FLAT[name]
    found = credible_regions.summary(skymap, MapRole.GW)
    assert found.area50_deg2 == pytest.approx(area50, rel=2e-4)
    assert found.area90_deg2 == pytest.approx(area90, rel=2e-4)
    assert (found.distance_mpc, found.distance_std_mpc) == pytest.approx((distance, std), abs=0.005)
    assert skymap.flat_nside == nside


def test_the_region_of_a_map_of_one_pixel():
    whole = files.read(skymap_files.multiorder([4], [3 / np.pi]))
    found = credible_regions.summary(whole, MapRole.GW)
    one = 4 * np.pi * healpix.SR_TO_DEG2 / 12
    assert (found.area50_deg2, found.area90_deg2) == pytest.approx((0.5 * one, 0.9 * one))
    assert (found.seed_area90_deg2, found.seed_distance_mpc) == (0, np.inf)
    assert (found.distance_mpc, found.distance_median_mpc) == (None, None)


def test_a_seed_region_without_rows_has_no_distance():
    one = files.read(skymap_files.multiorder([4], [3 / np.pi], distance=([100.0], [10.0], [1e-4])))
    assert np.isnan(credible_regions.seed_distance_mpc(credible_regions.rank(one))[0])


# ------------------------------------------------------------------------------------------------------- distances


@pytest.mark.parametrize(
    ("mu", "sigma"), [(100, 20), (100, 1), (5, 30), (-40, 30), (-200, 25), (-700, 30), (-5000, 30)]
)
def test_the_moments_of_a_pixel_are_those_of_its_integral(mu, sigma):
    scale = max(mu + 10 * sigma, 40 * sigma**2 / abs(mu)) if mu < 0 else mu + 10 * sigma
    shift = 0.5 * (mu / sigma) ** 2 if mu < 0 else 0.0

    def density(r, power):
        return r**power * np.exp(-0.5 * ((r - mu) / sigma) ** 2 + shift)

    integrals = [integrate.quad(density, 0, scale, args=(power,), limit=200)[0] for power in (2, 3, 4)]
    mean, second = distances.moments(np.array([float(mu)]), np.array([float(sigma)]))
    tolerance = 1e-6 if mu / sigma > -20 else 0.01
    assert mean[0] == pytest.approx(integrals[1] / integrals[0], rel=tolerance)
    assert second[0] == pytest.approx(integrals[2] / integrals[0], rel=tolerance)


def test_quantiles_of_a_mixture_are_those_of_its_integral(lumps):
    weight = lumps.density * healpix.PIXEL_SR[lumps.order]
    r = np.linspace(0, 700, 70_001)
    density = np.zeros_like(r)
    for p, mu, sigma in zip(weight, lumps.distmu, lumps.distsigma, strict=True):
        one = r**2 * stats.norm.pdf(r, mu, sigma)
        density += p * one / one.sum()
    cumulative = np.cumsum(density)
    found = distances.marginal(lumps)
    assert found.mean_mpc == pytest.approx((density * r).sum(), rel=1e-4)
    assert (found.p05_mpc, found.median_mpc, found.p95_mpc) == pytest.approx(
        tuple(np.interp([0.05, 0.5, 0.95], cumulative, r)), rel=1e-3
    )


def test_the_marginal_agrees_with_the_header_of_a_real_map(maps):
    skymap = maps["S241102br-initial"]
    found = distances.marginal(skymap)
    assert found.mean_mpc == pytest.approx(skymap.distance_mpc, rel=4e-4)
    assert found.std_mpc == pytest.approx(skymap.distance_std_mpc, rel=0.023)


def test_a_map_without_any_distance_has_none():
    uniq, density = np.arange(4, 16), np.full(12, 1 / (4 * np.pi))
    nowhere = (np.full(12, np.inf), np.ones(12), np.zeros(12))
    assert distances.marginal(files.read(skymap_files.multiorder(uniq, density, distance=nowhere))) is None


# ------------------------------------------------------------------------------------------------------- positions


def test_the_host_of_gw170817_lies_where_it_was_found(bright):
    sight = credible_regions.line_of_sight(bright, 197.450354, -23.381484)
    assert sight.credible_level == pytest.approx(0.383, abs=0.01)
    assert (sight.distmu_mpc, sight.distsigma_mpc) == (pytest.approx(36.2, abs=0.1), pytest.approx(7.4, abs=0.1))


def test_density_and_distance_of_a_line_of_sight_agree_with_healpy_and_ligo_skymap(bright):
    place = (197.450354, -23.381484)
    sight = credible_regions.line_of_sight(bright, *place)
    nside = 2**bright.order
    pixel = [healpy.ang2pix(int(n), *place, nest=True, lonlat=True) for n in nside]
    [row] = np.flatnonzero(bright.uniq == np.array(pixel) + 4 * nside.astype(np.int64) ** 2)
    mean, std, _ = parameters_to_moments(bright.distmu[row], bright.distsigma[row])

    assert sight.density_deg2 == pytest.approx(bright.density[row] * (np.pi / 180) ** 2)
    assert (sight.distance_mpc, sight.distance_std_mpc) == (pytest.approx(mean), pytest.approx(std))


def test_levels_and_areas_agree_with_ligo_skymap(maps, rng):
    skymap = maps["S241102br-initial"]
    ra_deg, dec_deg = rng.uniform(300, 360, 200), rng.uniform(0, 80, 200)
    # without the distance columns, for which ligo.skymap takes twenty seconds
    table = Table({"UNIQ": skymap.uniq, "PROBDENSITY": skymap.density})
    theirs = crossmatch(table, SkyCoord(ra_deg * u.deg, dec_deg * u.deg), contours=(0.1, 0.5, 0.9, 0.99))
    np.testing.assert_allclose(
        credible_regions.credible_level(skymap, ra_deg, dec_deg), theirs.searched_prob, rtol=1e-9
    )
    ranked = credible_regions.rank(skymap)
    ours = [credible_regions.area_deg2(ranked, level) for level in (0.1, 0.5, 0.9, 0.99)]
    np.testing.assert_allclose(ours, theirs.contour_areas, rtol=1e-9)


def test_levels_go_from_the_peak_to_one(lumps):
    summary = credible_regions.summary(lumps, MapRole.GW)
    level = credible_regions.credible_level(lumps, summary.peak_ra_deg, summary.peak_dec_deg)[0]
    probability = lumps.density * healpix.PIXEL_SR[lumps.order]
    assert level == pytest.approx(probability[np.argmax(lumps.density)])
    assert credible_regions.rank(lumps).level.max() == pytest.approx(1)


def test_a_position_outside_a_partial_map_has_level_one_and_no_distance():
    part = files.read(skymap_files.multiorder([4], [3 / np.pi], distance=([100.0], [10.0], [1e-4])))
    assert credible_regions.rows_at(part, [45.0, 225.0], [45.0, -45.0]).tolist() == [0, -1]
    sight = credible_regions.line_of_sight(part, 225.0, -45.0)
    assert (sight.credible_level, sight.density_deg2, sight.distance_mpc) == (1.0, 0.0, None)


@pytest.mark.parametrize(
    ("ra_deg", "dec_deg"), [(0, 90), (123, -90), (360, 0), (-180, 5), (720, 5), (359.999999, -41.8)]
)
def test_any_position_on_the_sky_has_a_pixel(lumps, ra_deg, dec_deg):
    row = credible_regions.rows_at(lumps, ra_deg, dec_deg)[0]
    order = int(lumps.order[row])
    assert lumps.uniq[row] - 4 * 4**order == healpy.ang2pix(2**order, ra_deg % 360, dec_deg, nest=True, lonlat=True)


# --------------------------------------------------------------------------------------------------------- regions


def test_a_union_counts_each_place_once(rng):
    starts = rng.integers(0, 1000, 60)
    ranges = np.stack([starts, starts + rng.integers(1, 40, 60)], axis=1)
    union = healpix.union(ranges)
    brute = np.zeros(1100, bool)
    for first, last in ranges:
        brute[first:last] = True
    assert (union[1:, 0] > union[:-1, 1]).all()
    assert (union[:, 1] - union[:, 0]).sum() == brute.sum()
    np.testing.assert_array_equal(healpix.contains(union, np.arange(1100)), brute)
    assert healpix.union(np.empty((0, 2), np.int64)).shape == (0, 2)
    assert not healpix.contains(np.empty((0, 2), np.int64), np.arange(3)).any()


def test_a_region_holds_its_probability_and_the_positions_within_its_level(maps, rng):
    skymap = maps["S250910b-earlywarning"]
    region = credible_regions.region(skymap, 0.9)
    assert credible_regions.probability_in(skymap, region) == pytest.approx(0.9, abs=1e-3)
    ra_deg, dec_deg = rng.uniform(0, 360, 2000), np.degrees(np.arcsin(rng.uniform(-1, 1, 2000)))
    inside = healpix.contains(region, healpix.place_of(ra_deg, dec_deg))
    level = credible_regions.credible_level(skymap, ra_deg, dec_deg)
    assert inside[level < 0.9].all()
    assert not inside[level > 0.9005].any()


def test_the_probability_of_ranges_finer_than_the_map_is_their_share(lumps):
    pixels = np.arange(0, 12 * 4**3, 7)
    found = credible_regions.probability_in(lumps, healpix.union(healpix.ranges_of(pixels, 3)))
    ra_deg, dec_deg = healpix.centre_of(pixels, 3)
    brute = (lumps.density[credible_regions.rows_at(lumps, ra_deg, dec_deg)] * healpix.PIXEL_SR[3]).sum()
    assert found == pytest.approx(brute, rel=1e-9)


@pytest.mark.parametrize(("old", "new"), [("preliminary", "update"), ("preliminary", "initial"), ("initial", "update")])
def test_an_update_drops_and_keeps_the_expected_shares(maps, expected, old, new):
    wanted = expected["gw_pairs"][f"S241102br {old} -> {new}"]
    found = credible_regions.compare(maps[f"S241102br-{old}"], maps[f"S241102br-{new}"])
    assert found.dropped == pytest.approx(wanted[f"share_of_{old}_90_area_outside_{new}_90"], abs=1e-3)
    assert found.kept == pytest.approx(wanted[f"{new}_probability_inside_{old}_90"], abs=1e-3)
    added = wanted.get(f"{new}_90_area_outside_{old}_90_deg2")
    assert added is None or found.added_deg2 == pytest.approx(added, abs=1e-6)


def test_a_map_compared_with_itself_drops_and_adds_nothing(lumps):
    same = credible_regions.compare(lumps, lumps)
    assert (same.dropped, same.added_deg2) == (pytest.approx(0, abs=1e-12), pytest.approx(0, abs=1e-9))


EXTREME = st.sampled_from([0.0, 5e-324, 1e-300, 1e-7, 0.3, 80.0, 1e7, 9e7, 1e9, 1e155, 1.7e308, math.inf, math.nan])
NUMBERS = st.lists(st.tuples(EXTREME, st.sampled_from([1, -1])).map(math.prod), min_size=12, max_size=12)


@settings(max_examples=300, deadline=None)
@given(columns=st.tuples(NUMBERS, NUMBERS, NUMBERS), stated=st.tuples(EXTREME, EXTREME))
def test_absurd_distances_are_none_and_stop_nothing(columns, stated) -> None:
    header = {key: value for key, value in zip(("DISTMEAN", "DISTSTD"), stated, strict=True) if math.isfinite(value)}
    density = np.full(12, 1 / (4 * np.pi))
    content = skymap_files.multiorder(np.arange(4, 16), density, distance=columns, header=header)
    found = credible_regions.summary(files.read(content), MapRole.GW)
    numbers = (found.distance_mpc, found.distance_std_mpc, found.distance_p05_mpc, found.distance_p95_mpc)
    assert all(number is None for number in numbers) or all(0 <= number < 1e10 for number in numbers), numbers
    assert found.area90_deg2 > 0
