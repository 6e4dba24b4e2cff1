"""The simulated sky map against counting, numerical integration and ligo.skymap."""

from __future__ import annotations

import base64
import io
import json

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from ligo.skymap.io import read_sky_map
from scipy.stats import kstest
from support import simulated

from tasks.errors import UnusableData
from tasks.science.simulation import alerts
from tasks.science.simulation.alerts import AlertRequest

SKY_DEG2 = 4 * np.pi * np.degrees(1) ** 2


@pytest.fixture(scope="module")
def event():
    return alerts.make_alert(AlertRequest(seed=5, ra_deg=110.0, dec_deg=-30.0, coincidence=True))


@pytest.fixture(params=["sky_map", "combined"])
def sky_map(event, request):
    return getattr(event, request.param)


def pixel_areas(uniq):
    order = np.floor(np.log2(uniq // 4) / 2)
    return 4 * np.pi / (12 * 4**order)


def credible_area(sky_map, level):
    """Area in deg² of the pixels of highest density that hold ``level``, by counting."""
    area, rank = pixel_areas(sky_map.uniq), np.argsort(-sky_map.probdensity)
    held = np.cumsum((sky_map.probdensity * area)[rank])
    return np.interp(level, held, np.cumsum(area[rank])) * np.degrees(1) ** 2


def test_pixels_cover_the_sky_once_and_hold_all_probability(sky_map):
    area = pixel_areas(sky_map.uniq)
    assert len(np.unique(sky_map.uniq)) == len(sky_map.uniq)
    assert area.sum() * np.degrees(1) ** 2 == pytest.approx(SKY_DEG2, rel=1e-12)
    assert np.sum(sky_map.probdensity * area) == pytest.approx(1, abs=1e-12)
    assert sky_map.header["MOCORDER"] == np.log2(sky_map.uniq.max() // 4) // 2


def test_no_pixel_lies_inside_another(sky_map):
    order = (np.floor(np.log2(sky_map.uniq // 4) / 2)).astype(np.int64)
    start = (sky_map.uniq - 4 * 4**order) << (2 * (10 - order))
    rank = np.argsort(start)
    np.testing.assert_array_equal(np.diff(start[rank]), (1 << (2 * (10 - order[rank])))[:-1])


@pytest.mark.parametrize("wanted", [2.0, 45.0, 600.0])
def test_the_90_percent_region_has_the_area_that_was_asked_for(wanted):
    event = alerts.make_alert(AlertRequest(seed=2, area90_deg2=wanted))
    assert credible_area(event.sky_map, 0.9) == pytest.approx(wanted, rel=0.03)


def test_a_coincidence_makes_the_region_smaller(event):
    assert credible_area(event.combined, 0.9) < credible_area(event.sky_map, 0.9)


def test_header_distances_are_those_of_the_marginal_posterior(sky_map):
    has = sky_map.distnorm > 0
    weight = (sky_map.probdensity * pixel_areas(sky_map.uniq))[has]
    r = np.linspace(0, 400, 4001)
    marginal = np.zeros_like(r)
    for w, mu, sigma, norm in zip(
        weight, sky_map.distmu[has], sky_map.distsigma[has], sky_map.distnorm[has], strict=True
    ):
        marginal += w * norm * np.exp(-0.5 * ((r - mu) / sigma) ** 2) / sigma * r**2 / np.sqrt(2 * np.pi)
    total = np.trapezoid(marginal, r)
    mean = np.trapezoid(marginal * r, r) / total
    std = np.sqrt(np.trapezoid(marginal * r**2, r) / total - mean**2)
    assert total == pytest.approx(1, abs=1e-4)
    assert mean == pytest.approx(sky_map.header["DISTMEAN"], rel=1e-4)
    assert std == pytest.approx(sky_map.header["DISTSTD"], rel=1e-3)


def test_rows_without_probability_have_no_distance(event):
    none = event.sky_map.probdensity < 1e-12
    assert none.any()
    assert np.all(np.isinf(event.sky_map.distmu[none]))
    assert np.all(event.sky_map.distsigma[none] == 1)
    assert np.all(event.sky_map.distnorm[none] == 0)


def test_truths_are_fair_draws_from_their_maps():
    levels = []
    for seed in range(30):
        event = alerts.make_alert(AlertRequest(seed=seed))
        density = density_at(event.sky_map, event.ra_deg, event.dec_deg)
        levels.append(
            np.sum((event.sky_map.probdensity * pixel_areas(event.sky_map.uniq))[event.sky_map.probdensity > density])
        )
    assert kstest(levels, "uniform").pvalue > 0.01


def density_at(sky_map, ra_deg, dec_deg):
    from astropy import units as u
    from astropy_healpix import lonlat_to_healpix

    for order in range(10, -1, -1):
        pixel = lonlat_to_healpix(ra_deg * u.deg, dec_deg * u.deg, nside=2**order, order="nested")
        row = np.flatnonzero(sky_map.uniq == 4 * 4**order + pixel)
        if len(row):
            return sky_map.probdensity[row[0]]
    raise AssertionError("no pixel holds this position")


def test_true_distances_follow_the_conditional_distance(event):
    posterior_mean = event.sky_map.header["DISTMEAN"]
    drawn = [alerts.make_alert(AlertRequest(seed=seed, area90_deg2=400)).distance_mpc for seed in range(25)]
    assert np.mean(drawn) == pytest.approx(posterior_mean, abs=4 * 18 / np.sqrt(25))
    assert np.std(drawn) == pytest.approx(18, rel=0.5)


def test_the_notice_has_the_form_of_the_alliance_and_ligo_skymap_reads_its_map(tmp_path):
    truth = simulated.make_alert(tmp_path / "alert", ra_deg=110.0, dec_deg=-30.0, coincidence=True)
    notice = json.loads((tmp_path / "alert" / truth["notice"]).read_bytes())
    assert set(notice) == {"alert_type", "time_created", "superevent_id", "urls", "event", "external_coinc"}
    assert notice["superevent_id"] == truth["event_id"]
    assert sum(notice["event"]["classification"].values()) == pytest.approx(1)
    content = base64.b64decode(notice["event"]["skymap"])
    assert content == (tmp_path / "alert" / truth["maps"]["skymap"]).read_bytes()
    table = read_sky_map(io.BytesIO(content), moc=True, distances=True)
    assert table.meta["objid"] == truth["event_id"]
    assert table.meta["distmean"] == pytest.approx(80, rel=0.05)
    assert np.sum(table["PROBDENSITY"] * pixel_areas(np.asarray(table["UNIQ"]))) == pytest.approx(1)
    assert fits.open(io.BytesIO(base64.b64decode(notice["external_coinc"]["combined_skymap"])))[1].header["ORDERING"]


def test_the_form_is_that_of_a_real_notice(tmp_path, shared_data):
    real = json.loads((shared_data / "notices" / "S241102br-update.json").read_bytes())
    simulated.make_alert(tmp_path / "alert", alert_type="UPDATE")
    ours = json.loads((tmp_path / "alert" / "notice.json").read_bytes())
    assert set(ours) == set(real)
    assert set(ours["event"]) == set(real["event"])
    real_map, our_map = (
        fits.open(io.BytesIO(base64.b64decode(notice["event"]["skymap"])))[1] for notice in (real, ours)
    )
    assert our_map.columns.names == real_map.columns.names
    assert our_map.columns.formats == real_map.columns.formats
    assert our_map.columns.units == real_map.columns.units
    assert set(real_map.header) - set(our_map.header) <= {"VCSVERS", "HISTORY"}


def test_a_retraction_says_nothing_of_the_event(tmp_path):
    simulated.make_alert(tmp_path / "alert", alert_type="RETRACTION", coincidence=True)
    notice = json.loads((tmp_path / "alert" / "notice.json").read_bytes())
    assert notice["event"] is None
    assert notice["external_coinc"] is None


def test_a_test_event_has_a_mock_id(rng):
    assert alerts.default_event_id(AlertRequest(test=True), rng).startswith("MS260115")


def test_the_same_seed_gives_the_same_notice(tmp_path):
    notices = []
    for name, seed in (("one", 7), ("two", 7), ("other", 8)):
        simulated.make_alert(tmp_path / name, seed=seed)
        notices.append((tmp_path / name / "notice.json").read_bytes())
    assert notices[0] == notices[1] != notices[2]


@pytest.mark.parametrize(
    "wrong",
    [
        {"alert_type": "PARTY"},
        {"event_id": "../../etc"},
        {"area90_deg2": 0.0},
        {"distance_mpc": -1.0},
        {"distance_std_mpc": 60.0},
        {"distance_mpc": float("nan")},
        {"ra_deg": 10.0},
        {"ra_deg": 400.0, "dec_deg": 0.0},
    ],
)
def test_a_senseless_request_is_refused_with_what_is_allowed(wrong):
    with pytest.raises(UnusableData):
        alerts.checked(AlertRequest(**wrong))


def test_a_density_within_reach_of_a_point_is_below_the_points_bound(rng):
    """Pixels are divided by this bound: were it too low, probability inside a pixel would be missed."""
    request = AlertRequest(seed=5, ra_deg=110.0, dec_deg=-30.0)
    centre = SkyCoord(110.0, -30.0, unit="deg")
    posterior = alerts.draw_localisation(request, centre, rng)
    n = 3000
    there = centre.directional_offset_by(rng.uniform(0, 360, n) * u.deg, 15 * np.sqrt(rng.uniform(size=n)) * u.deg)
    for reach_deg in (0.2, 1.0):
        beside = there.directional_offset_by(rng.uniform(0, 360, n) * u.deg, 0.99 * reach_deg * u.deg)
        density, bound = alerts.log_density(posterior, beside), alerts.log_density(posterior, there, reach_deg)
        counts = density > -20
        assert counts.sum() > 100
        assert (density <= bound + 1e-9)[counts].all()
