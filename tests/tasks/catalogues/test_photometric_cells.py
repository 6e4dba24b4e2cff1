"""Photometric references in cells: made once from files, read by position."""

from __future__ import annotations

import json
import threading
from importlib import util

import numpy as np
import pytest
from astropy.table import Table
from support import xp

from deployments import cli
from tasks.catalogues import photometric
from tasks.errors import UnusableData
from tasks.io.catalogues import photometric_cells
from tasks.programs import gaiaxpy

CENTRE = (208.3, 40.05)


@pytest.fixture
def ps1(shared_data):
    return shared_data / "sevendt" / "ps1-Tonry-NGC5350.cat"


def test_a_surveys_file_becomes_cells_that_are_found_by_position(ps1, tmp_path):
    made = photometric.make_catalogue.fn("ps1", [ps1], tmp_path)
    files = photometric_cells.files(tmp_path, [CENTRE])
    stars = photometric_cells.read(files)

    assert (made.stars, made.known) == (488, 0)
    assert len(stars) == 488
    assert stars.meta["REFCAT"] == "PS1"
    assert {"mag_g", "mag_B", "mag_I", "snr_r", "pmra"} <= set(stars.colnames)
    row = stars[np.argmin(np.hypot(stars["ra"] - 208.19632552, stars["dec"] - 40.05733164))]
    assert row["mag_B"] == pytest.approx(15.6121304, abs=1e-4)
    assert row["snr_r"] == pytest.approx(1.0857 / 0.0031, rel=1e-3)


def test_a_second_maker_leaves_what_is_there_alone(ps1, tmp_path):
    first = photometric.make_catalogue.fn("ps1", [ps1], tmp_path)
    times = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.fits")}
    again = photometric.make_catalogue.fn("ps1", [ps1], tmp_path)

    assert first.cells == len(times) > 0
    assert (again.cells, again.stars, again.known) == (0, 0, 488)
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.fits")} == times


def test_of_several_makers_at_once_one_writes_each_cell(ps1, tmp_path):
    results = []
    makers = [
        threading.Thread(target=lambda: results.append(photometric.make_catalogue.fn("ps1", [ps1], tmp_path)))
        for _ in range(4)
    ]
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join()

    assert len(results) == 4
    assert sum(each.stars for each in results) == 488
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".") and path.name != ".lock"]


def test_elsewhere_there_is_no_cell_and_it_is_said_what_makes_one(ps1, tmp_path):
    photometric.make_catalogue.fn("ps1", [ps1], tmp_path)
    with pytest.raises(UnusableData, match=r"no cell around 10\.000, -30\.000: make it with siren catalogue"):
        photometric_cells.files(tmp_path, [(10.0, -30.0)])


def test_medium_bands_come_from_templates(ps1, shared_data, capsys, tmp_path):
    table = shared_data / "sevendt" / "stellar_sed_template_phot4med.dat"
    words = ["--survey", "ps1", "--out", tmp_path / "cells", "--templates", table, "--bands", "m475,m650"]
    code = cli.run(["catalogue", str(ps1), *map(str, words), "--json"])
    told = json.loads(capsys.readouterr().out)
    stars = photometric_cells.read(photometric_cells.files(tmp_path / "cells", [CENTRE]))

    assert code == 0
    assert {"m475", "m650", "g", "B"} <= set(told["filters"])
    bright = (stars["mag_r"] < 18) & np.isfinite(stars["mag_m650"])
    assert bright.sum() > 30
    # between r (620 nm) and i (755 nm)
    between = np.asarray(stars["mag_m650"] - stars["mag_r"])[bright]
    assert np.abs(np.median(between)) < 0.1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--bands", "m42"], "m42"),
        (["--name", "J0400"], "BAND=FILTER"),
    ],
)
def test_bad_words_are_bad_input(ps1, capsys, tmp_path, words, said):
    code = cli.run(["catalogue", str(ps1), "--survey", "ps1", "--out", str(tmp_path), *words, "--json"])

    assert code == 2
    assert said in json.loads(capsys.readouterr().out)["rejected"]


def test_a_file_that_is_no_table_is_named(tmp_path):
    (tmp_path / "x.csv").write_bytes(b"\x00\xff\x00garbage")
    with pytest.raises(UnusableData, match=r"x\.csv"):
        photometric.make_catalogue.fn("sdss", [tmp_path / "x.csv"], tmp_path / "cells")


def sources(path, number):
    """gaia_source rows around two cells; the second star is a blend."""
    rng = np.random.default_rng(7)
    table = Table(
        {
            "source_id": np.arange(1, number + 1),
            "ra": 110 + rng.uniform(-0.2, 0.2, number),
            "dec": -30 + rng.uniform(-0.2, 0.2, number),
            "pmra": np.full(number, 3.0),
            "pmdec": np.full(number, -2.0),
            "parallax": np.full(number, 1.0),
            "phot_g_mean_mag": np.full(number, 14.0),
            "bp_rp": np.full(number, 1.0),
            "ruwe": np.where(np.arange(number) == 1, 2.5, 1.0),
            "phot_variable_flag": ["NOT_AVAILABLE"] * number,
            "ipd_frac_multi_peak": np.zeros(number, int),
            "ipd_frac_odd_win": np.zeros(number, int),
            "phot_bp_rp_excess_factor": np.full(number, 1.216844),
        }
    )
    table.write(path, format="ascii.csv")
    return path


@pytest.mark.skipif(util.find_spec("gaiaxpy") is None, reason="GaiaXPy is not installed")
def test_gaias_spectra_become_magnitudes_with_their_noise_and_blends_are_refused(tmp_path):
    spectra = xp.write(tmp_path / "xp.csv", [6000.0, 6000.0, 4500.0], mags=[14.0, 14.5, 16.0])
    listed = sources(tmp_path / "sources.csv", 3)
    options = gaiaxpy.Options(systems=("JPAS",), names={"J0650": "m650", "J0700": "m700"})
    cells = tmp_path / "cells"
    made = photometric.make_catalogue.fn("gaiaxp", [spectra], cells, spectra=options, sources=listed)
    stars = photometric_cells.read(photometric_cells.files(cells, [(110.0, -30.0)]))

    assert (made.stars, made.refused["ruwe"]) == (2, 1)
    assert sorted(stars["source_id"]) == [1, 3]
    assert stars.meta["REFCAT"] == "GaiaXP"
    for row, temperature, mag in zip(
        stars[np.argsort(stars["source_id"])], (6000.0, 4500.0), (14.0, 16.0), strict=True
    ):
        expected = xp.black_body_mag(temperature, 650.0) + mag - 14
        assert row["mag_m650"] == pytest.approx(expected, abs=0.025)
        assert row["snr_m650"] > 20
        assert row["bp_rp"] == 1.0
    # the night only reads: a second run finds all cells and starts no program
    again = photometric.make_catalogue.fn("gaiaxp", [tmp_path / "gone.csv"], cells, spectra=options, sources=listed)
    assert again.cells == 0
