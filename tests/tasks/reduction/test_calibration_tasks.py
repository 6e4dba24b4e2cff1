"""A simulated night from raw folder to calibrated lights, held against its truth."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from astropy.io import fits
from support import devices, simulated

from tasks import naming, products
from tasks.errors import UnusableData
from tasks.io.fits import fits_images
from tasks.options import CalibrateOptions
from tasks.records import CalibratedBatch, FrameType, Inventory, MaskBit, Masters
from tasks.reduction import calibration, inventory
from tasks.reduction import masters as mastering
from tasks.science import arrays
from tasks.science.calibration import lights
from tasks.science.images import device_batches

NIGHT = date(2026, 1, 15)
OPTIONS = CalibrateOptions()


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    return simulated.make_night(tmp_path_factory.mktemp("night"), filters=("r",))


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("products")


@pytest.fixture(scope="module")
def taken(night) -> Inventory:
    return inventory.take_inventory.fn(night.folder(), "7DT01", NIGHT)


@pytest.fixture(scope="module")
def masters(taken, root) -> Masters:
    return mastering.make_masters.fn(taken, root, OPTIONS)


@pytest.fixture(scope="module")
def batch(taken, masters, root) -> CalibratedBatch:
    return calibration.calibrate_lights.fn(taken.of(FrameType.LIGHT), masters, NIGHT, root, OPTIONS)


def test_masters_serve_the_whole_night_whichever_objects_are_asked_for(night, root, masters):
    none = inventory.take_inventory.fn(night.folder(), "7DT01", NIGHT, objects=("999",))
    before = {path: path.stat().st_mtime_ns for path in masters.bias.parent.iterdir()}
    assert not none.of(FrameType.LIGHT)
    assert mastering.make_masters.fn(none, root, OPTIONS) == masters
    assert {path: path.stat().st_mtime_ns for path in masters.bias.parent.iterdir()} == before


def planes(light):
    return tuple(fits_images.read_image(path)[0] for path in (light.image, light.variance, light.mask))


def without(taken, *names):
    return replace(taken, frames=tuple(frame for frame in taken.frames if not frame.path.name.startswith(names)))


@pytest.fixture
def spoilt(night, tmp_path):
    """A copy of the night's folder to spoil."""
    return shutil.copytree(night.folder(), tmp_path / "spoilt")


def test_the_inventory_names_every_frame_once(taken, night):
    assert len(taken.frames) + len(taken.rejected) == len(night.raw("*.fits"))
    assert taken.rejected == ()
    assert [len(taken.of(type_)) for type_ in FrameType] == [7, 5, 5, len(night.lights())]
    assert {frame.filter for frame in taken.of(FrameType.LIGHT)} == {"r"}
    assert all(frame.shape == (400, 600) for frame in taken.frames)
    assert all(frame.ra_deg is not None for frame in taken.of(FrameType.LIGHT))


def test_the_inventory_is_the_same_every_time(taken, night):
    assert inventory.take_inventory.fn(night.folder(), "7DT01", NIGHT) == taken


def test_bad_frames_are_rejected_with_reasons_and_the_rest_is_taken(spoilt, taken):
    (spoilt / "garbage.fits").write_bytes(b"\x00" * 5000)
    (spoilt / "packed.fits.fz").write_bytes(b"SIMPLE")
    (spoilt / "folder.fits").mkdir()
    (spoilt / "notes.txt").write_text("clouds")
    (spoilt / ".hidden.fits").write_bytes(b"")
    light = spoilt / taken.of(FrameType.LIGHT)[0].path.name
    light.write_bytes(light.read_bytes()[:100_000])
    result = inventory.take_inventory.fn(spoilt, "7DT01", NIGHT)
    reasons = {each.name: each.reason for each in result.rejected}
    assert set(reasons) == {"garbage.fits", "packed.fits.fz", "folder.fits", light.name}
    assert "truncated" in reasons[light.name]
    assert len(result.frames) == len(taken.frames) - 1


def test_what_is_no_night_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    for name, words in (("file", "is not a folder"), ("missing", "is not a folder"), ("empty", "no FITS image")):
        with pytest.raises(UnusableData, match=words):
            inventory.take_inventory.fn(tmp_path / name, "7DT01", NIGHT)
    with pytest.raises(UnusableData, match="unit name"):
        inventory.take_inventory.fn(tmp_path, "../7DT", NIGHT)


def test_masters_have_their_names_and_cards(masters, root, night):
    folder = naming.NightTree(root=root).masters("7DT01", NIGHT)
    assert masters.bias == folder / "zero.fits"
    assert masters.darks == {100.0: folder / "dark-100.fits"}
    assert masters.flats == {"r": folder / "nr.fits"}
    assert masters.rejected == ()
    header = fits_images.read_header(masters.bias)
    assert header["NCOMBINE"] == 7
    assert header["IMCMB007"] == "bias-0007.fits"
    assert header["EGAIN"] == pytest.approx(night.truth["gain"])
    assert header["RDNOISE"] == pytest.approx(night.truth["read_noise_e"], rel=0.01)
    dark, flat = (fits_images.read_header(path) for path in (masters.darks[100.0], masters.flats["r"]))
    assert dark["BIASNAME"] == masters.bias.name
    assert (flat["BIASNAME"], flat["DARKNAME"]) == (masters.bias.name, masters.darks[100.0].name)


def test_the_master_flat_is_the_cameras_transmission(masters, night):
    flat, _ = fits_images.read_image(masters.flats["r"])
    variance, _ = fits_images.read_image(naming.variance_of(masters.flats["r"]))
    good = night.bad_pixels() == 0
    ratio = flat / night.transmission()
    pull = (ratio / np.median(ratio[good]) - 1) / (np.sqrt(variance) / flat)
    assert arrays.nmad(pull[good]) == pytest.approx(1.0, abs=0.2)


def test_bad_pixels_are_found(masters, night):
    bad = fits_images.read_image(masters.bad_pixels)[0] | fits_images.read_image(naming.mask_of(masters.flats["r"]))[0]
    truth = night.bad_pixels()
    assert (bad[truth != 0] != 0).mean() > 0.98
    assert (bad[truth == 0] != 0).mean() < 0.004  # warm pixels, of which the truth says nothing


def test_lights_are_flat_and_their_noise_is_known(batch, night):
    assert batch.rejected == ()
    assert len(batch.calibrated) == len(night.lights())
    for light in batch.calibrated:
        image, variance, mask = planes(light)
        assert (image.dtype, variance.dtype, mask.dtype) == (np.float32, np.float32, np.uint8)
        assert np.isfinite(image).all()
        assert (variance > 0).all()
        sky = image[mask == 0]
        pull = (sky - np.median(sky)) / np.sqrt(variance[mask == 0])
        assert np.sqrt(np.mean(pull[np.abs(pull) < 2.5] ** 2)) == pytest.approx(0.92, abs=0.08)


def test_cosmic_rays_are_marked_and_filled(batch, night):
    rows = {row["file"].rsplit("/", 1)[-1]: row for row in night.lights()}
    strong, found = 0, 0
    for light in batch.calibrated:
        _, variance, mask = planes(light)
        hits = fits.getdata(night.root / rows[light.frame.path.name]["cosmics"])
        snr = hits["charge_e"] / night.truth["gain"] / np.sqrt(variance[hits["y"], hits["x"]])
        bits = mask[hits["y"], hits["x"]][snr > 15]
        strong += bits.size
        found += ((bits & MaskBit.COSMIC_RAY) != 0).sum()
        assert (mask[(mask & MaskBit.COSMIC_RAY) != 0] & MaskBit.INTERPOLATED).all()
    assert strong > 50
    assert found / strong > 0.9


def test_the_header_tells_what_the_next_stage_needs(batch, masters):
    light = batch.calibrated[0]
    header = fits_images.read_header(light.image)
    assert light.image.name == f"fdz{light.frame.path.name}"
    assert header["IMAGETYP"] == "object"
    assert (header["FILTER"], header["EXPTIME"], header["BUNIT"]) == ("r", 100.0, "adu")
    assert header["DATE-OBS"] == light.frame.date_obs.replace(tzinfo=None).isoformat(timespec="milliseconds")
    assert (header["BIASNAME"], header["DARKNAME"], header["FLATNAME"]) == ("zero.fits", "dark-100.fits", "nr.fits")
    assert (header["DARKSCAL"], header["BPMNAME"]) == (1.0, "bad-pixels.fits")
    assert 0 <= header["BIASAGE"] < 1
    assert 50000 < header["SATURATE"] < 62000
    mask = fits_images.read_image(light.mask)[0]
    assert header["NMASK1"] == ((mask & 1) != 0).sum()
    assert header["NMASK4"] == ((mask & 4) != 0).sum()


def test_a_second_run_looks_up_and_writes_nothing(taken, masters, batch, root):
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}
    assert mastering.make_masters.fn(taken, root, OPTIONS) == masters
    again = calibration.calibrate_lights.fn(taken.of(FrameType.LIGHT), masters, NIGHT, root, OPTIONS)
    assert again == batch
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()} == before


def test_the_same_frames_give_the_same_bytes(taken, masters, batch, tmp_path):
    again = mastering.make_masters.fn(taken, tmp_path, OPTIONS)
    lights = taken.of(FrameType.LIGHT)[::-1]
    redone = calibration.calibrate_lights.fn(lights, again, NIGHT, tmp_path, OPTIONS)
    assert products.sha256_of(again.flats["r"]) == products.sha256_of(masters.flats["r"])
    for one, other in zip(batch.calibrated, redone.calibrated, strict=True):
        assert products.sha256_of(one.image) == products.sha256_of(other.image)
        assert products.sha256_of(one.mask) == products.sha256_of(other.mask)


def test_a_full_device_ends_on_the_cpu_with_the_same_result(taken, masters, batch, tmp_path, monkeypatch):
    class Full:
        """An array module whose first use finds the device full."""

        def __getattr__(self, name):
            raise MemoryError(name)

    monkeypatch.setattr(arrays, "device", Full)
    monkeypatch.setattr(arrays, "out_of_memory", lambda: MemoryError)
    again = mastering.make_masters.fn(taken, tmp_path, OPTIONS)
    redone = calibration.calibrate_lights.fn(taken.of(FrameType.LIGHT)[:1], again, NIGHT, tmp_path, OPTIONS)
    assert products.sha256_of(again.bias) == products.sha256_of(masters.bias)
    assert products.sha256_of(redone.calibrated[0].image) == products.sha256_of(batch.calibrated[0].image)


@pytest.mark.parametrize(("room", "asked"), [(4, [4, 2]), (2, [4, 2, 2, 2]), (0, [4, 2, 1])])
def test_a_device_without_room_for_a_batch_gives_the_same_bytes(
    taken, masters, batch, tmp_path, monkeypatch, room, asked
):
    class Device:
        """NumPy by another name."""

        def __getattr__(self, name):
            return getattr(np, name)

    device, real, tried = Device(), lights.process, []
    benches = []
    monkeypatch.setattr(arrays, "device", lambda: device)
    monkeypatch.setattr(arrays, "out_of_memory", lambda: MemoryError)
    begin = device_batches.Batches.__init__
    monkeypatch.setattr(
        device_batches.Batches, "__init__", lambda self, most: (benches.append(self), begin(self, most))[1]
    )

    def process(counts, setup, **options):
        if benches[-1].xp is device:
            tried.append(len(counts))
            if len(counts) > room:
                raise MemoryError
        return real(counts, setup, **options)

    monkeypatch.setattr(lights, "process", process)
    redone = calibration.calibrate_lights.fn(taken.of(FrameType.LIGHT), masters, NIGHT, tmp_path, OPTIONS)
    assert tried == asked
    for one, other in zip(batch.calibrated, redone.calibrated, strict=True):
        for kind in ("image", "variance", "mask"):
            assert products.sha256_of(getattr(one, kind)) == products.sha256_of(getattr(other, kind))


def test_a_small_device_combines_in_smaller_bands_with_the_same_result(taken, masters, tmp_path, monkeypatch):
    frames_each, (rows, width) = 7, fits_images.open_image(masters.bias).shape
    small = devices.Small(room=frames_each * width * rows * np.dtype(np.uint16).itemsize // 3)
    monkeypatch.setattr(arrays, "device", lambda: small)
    monkeypatch.setattr(arrays, "out_of_memory", lambda: MemoryError)
    again = mastering.make_masters.fn(taken, tmp_path, OPTIONS)

    assert {shape[1] for shape in small.refused if shape[0] == frames_each} == {rows, rows // 2}
    assert {shape[1] for shape in small.taken if shape[0] == frames_each} == {rows // 4}
    for mine, other in ((again.bias, masters.bias), (again.flats["r"], masters.flats["r"])):
        assert products.sha256_of(mine) == products.sha256_of(other)


def test_a_frame_that_breaks_after_the_inventory_is_named_and_the_rest_done(taken, masters, tmp_path):
    lights = list(taken.of(FrameType.LIGHT)[:3])
    broken = tmp_path / lights[1].path.name
    broken.write_bytes(lights[1].path.read_bytes()[:50_000])
    lights[1] = replace(lights[1], path=broken)
    odd = replace(lights[2], filter="z")
    result = calibration.calibrate_lights.fn((*lights, odd), masters, NIGHT, tmp_path / "out", OPTIONS)
    assert len(result.calibrated) == 2
    assert sorted(each.reason.split(":")[0].split(" (")[0] for each in result.rejected) == sorted(
        [f"{broken.name} is truncated", "there is no z flat"]
    )


def test_a_bad_bias_and_too_few_flats_are_named(taken, spoilt, tmp_path):
    path = spoilt / "bias-0003.fits"
    counts, header = fits_images.read_image(path)
    fits_images.write_image(path, counts + np.uint16(200), header)
    for number in (1, 2, 3):
        (spoilt / f"flat-r-000{number}.fits").unlink()
    result = mastering.make_masters.fn(inventory.take_inventory.fn(spoilt, "7DT01", NIGHT), tmp_path / "out", OPTIONS)
    reasons = {each.name: each.reason for each in result.rejected}
    assert "is off the 512.0 ADU of the bias frames" in reasons["bias-0003.fits"]
    [flat] = [each for each in result.quality if each.kind == "flat"]
    assert (flat.status, flat.faults[0]) == ("doubtful", "of 2 frames (a good one: at least 3)")
    assert fits_images.read_header(result.bias)["NCOMBINE"] == 6


@pytest.mark.parametrize("mode", ["seed", "median", "mean"])
def test_every_mode_makes_masters(taken, tmp_path, mode):
    made = mastering.make_masters.fn(taken, tmp_path, CalibrateOptions(combine=mode))
    assert np.median(fits_images.read_image(made.bias)[0]) == pytest.approx(512, abs=1)
