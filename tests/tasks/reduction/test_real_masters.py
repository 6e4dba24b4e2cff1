"""Masters of a real camera, from its files as they are: no IMAGETYP, decimal commas, no gain, and two bad darks."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from tasks.io.fits import fits_images
from tasks.options import CalibrateOptions
from tasks.records import FrameType
from tasks.reduction import inventory
from tasks.reduction import masters as mastering
from tasks.science.calibration import correction
from tasks.science.headers import dialects

NIGHT = date(2024, 4, 15)
CARDS = dialects.looked_at("FILTER")
OPTIONS = CalibrateOptions(minimum_darks=2, bias_level_adu=(2300.0, 2310.0), combine="seed")


@pytest.fixture(scope="module")
def taken(shared_data):
    return inventory.take_inventory.fn(shared_data / "raw" / "asi", "7DT01", NIGHT)


@pytest.fixture(scope="module")
def masters(taken, tmp_path_factory):
    return mastering.make_masters.fn(taken, tmp_path_factory.mktemp("products"), OPTIONS)


def test_the_names_tell_the_types_and_commas_the_times_and_what_has_no_filter_is_named(taken):
    number = {kind: len(taken.of(kind)) for kind in FrameType}
    assert number == {FrameType.BIAS: 5, FrameType.DARK: 6, FrameType.FLAT: 0, FrameType.LIGHT: 0}
    assert {frame.exposure_s for frame in taken.of(FrameType.BIAS)} == {6.4e-05}
    assert {frame.exposure_s for frame in taken.of(FrameType.DARK)} == {10.0, 100.0}
    assert [(each.name, each.reason) for each in taken.rejected] == [
        (f"flat_0{n}.fits.gz", f"FILTER is missing (needed for lights and flats; looked at {CARDS})") for n in (1, 2, 3)
    ]


def test_the_two_bad_darks_are_left_out_by_name(masters):
    assert {each.name for each in masters.rejected} == {"dark_10s_02.fits.gz", "dark_100s_02.fits.gz"}
    assert all("is off the" in each.reason for each in masters.rejected)


def test_the_masters_have_the_figures_known_of_the_camera(masters):
    bias, header = fits_images.read_image(masters.bias)
    assert np.median(bias) == pytest.approx(2304, abs=1)
    assert header["RDNOISE"] / header["EGAIN"] == pytest.approx(27.5, abs=1.5)
    assert header["NCOMBINE"] == 5
    short, long = (fits_images.read_image(masters.darks[exposure])[0] for exposure in (10.0, 100.0))
    assert short.mean() == pytest.approx(90.5, abs=2)
    assert long.mean() == pytest.approx(855, abs=5)
    # a dark scaled to ten times its exposure is far nearer than one taken as it is
    assert (long - short).mean() == pytest.approx(766, abs=10)
    assert abs((long - 10 * short).mean()) < 0.1 * (long - short).mean()
    distance = np.abs(long - np.median(long)) / (1.4826 * np.median(np.abs(long - np.median(long))))
    assert (distance > 5).mean() == pytest.approx(0.05, abs=0.01)
    # the map's limit is about the level around a pixel, which scatters less than the whole frame
    assert (fits_images.read_image(masters.bad_pixels)[0][distance > 5] & correction.BAD_DARK).mean() > 0.98
