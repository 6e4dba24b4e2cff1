"""Cells of the astrometric catalogue: fetched once from a service, then sufficient to solve a night without network."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from click.testing import CliRunner
from support import plates, tap
from support.plates import Wanted

from deployments.cli import gaia as verb
from tasks.catalogues import astrometric
from tasks.errors import Unavailable, UnusableData
from tasks.io.catalogues import astrometric_cells
from tasks.options import ReduceOptions
from tasks.science.astrometry import catalogue_cells, matching

CENTRE = (110.0, -30.0)
AROUND = catalogue_cells.around({CENTRE: 1.0})
FAINTEST = 17.0


@pytest.fixture
def stars(rng):
    """Stars in a circle of four degrees, in random order."""
    ra, dec = CENTRE[0] + rng.uniform(-5, 5, 6000), CENTRE[1] + rng.uniform(-4, 4, 6000)
    return tap.gaia(ra, dec, rng.uniform(9, 19, 6000), rng)


@pytest.fixture
def service(stars):
    with tap.serving(stars) as started:
        yield started


def fetch(service, folder, wanted=AROUND):
    return astrometric.fetch(wanted, folder, url=service.address, faintest_mag=FAINTEST)


def truth(stars):
    """The stars that must have been fetched around the centre."""
    near = matching.within(np.asarray(stars["ra"]), np.asarray(stars["dec"]), centre=CENTRE, radius_deg=1.0)
    return stars[near & (stars["phot_g_mean_mag"] < FAINTEST)]


def check(stars, folder):
    found = astrometric_cells.read(folder, AROUND)
    expected = truth(stars)
    there = SkyCoord(found["X_WORLD"], found["Y_WORLD"], unit="deg")
    index, distance, _ = SkyCoord(expected["ra"], expected["dec"], unit="deg").match_to_catalog_sky(there)
    assert len(expected) > 100
    assert distance.max() < 1e-6 * u.arcsec
    motion = np.ma.filled(expected["pmra"], 0.0)
    np.testing.assert_allclose(np.asarray(found["pmRA"])[index], motion, rtol=1e-6)
    np.testing.assert_allclose(np.asarray(found["MAG"])[index], expected["phot_g_mean_mag"], rtol=1e-6)
    assert set(found["OBSDATE"]) == {2016.0}
    assert np.max(found["MAG"]) < FAINTEST


def test_cells_are_fetched_once_with_every_star_in_them(service, stars, tmp_path):
    assert fetch(service, tmp_path) == len(AROUND)
    check(stars, tmp_path)
    asked = len(service.asked)

    assert fetch(service, tmp_path) == 0
    assert len(service.asked) == asked == len(AROUND)


def test_a_service_that_cuts_its_answers_gives_the_same_stars(service, stars, tmp_path):
    service.most = 60
    fetch(service, tmp_path)

    check(stars, tmp_path)
    assert len(service.asked) > len(AROUND)


def test_a_service_that_cuts_even_the_smallest_part_is_no_source(service, tmp_path):
    service.most = 0
    with pytest.raises(UnusableData, match="truncates its answers at 0 stars"):
        fetch(service, tmp_path)
    assert not list(tmp_path.glob("gaia*"))


def test_whoever_wants_a_cell_at_the_same_time_waits_for_the_one_who_asks(service, tmp_path):
    with ThreadPoolExecutor(8) as pool:
        fetched = list(pool.map(lambda _: fetch(service, tmp_path), range(8)))

    assert sum(fetched) == len(AROUND)
    assert sorted(service.asked) == [catalogue_cells.source_ids(cell) for cell in AROUND]


@pytest.mark.parametrize(
    ("failure", "error", "words"),
    [
        ((503, b""), Unavailable, "answers 503"),
        ((400, b"<html>"), UnusableData, "refuses: 400"),
        ((200, tap.refusal("no table gaiadr3.gaia_source")), UnusableData, "refuses: no table gaiadr3"),
        ((200, b"<html>log in</html>"), UnusableData, "is no VOTable"),
        ((200, b"\x00\x01"), UnusableData, "is no VOTable"),
        ((404, b""), UnusableData, "there is no TAP service"),
    ],
)
def test_a_service_in_trouble_leaves_no_cell_and_says_why(service, tmp_path, failure, error, words):
    service.failures = [failure]
    with pytest.raises(error, match=words):
        fetch(service, tmp_path, AROUND[:1])
    assert not list(tmp_path.glob("gaia*"))


def test_a_service_that_is_not_there_is_unavailable(service, tmp_path):
    service.address = "http://127.0.0.1:9/tap"
    with pytest.raises(Unavailable, match="does not answer"):
        fetch(service, tmp_path, AROUND[:1])


def test_a_missing_cell_is_named_with_the_remedy(service, tmp_path):
    fetch(service, tmp_path, AROUND[1:])
    with pytest.raises(UnusableData, match=rf"lacks 1 of the {len(AROUND)} cells .* `siren gaia`"):
        astrometric_cells.read(tmp_path, AROUND)


def test_the_verb_fetches_around_positions(service, stars, tmp_path):
    words = ["110,-30", "--radius", "1", "--out", str(tmp_path), "--url", service.address, "--faintest", "17", "--json"]
    result = CliRunner().invoke(verb.command, words)

    assert result.exit_code == 0
    assert json.loads(result.stdout)["fetched"] == len(AROUND)
    check(stars, tmp_path)


@pytest.mark.parametrize("words", [["here"], ["400,0"], ["1,2", "--radius", "0"]])
def test_the_verb_refuses_what_is_no_position(tmp_path, words):
    assert isinstance(CliRunner().invoke(verb.command, [*words, "--out", str(tmp_path)]).exception, UnusableData)


@pytest.mark.binaries
@pytest.mark.skipif(shutil.which("scamp") is None, reason="SCAMP is not installed")
def test_frames_are_solved_on_fetched_cells_and_refused_without_them(tmp_path, rng):
    made, reference = plates.batch([Wanted()] * 2, tmp_path, rng)
    columns = (np.asarray(reference[name]) for name in ("X_WORLD", "Y_WORLD", "MAG"))
    gaia = tap.gaia(*columns, rng)
    gaia["pmra"], gaia["pmdec"] = 0.0, 0.0
    places = {each.job.centre: 2.4 for each in made}
    empty, folder, options = tmp_path / "empty", tmp_path / "cells", ReduceOptions(program_timeout_s=60)
    empty.mkdir()
    with tap.serving(gaia) as service:
        astrometric.fetch(catalogue_cells.around(places), folder, url=service.address, faintest_mag=18.0)
    found, refused = plates.solve(made, folder, tmp_path, options)
    none, why = plates.solve(made, empty, tmp_path, options)

    assert refused == {}
    assert max(plates.errors_arcsec(wcs, made[index].wcs).max() for index, wcs in found.items()) < 0.2
    assert none == {}
    assert all("cells around the field" in str(error) for error in why.values())
