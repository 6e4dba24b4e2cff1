"""Options that act when frames are read: overscan and trim, a user's rewrites, chosen objects, folders of one unit."""

from __future__ import annotations

import shutil
from datetime import date

import numpy as np
import pytest
from astropy.io import fits
from support import simulated

from tasks.errors import UnusableData
from tasks.io.fits import fits_images
from tasks.options import CalibrateOptions, HeaderRewrite
from tasks.records import FrameType
from tasks.reduction import calibration, inventory
from tasks.reduction import masters as mastering

NIGHT = date(2026, 1, 15)
STRIP = 12


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    return simulated.make_night(tmp_path_factory.mktemp("night"), filters=("r",), lights=1)


@pytest.fixture(scope="module")
def wide(night, tmp_path_factory):
    """The same frames from a camera that reads an overscan whose level wanders from row to row and frame to frame."""
    folder = tmp_path_factory.mktemp("wide")
    for number, path in enumerate(sorted(night.folder().glob("*.fits"))):
        counts, header = fits_images.read_image(path)
        ny, nx = counts.shape
        drift = ((np.arange(ny) + 3 * number) % 7).astype(np.uint16)[:, None]
        strip = np.full((ny, STRIP), 512, np.uint16) + drift
        cards = {"BIASSEC": f"[1:{STRIP},1:{ny}]", "TRIMSEC": f"[{STRIP + 1}:{STRIP + nx},1:{ny}]"}
        fits_images.write_image(folder / path.name, np.hstack([strip, counts + drift]), {**header, **cards})
    return folder


def calibrate(folder, root, options):
    taken = inventory.take_inventory.fn(folder, "7DT01", NIGHT, options)
    masters = mastering.make_masters.fn(taken, root, options)
    [made] = calibration.calibrate_lights.fn(taken.of(FrameType.LIGHT), masters, NIGHT, root, options).calibrated
    return masters, made, fits_images.read_image(made.image)[0]


def test_overscan_and_trim_undo_what_the_camera_added(night, wide, tmp_path):
    _, plain, expected = calibrate(night.folder(), tmp_path / "plain", CalibrateOptions(cosmic_rays=False))
    options = CalibrateOptions(cosmic_rays=False, overscan=True, trim=True)
    masters, made, image = calibrate(wide, tmp_path / "wide", options)

    assert image.shape == expected.shape
    good = (fits_images.read_image(plain.mask)[0] == 0) & (fits_images.read_image(made.mask)[0] == 0)
    assert good.mean() > 0.98
    assert np.abs(image - expected)[good].max() < 0.5
    assert np.median(fits_images.read_image(masters.bias)[0]) == pytest.approx(0, abs=1)
    assert [each.status for each in masters.quality] == ["made"] * 3
    assert "TRIMSEC" not in fits_images.read_header(made.image)


def test_fringes_of_a_filter_that_nobody_has_are_refused_by_name(night):
    options = CalibrateOptions(defringe=("z", "Z", "m901"))
    with pytest.raises(
        UnusableData, match=r"defringe names Z, m901, which 7DT does not have: its filters are g, i, m375w"
    ):
        inventory.take_inventory.fn(night.folder(), "7DT01", NIGHT, options)


def test_a_users_rewrites_reach_inventory_masters_and_lights(night, tmp_path):
    table = (
        HeaderRewrite(key="FILTER", value="r", new="g"),
        HeaderRewrite(key="OBJECT", value="T00001", new="FIELD1"),
    )
    masters, made, _ = calibrate(night.folder(), tmp_path, CalibrateOptions(header_table=table))
    header = fits_images.read_header(made.image)
    assert (made.frame.filter, made.frame.object) == ("g", "FIELD1")
    assert (header["FILTER"], header["OBJECT"]) == ("g", "FIELD1")
    assert set(masters.flats) == {"g"}


def test_cosmic_rays_are_searched_with_the_options_limits_and_not_in_short_exposures(night, tmp_path):
    taken = inventory.take_inventory.fn(night.folder(), "7DT01", NIGHT)
    masters = mastering.make_masters.fn(taken, tmp_path, CalibrateOptions())

    def marked(**choices):
        chosen = taken.of(FrameType.LIGHT)
        done = calibration.calibrate_lights.fn(chosen, masters, NIGHT, tmp_path, CalibrateOptions(**choices))
        return int(fits_images.read_header(done.calibrated[0].image)["NMASK4"])

    standard = marked()
    assert 0 < marked(cosmic_sigma=12.0) < standard
    assert 0 < marked(cosmic_rounds=1) <= standard
    assert marked(cosmic_contrast=500.0) < standard
    assert marked(cosmic_exposure_s=200.0) == 0


@pytest.mark.parametrize(("objects", "lights"), [((), 1), (("T00001",), 1), (("1",), 1), (("t00002", "2"), 0)])
def test_only_lights_of_chosen_objects_are_taken_with_all_calibration_frames(night, objects, lights):
    taken = inventory.take_inventory.fn(night.folder(), "7DT01", NIGHT, CalibrateOptions(), objects)
    assert [len(taken.of(type_)) for type_ in FrameType] == [7, 5, 5, lights]
    assert taken.rejected == ()


def test_survey_and_target_of_opportunity_of_one_unit_share_their_calibration_frames(night):
    taken = inventory.take_inventory.fn(night.folder(), "7DT01", NIGHT)
    urgent, survey = ([f for f in taken.frames if (f.type is FrameType.LIGHT) is light] for light in (True, False))
    parts = [inventory.replace(taken, frames=tuple(part)) for part in (urgent, survey)]
    other = inventory.replace(taken, unit="7DT02")
    assert inventory.join([*parts, other]) == (taken, other)


def test_an_exposure_that_lies_there_more_than_once_counts_once(night, tmp_path):
    """Kind: the identity of an exposure is its unit, start and pixels, not the name or the bytes of its file."""
    folder = tmp_path / "night"
    shutil.copytree(night.folder(), folder)
    [light] = night.raw("T0*.fits")
    shutil.copy2(light, folder / "copy of it.fits")
    with fits.open(light) as units:
        units[0].header["NOTE"] = "another comment"
        units.writeto(folder / "z-commented.fits")
        fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(units[0].data, units[0].header)]).writeto(
            folder / "z.fits.fz"
        )
    # another exposure that began in the same second
    counts, header = fits_images.read_image(night.raw("BIAS*.fits")[0] if night.raw("BIAS*.fits") else light)
    fits_images.write_image(folder / "other.fits", counts + np.uint16(1), header)

    before = inventory.take_inventory.fn(night.folder(), "7DT01", NIGHT)
    taken = inventory.take_inventory.fn(folder, "7DT01", NIGHT)

    assert len(taken.of(FrameType.LIGHT)) + len(taken.of(FrameType.BIAS)) == 1 + len(before.frames) - len(
        [each for each in before.frames if each.type not in (FrameType.LIGHT, FrameType.BIAS)]
    )
    told = {each.name: (each.unit, each.reason) for each in taken.rejected}
    assert len(told) == 3
    assert all(unit == "7DT01" and "is the same exposure as" in reason for unit, reason in told.values())


def test_a_target_of_opportunity_and_a_survey_share_no_exposure_twice(night, tmp_path):
    again = shutil.copytree(night.folder(), tmp_path / "again")
    taken = [inventory.take_inventory.fn(folder, "7DT01", NIGHT) for folder in (night.folder(), again)]
    [joined] = inventory.join(taken)
    assert len(joined.frames) == len(taken[0].frames)
