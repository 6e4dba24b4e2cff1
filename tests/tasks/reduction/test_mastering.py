"""Masters over several nights: what is archived, what is borrowed, and what a light says of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from tasks import naming, products
from tasks.io.fits import fits_images
from tasks.options import CalibrateOptions
from tasks.records import FrameType, Masters, QaBit
from tasks.reduction import calibration
from tasks.reduction import masters as mastering

FIRST = date(2026, 1, 15)
OPTIONS = CalibrateOptions()


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("products")


@pytest.fixture(scope="module")
def first(one_light, root) -> Masters:
    return mastering.make_masters.fn(one_light, root, OPTIONS)


@pytest.fixture(scope="module")
def archive(first, root):
    return root / "master_frame_1x1_gain2750" / "7DT01"


def later(one_light, day, *kinds, month=1):
    """The same lights in another night, with the calibration frames of some kinds only."""
    kept = tuple(each for each in one_light.frames if each.type in (FrameType.LIGHT, *kinds))
    return replace(one_light, night=date(2026, month, day), frames=kept)


def light(one_light, masters, root, options=OPTIONS):
    [made] = calibration.calibrate_lights.fn(
        one_light.of(FrameType.LIGHT), masters, one_light.night, root, options
    ).calibrated
    return made, fits_images.read_header(made.image)


def test_good_masters_are_archived_under_their_nights(first, archive):
    names = {str(path.relative_to(archive)) for path in archive.rglob("*.fits")}
    assert {"zero/20260115-zero.fits", "dark/100-20260115-dark.fits", "flat/20260115-nr.fits"} <= names
    assert products.sha256_of(archive / "zero/20260115-zero.fits") == products.sha256_of(first.bias)
    assert {each.status for each in first.quality} == {"made"}
    assert [each.kind for each in first.quality] == ["bias", "dark", "flat"]
    assert all(each.figures for each in first.quality)


def test_a_master_tells_its_quality_and_a_light_of_good_masters_has_no_flag(one_light, first, root):
    header = fits_images.read_header(first.flats["r"])
    assert (header["QAFLAG"], header["QATEXT"]) == (0, "")
    assert 0.7 < header["QAMIN"] < header["QAMAX"] < 1.3
    made, header = light(one_light, first, root)
    assert made.qa == header["QAFLAG"] == 0


def test_a_night_without_flats_borrows_and_says_so(one_light, first, root, archive):
    other = later(one_light, 17, FrameType.BIAS, FrameType.DARK)
    masters = mastering.make_masters.fn(other, root, OPTIONS)
    assert masters.flats == {"r": archive / "flat/20260115-nr.fits"}
    made, header = light(other, masters, root)
    assert QaBit(made.qa) == QaBit.FLAT_BORROWED
    assert header["QATEXT"] == "flat 2 d old"
    assert header["FLATNAME"] == "20260115-nr.fits"
    assert {"BIASAGE", "DARKAGE", "FLATAGE"} <= set(header)


def test_a_night_without_any_calibration_borrows_all_and_beyond_the_age_limit_it_is_flagged(one_light, first, root):
    other = later(one_light, 10, month=2)
    masters = mastering.make_masters.fn(other, root, OPTIONS)
    made, _ = light(other, masters, root)
    borrowed = QaBit.BIAS_BORROWED | QaBit.DARK_BORROWED | QaBit.FLAT_BORROWED
    assert QaBit(made.qa) == borrowed | QaBit.FLAT_OLD
    assert mastering.make_masters.fn(other, root, OPTIONS) == masters
    assumed = mastering.make_masters.fn(other, root / "elsewhere", OPTIONS)
    assert {each.status for each in assumed.quality} == {"doubtful"}


def test_a_dark_of_another_exposure_is_scaled_and_flagged(one_light, first, root):
    longer = tuple(
        replace(each, exposure_s=150.0) if each.type is FrameType.LIGHT else each
        for each in later(one_light, 18, FrameType.BIAS, FrameType.FLAT).frames
    )
    other = replace(one_light, night=date(2026, 1, 18), frames=longer)
    masters = mastering.make_masters.fn(other, root, OPTIONS)
    made, header = light(other, masters, root)
    assert header["DARKSCAL"] == 1.5
    assert QaBit(made.qa) == QaBit.DARK_BORROWED | QaBit.DARK_SCALED


def test_a_bias_that_differs_from_the_last_good_one_gives_way_to_it(one_light, first, archive, root, tmp_path):
    shifted = []
    for each in one_light.of(FrameType.BIAS):
        counts, header = fits_images.read_image(each.path)
        path = tmp_path / each.path.name
        fits_images.write_image(path, counts + np.uint16(2), header)
        shifted.append(replace(each, path=path))
    rest = tuple(each for each in one_light.frames if each.type is not FrameType.BIAS)
    other = replace(one_light, night=date(2026, 1, 12), frames=(*shifted, *rest))
    tight = CalibrateOptions(bias_level_adu=(400.0, 513.0))

    masters = mastering.make_masters.fn(other, root, tight)
    [bias] = [each for each in masters.quality if each.kind == "bias"]
    assert (bias.status, masters.bias) == ("borrowed", archive / "zero/20260115-zero.fits")
    assert bias.faults[0].startswith("bias level 514")
    assert not (archive / "zero/20260112-zero.fits").exists()

    alone = mastering.make_masters.fn(other, tmp_path / "alone", tight)
    [bias] = [each for each in alone.quality if each.kind == "bias"]
    assert (bias.status, alone.bias.name) == ("doubtful", "zero.fits")
    made, header = light(other, alone, tmp_path / "alone", tight)
    assert made.qa & QaBit.BIAS_DOUBTFUL
    assert header["QATEXT"].startswith("doubtful bias: bias level 514")


def test_an_unreadable_or_foreign_master_in_the_archive_is_passed_over(one_light, first, archive, root):
    folder = archive / "flat"
    (folder / "20260116-nr.fits").write_bytes(b"SIMPLE  = nothing")
    (folder / "20260199-nr.fits").write_bytes(b"")
    (folder / "20260116-nrw.fits").write_bytes(b"")
    masters = mastering.make_masters.fn(later(one_light, 16, FrameType.BIAS, FrameType.DARK), root, OPTIONS)
    assert masters.flats == {"r": folder / "20260115-nr.fits"}


def test_without_an_archive_nothing_is_kept_or_borrowed(one_light, tmp_path):
    options = CalibrateOptions(archive=False)
    mastering.make_masters.fn(one_light, tmp_path, options)
    assert not (tmp_path / "master_frame_1x1_gain2750").exists()
    bare = later(one_light, 16, FrameType.BIAS, FrameType.DARK)
    assert [each.status for each in mastering.make_masters.fn(bare, tmp_path, options).quality] == [
        "made",
        "made",
        "doubtful",
    ]


def test_masters_are_made_again_when_a_light_needs_another_flat(one_light, first, root):
    folder = naming.NightTree(root=root).masters("7DT01", FIRST)
    before = (folder / "nr.fits").stat().st_mtime_ns
    other = replace(one_light, needs=(*one_light.needs, ("i", 100.0)))
    made = mastering.make_masters.fn(other, root, OPTIONS)
    assert made.flats == {"r": folder / "nr.fits", "i": folder / "ni.fits"}
    assert [each.faults for each in made.quality if each.label == "i"] == [
        ("no flats of the filter: taken as 1 everywhere",)
    ]
    assert (folder / "nr.fits").stat().st_mtime_ns > before
