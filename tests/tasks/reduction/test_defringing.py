"""Lights of chosen filters lose their fringes by the archive's fringe frame, and say so."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from support import simulated, simulated_reduction

from tasks import naming, products
from tasks.io.fits import fits_images
from tasks.options import CalibrateOptions
from tasks.records import QaBit
from tasks.reduction import calibration
from tasks.science import arrays

NIGHT = date(2026, 1, 15)
OPTIONS = CalibrateOptions(defringe=("r",))
FACTOR = 2.0


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    night = simulated.make_night(tmp_path_factory.mktemp("night"), filters=("r",), lights=1)
    return simulated_reduction.calibrate(night, tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def pattern(bench):
    ny, nx = bench.calibrated[0].frame.shape
    y, x = np.mgrid[:ny, :nx]
    return (30 * np.sin((x + 0.4 * y) / 11)).astype(np.float32)


@pytest.fixture(scope="module")
def fringed(bench, pattern, tmp_path_factory):
    """A raw light with fringes, as strong as the flat lets them be."""
    frame = bench.calibrated[0].frame
    counts, header = fits_images.read_image(frame.path)
    flat, _ = fits_images.read_image(bench.masters.flats["r"])
    path = tmp_path_factory.mktemp("raw") / frame.path.name
    fits_images.write_image(
        path, np.clip(np.rint(counts + FACTOR * pattern * flat), 0, 65535).astype(np.uint16), header
    )
    return replace(frame, path=path)


def place_of(root, light):
    tree = naming.NightTree(root=root)
    return tree.fringe_frame("7DT01", "r", binning=light.binning, gain_setting=light.gain_setting)


def put(root, light, image):
    place = place_of(root, light)
    place.parent.mkdir(parents=True, exist_ok=True)
    fits_images.write_image(place, image, {})


def calibrated(bench, light, root, options=OPTIONS):
    return calibration.calibrate_lights.fn((light,), bench.masters, NIGHT, root, options)


def test_a_light_loses_its_fringes_and_its_header_says_so(bench, fringed, pattern, tmp_path):
    put(tmp_path, fringed, pattern)
    [made] = calibrated(bench, fringed, tmp_path).calibrated
    image, header = fits_images.read_image(made.image)
    before, cards = fits_images.read_image(bench.calibrated[0].image)
    assert "FRNGNAME" not in cards
    assert header["FRNGNAME"] == "r-fringe.fits"
    # the sky's noise is some 15 ADU, the contrast 60, and there are hundreds of pairs
    assert header["FRNGSCAL"] == pytest.approx(FACTOR, abs=0.06)
    assert not made.qa & QaBit.FRINGED
    good = (fits_images.read_image(made.mask)[0] == 0) & (fits_images.read_image(bench.calibrated[0].mask)[0] == 0)
    left = (image - before - (FACTOR - header["FRNGSCAL"]) * pattern)[good]
    assert arrays.nmad(left) < 0.6  # half a count is lost where a raw frame is written


def test_a_light_without_a_fringe_frame_is_flagged_and_otherwise_as_it_was(bench, tmp_path):
    light = bench.calibrated[0].frame
    [made] = calibrated(bench, light, tmp_path).calibrated
    header = fits_images.read_header(made.image)
    assert made.qa == bench.calibrated[0].qa | QaBit.FRINGED
    assert "no fringe frame r-fringe.fits" in header["QATEXT"]
    assert "FRNGNAME" not in header
    for kind in ("image", "variance", "mask"):
        ours, plain = (fits_images.read_image(getattr(each, kind))[0] for each in (made, bench.calibrated[0]))
        np.testing.assert_array_equal(ours, plain)


def test_a_fringe_frame_that_comes_or_changes_remakes_the_light(bench, fringed, pattern, tmp_path):
    scales = []
    for image in (None, pattern, pattern, 2 * pattern):
        if image is not None:
            put(tmp_path, fringed, image)
        [made] = calibrated(bench, fringed, tmp_path).calibrated
        scales.append(fits_images.read_header(made.image).get("FRNGSCAL"))
    assert scales[0] is None
    assert scales[1] == scales[2] == pytest.approx(2 * scales[3], rel=1e-3)
    written = made.image.stat().st_mtime_ns
    assert calibrated(bench, fringed, tmp_path).calibrated == (made,)
    assert made.image.stat().st_mtime_ns == written


def test_other_filters_keep_theirs(bench, fringed, pattern, tmp_path):
    put(tmp_path, fringed, pattern)
    [made] = calibrated(bench, fringed, tmp_path, CalibrateOptions(defringe=("z", "m900"))).calibrated
    assert "FRNGNAME" not in fits_images.read_header(made.image)
    assert made.qa == bench.calibrated[0].qa


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda image: image[:-2], "the fringe frame has the shape"),
        (lambda image: np.full_like(image, np.nan), "the fringe frame is empty"),
    ],
)
def test_an_unusable_fringe_frame_rejects_the_light_with_its_reason(bench, fringed, pattern, tmp_path, spoil, words):
    put(tmp_path, fringed, spoil(pattern))
    batch = calibrated(bench, fringed, tmp_path)
    assert batch.calibrated == ()
    [rejected] = batch.rejected
    assert words in rejected.reason
    assert (rejected.name, rejected.stage) == (fringed.path.name, "calibrate")


def test_a_broken_fringe_frame_is_named(bench, fringed, pattern, tmp_path):
    put(tmp_path, fringed, pattern)
    place = place_of(tmp_path, fringed)
    place.write_bytes(place.read_bytes()[:20_000])
    [rejected] = calibrated(bench, fringed, tmp_path).rejected
    assert "r-fringe.fits" in rejected.reason
    assert not list(products.partial_files(tmp_path))
