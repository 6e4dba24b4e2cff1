"""``siren subtract`` on real frames without a WCS, on simulated frames with one, and on files that are not images."""

from __future__ import annotations

import json

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS
from support import pairs

from deployments import cli
from tasks.io.fits import fits_images
from tasks.science.astrometry.field_grids import field_wcs


def siren(capsys, *words):
    code = cli.run([str(word) for word in words])
    out = capsys.readouterr()
    return code, json.loads(out.out), out.err


@pytest.mark.parametrize(
    ("science", "reference", "x", "y", "sign", "convolved"),
    [
        ("0100", "0172", 288.0, 214.9, 1, "science"),
        ("0172", "0100", 272.0, 224.3, -1, "reference"),
        ("0171", "0100", 113.5, 193.3, -1, "reference"),
    ],
)
def test_the_variable_is_first(shared_data, tmp_path, capsys, science, reference, x, y, sign, convolved):
    paths = [shared_data / "images" / "saao" / f"AKB13475I{name}.fits" for name in (science, reference)]
    code, answer, _ = siren(capsys, "subtract", *paths, "--out", tmp_path / "out", "--json")
    assert code == 0
    assert answer["convolved"] == convolved
    first = answer["detections"][0]
    assert np.hypot(first["x"] - x, first["y"] - y) < 1
    assert first["snr"] * sign >= 100
    assert first["flags"] == []
    assert first["ra_deg"] is None
    assert sum(not each["flags"] for each in answer["detections"][1:]) <= 10
    strengths = [abs(each["snr"]) for each in answer["detections"]]
    assert strengths == sorted(strengths, reverse=True)


@pytest.fixture
def simulated(tmp_path, rng):
    pair = pairs.make(rng, shape=(300, 360), stars=140, new=1, new_flux=(20000.0, 20000.0))
    cards = dict(field_wcs(110.0, -30.0, shape=pair.science.shape, scale_arcsec=0.505).to_header()) | {"EGAIN": 2.0}
    paths = tmp_path / "sci.fits", tmp_path / "ref.fits"
    for path, image in zip(paths, (pair.science, pair.reference), strict=True):
        fits_images.write_image(path, image + np.float32(pairs.SKY), cards)
    return pair, paths, cards


def test_the_products_are_written_and_have_a_position_on_the_sky(simulated, tmp_path, capsys):
    pair, paths, cards = simulated
    code, answer, _ = siren(capsys, "subtract", *paths, "--out", tmp_path / "out", "--json")
    assert code == 0
    assert answer["seconds"] > 0
    first = answer["detections"][0]
    assert np.hypot(first["x"] - pair.new_x[0], first["y"] - pair.new_y[0]) < 0.5
    ra, dec = WCS(fits.Header(cards)).all_pix2world(first["x"], first["y"], 0)
    assert first["ra_deg"] == pytest.approx(float(ra), abs=1e-6)
    assert first["dec_deg"] == pytest.approx(float(dec), abs=1e-6)
    files = answer["files"]
    for name in ("difference", "variance", "mask", "convolved_image"):
        assert fits.getdata(files[name]).shape == pair.science.shape
    assert len(Table.read(files["table"], format="ascii.ecsv")) == len(answer["detections"])
    assert (tmp_path / "out" / "sci.subt.png").read_bytes().startswith(b"\x89PNG")


def test_text_for_a_person_names_the_detections(simulated, tmp_path, capsys):
    _, paths, _ = simulated
    assert cli.run(["subtract", *map(str, paths), "--out", str(tmp_path / "out"), "--align", "none"]) == 0
    text = capsys.readouterr().out
    assert "reference convolved by siren" in text
    assert "S/N" in text


def spoil(kind, path, good):
    if kind == "missing":
        return
    if kind == "folder":
        path.mkdir()
        return
    content = good.read_bytes()
    spoilt = {
        "empty": b"",
        "text": b"hello",
        "truncated": content[: len(content) // 2],
        "header only": content[:2880],
    }
    if kind in spoilt:
        path.write_bytes(spoilt[kind])
        return
    values = {"constant": 1.0, "nan": np.nan, "noise": None}[kind]
    shape = fits.getdata(good).shape
    image = np.random.default_rng(1).normal(0, 1, shape) if values is None else np.full(shape, values)
    fits_images.write_image(path, image.astype(np.float32), {})


KINDS = ["missing", "folder", "empty", "text", "truncated", "header only", "constant", "nan", "noise"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("which", [0, 1])
def test_what_is_no_image_of_stars_is_refused_in_a_sentence(simulated, tmp_path, capsys, kind, which):
    _, paths, _ = simulated
    bad = tmp_path / "bad.fits"
    spoil(kind, bad, paths[0])
    chosen = [bad, paths[1]] if which == 0 else [paths[0], bad]
    code, answer, err = siren(capsys, "subtract", *chosen, "--out", tmp_path / "out", "--json")
    assert code == 2
    assert answer["rejected"]
    assert "Traceback" not in err
    assert not (tmp_path / "out").exists()


def test_fields_without_common_stars_are_refused(shared_data, simulated, tmp_path, capsys):
    _, paths, _ = simulated
    saao = shared_data / "images" / "saao" / "AKB13475I0100.fits"
    code, answer, _ = siren(capsys, "subtract", saao, paths[1], "--out", tmp_path / "out", "--json")
    assert code == 2
    assert "align" in answer["rejected"]


def test_a_file_is_no_folder_for_products(simulated, tmp_path, capsys):
    _, paths, _ = simulated
    code, answer, _ = siren(capsys, "subtract", *paths, "--out", paths[0], "--json")
    assert code == 2
    assert "folder" in answer["rejected"]


def test_an_engine_asked_for_but_missing_fails_clearly(simulated, tmp_path, capsys):
    _, paths, _ = simulated
    code, answer, _ = siren(capsys, "subtract", *paths, "--out", tmp_path / "out", "--engine", "sfft", "--json")
    assert code == 1
    assert "sfft" in answer["failed"]
