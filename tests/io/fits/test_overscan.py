"""Overscan and trimming of a real frame with published figures, and of simulated frames."""

from __future__ import annotations

import numpy as np
import pytest

from tasks.errors import UnusableData
from tasks.io.fits import fits_images, overscan


def write(path, data, **cards):
    fits_images.write_image(path, data, cards)
    return path


def test_a_real_frame_loses_its_overscan(shared_data):
    path = shared_data / "raw" / "ccdproc" / "a8280271.fits"
    raw, header = fits_images.read_image(path)
    strip = raw[:, 3:13].astype(float)
    assert (np.median(strip), round(float(strip.std()), 1)) == (214.0, 3.0)

    trimmed = overscan.open_raw(path, trim=True)
    corrected = overscan.open_raw(path, overscan=True, trim=True)

    assert raw.shape == (520, 536)
    assert trimmed.shape == corrected.shape == (520, 512)
    assert np.median(trimmed.rows()) == 300
    assert np.median(corrected.rows()) == pytest.approx(86, abs=0.5)
    rows = np.median(strip, axis=1)
    assert (rows.min(), rows.max()) == (210.5, 217.0)
    np.testing.assert_allclose(corrected.rows(100, 120), raw[100:120, 16:528] - rows[100:120, None])
    assert not {"BIASSEC", "TRIMSEC"} & corrected.header.keys()
    assert header["TRIMSEC"]


def test_without_the_options_a_frame_is_as_stored(tmp_path):
    path = write(tmp_path / "a.fits", np.ones((10, 12), np.uint16), BIASSEC="[1:2,1:10]", TRIMSEC="[3:12,1:10]")
    assert type(overscan.open_raw(path)) is fits_images.ImageFile


@pytest.mark.parametrize("trim", ["[3:12,1:10]", "[1:8,1:10]"])
def test_a_frame_that_is_trimmed_already_is_left_alone(tmp_path, trim):
    path = write(tmp_path / "a.fits", np.ones((10, 8), np.uint16), BIASSEC="[1:2,1:10]", TRIMSEC=trim)
    assert type(overscan.open_raw(path, overscan=True, trim=True)) is fits_images.ImageFile


def test_a_window_in_the_middle_is_cut_exactly(tmp_path):
    data = np.arange(10 * 12, dtype=np.uint16).reshape(10, 12)
    path = write(tmp_path / "a.fits", data, TRIMSEC="[3:11, 2:9]")
    cut = overscan.open_raw(path, trim=True)
    np.testing.assert_array_equal(cut.rows(), data[1:9, 2:11])
    np.testing.assert_array_equal(cut.rows(3, 5), data[4:6, 2:11])
    np.testing.assert_array_equal(cut.sample(), data[1:9, 2:11])


@pytest.mark.parametrize("text", ["[1:2]", "all", "[5:2,1:10]", "[0:2,1:10]"])
def test_a_section_that_is_none_is_refused(tmp_path, text):
    path = write(tmp_path / "a.fits", np.ones((10, 12), np.uint16), BIASSEC=text)
    with pytest.raises(UnusableData, match="BIASSEC"):
        overscan.open_raw(path, overscan=True)
