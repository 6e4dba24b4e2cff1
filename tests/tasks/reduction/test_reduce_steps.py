"""Calibrated lights to solved, measured and stacked images, held against the simulator's truth."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table
from astropy.wcs import WCS
from photutils.aperture import ApertureStats, CircularAnnulus, CircularAperture
from support import simulated, simulated_reduction

from tasks import naming
from tasks.errors import UnusableData
from tasks.io.catalogues import ldac, photometric_catalogues
from tasks.io.fits import fits_images
from tasks.options import DeepOptions, ReduceOptions, StackOptions
from tasks.reduction import astrometry, deep_stacks, photometry, stacking
from tasks.science.astrometry import matching
from tasks.science.astrometry import wcs_checks as wcs_science
from tasks.science.stacking import stack_members as grouping

PROGRAMS = ("source-extractor", "scamp", "missfits", "SWarp")
pytestmark = [
    pytest.mark.binaries,
    pytest.mark.skipif(
        any(shutil.which(name) is None for name in PROGRAMS), reason=f"one of {', '.join(PROGRAMS)} is not installed"
    ),
]
OPTIONS = ReduceOptions(program_timeout_s=60)


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    return simulated.make_night(
        tmp_path_factory.mktemp("night"), scale="small", units=1, filters=("r",), lights=4, biases=5, darks=3, flats=3
    )


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("products")


@pytest.fixture(scope="module")
def bench(night, root):
    return simulated_reduction.calibrate(night, root)


@pytest.fixture(scope="module")
def calibrated(bench):
    return bench.calibrated


@pytest.fixture(scope="module")
def zero_point(night, bench):
    """The true zero point of a frame, on the flux scale that the flat's normalisation gives it."""

    def of(item):
        return truth_of(night, item)["zero_point_mag"] + 2.5 * np.log10(bench.scale)

    return of


@pytest.fixture(scope="module")
def solved(calibrated, night, root):
    return astrometry.solve.fn(calibrated, night.astrometric, root, OPTIONS)


@pytest.fixture(scope="module")
def reduced(solved, night, root):
    return photometry.measure.fn(solved, night.photometric, root, OPTIONS)


@pytest.fixture(scope="module")
def stack(reduced, night, root):
    [group] = grouping.group_by_gap(reduced.reduced, 300.0)
    return stacking.combine.fn(group, night.photometric, root, StackOptions())


def truth_of(night, item):
    return next(row for row in night.lights() if Path(row["file"]).name == item.frame.path.name)


def stamps(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def leftovers(folder):
    return list(folder.rglob(".*"))


def test_every_light_is_solved_to_better_than_0p1_arcsec_of_the_truth(solved, night):
    assert len(solved.solved) == 4
    assert not solved.rejected
    for item in solved.solved:
        x, y, ra, dec = np.transpose(truth_of(night, item)["check_points"])
        found_ra, found_dec = wcs_science.wcs_of(fits_images.read_header(item.image)).all_pix2world(x, y, 0)
        error = np.hypot((found_ra - ra) * np.cos(np.radians(dec)), found_dec - dec) * 3600
        assert error.max() < 0.1
        assert item.astrometry.matched >= 100


def test_the_header_tells_footprint_and_quality(reduced):
    for item in reduced.reduced:
        header = fits_images.read_header(item.image)
        corners = np.array([(header[f"RAPOLY{i}"], header[f"DEPOLY{i}"]) for i in range(4)])
        sides = np.hypot(*(np.diff([*corners, corners[0]], axis=0) * [np.cos(np.radians(-30)), 1]).T)
        assert header["CTYPE1"] == "RA---TPV"
        assert sides == pytest.approx(np.array([2393, 1596, 2393, 1596]) * 0.505 / 3600, rel=0.003)
        assert header["ASTNMAT"] == item.astrometry.matched
        assert header["ZP_AUTO"] == item.photometry.zero_point_mag["AUTO"]


def test_variance_and_mask_share_the_pixels_and_the_wcs_of_their_image(reduced):
    for item in reduced.reduced:
        wcs = wcs_science.wcs_of(fits_images.read_header(item.image))
        for plane in (item.variance, item.mask):
            other = wcs_science.wcs_of(fits_images.read_header(plane))
            np.testing.assert_allclose(other.all_pix2world(100, 900, 0), wcs.all_pix2world(100, 900, 0), rtol=1e-12)
            assert fits_images.open_image(plane).shape == fits_images.open_image(item.image).shape


def test_the_zero_points_of_the_whole_light_are_within_20_mmag_of_the_truth(reduced, zero_point):
    errors = [item.photometry.zero_point_mag["TOT"] - zero_point(item) for item in reduced.reduced]

    assert np.abs(errors).max() < 0.02


def test_aperture_zero_points_miss_just_the_light_outside_the_aperture(reduced, night, zero_point):
    for item in reduced.reduced:
        truth = truth_of(night, item)
        alpha = truth["seeing_arcsec"] / 2 / np.sqrt(2 ** (1 / 3) - 1)
        for key, radius in (("4", 2.5), ("5", 5.0)):  # in smaller ones the pixels blur what the formula does not
            inside = 1 - (1 + (radius / alpha) ** 2) ** -2
            expected = zero_point(item) + 2.5 * np.log10(inside)
            assert item.photometry.zero_point_mag[key] == pytest.approx(expected, abs=0.04)


def test_sky_and_noise_are_those_of_the_image(reduced):
    for item in reduced.reduced:
        data = fits_images.read_image(item.image)[0]
        assert item.photometry.sky_adu == pytest.approx(np.median(data), rel=0.01)
        assert item.photometry.sky_sigma_adu == pytest.approx(
            1.4826 * np.median(np.abs(data - np.median(data))), rel=0.05
        )


def test_the_catalogue_gives_the_magnitudes_of_the_reference(reduced):
    table = photometric_catalogues.read(reduced.reduced[0].photometry.catalogue)
    bright = np.isfinite(table["mag_r"]) & (table["mag_r"] < 16) & (table["FLAGS"] == 0)

    assert table.meta["filter"] == "r"
    assert bright.sum() >= 20
    assert abs(np.median(table["MAG_AUTO_r"][bright] - table["mag_r"][bright])) < 0.02
    assert np.median(table["FLUX_AUTO_r"][bright]) == pytest.approx(
        np.median(10 ** (0.4 * (23.9 - table["MAG_AUTO_r"][bright]))), rel=1e-4
    )


def test_the_stack_has_the_flux_of_its_reference_frame_to_one_percent(stack, reduced, night, zero_point):
    image, header = fits_images.read_image(stack.image)
    best = max(reduced.reduced, key=lambda item: (item.photometry.depth5_mag["1"], item.image.name))
    stars = night.stars()
    stars = stars[(stars["mag_r"] > 13) & (stars["mag_r"] < 15.5)]
    x, y = wcs_science.wcs_of(header).all_world2pix(stars["ra"], stars["dec"], 0)
    inside = (x > 200) & (x < image.shape[1] - 200) & (y > 200) & (y < image.shape[0] - 200)
    positions = np.column_stack([x, y])[inside]
    radius = 20.0
    sky = ApertureStats(image, CircularAnnulus(positions, 24, 32), sigma_clip=None).median
    flux = ApertureStats(image, CircularAperture(positions, radius)).sum - sky * np.pi * radius**2
    lost = [
        (1 + (radius * 0.505 / (row["seeing_arcsec"] / 2 / np.sqrt(2 ** (1 / 3) - 1))) ** 2) ** -2
        for row in night.lights()
    ]
    expected = 10 ** (0.4 * (zero_point(best) - stars["mag_r"][inside])) * (1 - np.mean(lost))

    assert inside.sum() >= 20
    assert np.median(flux / expected) == pytest.approx(1, abs=0.01)


def test_the_stack_is_deeper_than_its_frames_by_the_root_of_their_number(stack, reduced):
    single = np.median([item.photometry.depth5_mag["1"] for item in reduced.reduced])

    assert stack.photometry.depth5_mag["1"] - single == pytest.approx(2.5 * np.log10(np.sqrt(4)), abs=0.2)


def test_the_variance_of_the_stack_is_the_scatter_of_its_sky(stack):
    image, variance = fits_images.read_image(stack.image)[0], fits_images.read_image(stack.variance)[0]
    centre = (slice(400, 1200), slice(600, 1800))
    scatter = 1.4826 * np.median(np.abs(image[centre] - np.median(image[centre])))

    assert np.sqrt(np.median(variance[centre])) == pytest.approx(scatter, rel=0.1)
    assert abs(np.median(image[centre])) < 0.1 * scatter


def test_the_stack_lies_on_the_grid_of_the_reference_image(stack, night):
    [reference] = [path for path in (night.references / "r").glob("*.fits") if path.name.count(".") == 1]
    ours, theirs = (fits_images.read_header(path) for path in (stack.image, reference))
    grid = WCS(naxis=2)
    grid.wcs.ctype = [theirs["CTYPE1"], theirs["CTYPE2"]]
    grid.wcs.crval, grid.wcs.crpix = [theirs["CRVAL1"], theirs["CRVAL2"]], [theirs["CRPIX1"], theirs["CRPIX2"]]
    grid.wcs.cdelt = [theirs["CDELT1"], theirs["CDELT2"]]

    assert (ours["NAXIS1"], ours["NAXIS2"]) == (theirs["NAXIS1"], theirs["NAXIS2"])
    here = grid.wcs_world2pix(*wcs_science.wcs_of(ours).all_pix2world([0, 2000], [0, 1500], 0), 0)
    np.testing.assert_allclose(here, [[0, 2000], [0, 1500]], atol=0.01)


def test_the_mask_of_the_stack_marks_the_rim_without_data(stack):
    mask = fits_images.read_image(stack.mask)[0]

    assert (mask[0] & 16).all()
    assert np.mean((mask[400:1300, 400:2100] & 16) > 0) < 0.005


def test_a_stack_of_one_frame_is_fine(reduced, night, tmp_path):
    alone = stacking.combine.fn(reduced.reduced[:1], night.photometric, tmp_path, StackOptions())

    assert alone.exposure_s == 100
    assert alone.photometry.zero_point_mag["TOT"] == pytest.approx(
        reduced.reduced[0].photometry.zero_point_mag["TOT"], abs=0.01
    )


def test_a_stack_has_a_picture_of_every_zero_point_and_a_single_frame_none(stack, reduced):
    names = ("AUTO", "APER", *(f"APER_{number}" for number in range(1, 6)))
    assert stack.photometry.plots == tuple(naming.zero_point_plot(stack.image, name) for name in names)
    for path in stack.photometry.plots:
        assert path.read_bytes().startswith(b"\x89PNG")
        assert naming.sidecar(path).exists()
    for item in reduced.reduced:
        assert item.photometry.plots == ()
        assert list(item.image.parent.glob(f"phot/{item.image.stem}.MAG_*")) == []


def test_running_again_looks_everything_up(stack, calibrated, night, root):
    before = stamps(root)
    solved = astrometry.solve.fn(calibrated, night.astrometric, root, OPTIONS)
    reduced = photometry.measure.fn(solved, night.photometric, root, OPTIONS)
    again = stacking.combine.fn(reduced.reduced, night.photometric, root, StackOptions())

    assert stamps(root) == before
    assert again == stack


def test_no_scratch_folder_is_left(stack, root):
    assert leftovers(root) == []


def test_maps_tell_the_weight_and_the_number_of_frames(stack):
    number, header = fits_images.read_image(naming.number_of(stack.image))
    weight, variance = (fits_images.read_image(path)[0] for path in (naming.weight_of(stack.image), stack.variance))
    assert number[0].max() == 0
    assert np.median(number[400:1300, 400:2100]) == 4 == header["NCOMBINE"]
    assert header["PHOTIME"] == header["DATE-AVG"]
    assert np.median(weight[600:900, 900:1500] * variance[600:900, 900:1500]) == pytest.approx(1, abs=0.05)
    assert ((weight > 0) == (number > 0)).all()


def test_both_engines_make_the_same_stack(reduced, night, tmp_path):
    made = [
        stacking.combine.fn(
            reduced.reduced, night.photometric, tmp_path / name, StackOptions(engine=name, combine="mean")
        )
        for name in ("siren", "swarp")
    ]
    tables = [photometric_catalogues.read(each.photometry.catalogue) for each in made]
    sky = [(np.asarray(table["ALPHA_J2000"]), np.asarray(table["DELTA_J2000"])) for table in tables]
    pairs = matching.nearest(*sky, radius_arcsec=0.5)
    ours, theirs = tables[0][pairs.first], tables[1][pairs.second]
    bright = (ours["mag_r"] > 13) & (ours["mag_r"] < 16) & (ours["FLAGS"] == 0) & (theirs["FLAGS"] == 0)
    assert bright.sum() > 50
    assert np.median(ours["FLUX_APER_5"][bright] / theirs["FLUX_APER_5"][bright]) == pytest.approx(1, abs=1e-3)
    apart = np.hypot(*(ours[name][bright] - theirs[name][bright] for name in ("XWIN_IMAGE", "YWIN_IMAGE")))
    assert np.median(apart) < 0.02
    counts = [fits_images.read_image(naming.number_of(each.image))[0] for each in made]
    np.testing.assert_array_equal(*counts)


@pytest.fixture(scope="module")
def years(stack, reduced, root, tmp_path_factory):
    """The same frames again, as if another unit had taken them eleven days later; and one without zero point."""
    tree = tmp_path_factory.mktemp("years")
    for item in reduced.reduced:
        for unit, day in (("7DT01", "20260116"), ("7DT02", "20260127")):
            folder = naming.NightTree(root=tree).science("T00001", unit, "r")
            folder.mkdir(parents=True, exist_ok=True)
            for plane in (item.image, item.variance, item.mask):
                name = plane.name.replace("7DT01", unit).replace("20260116", day)
                data, header = fits_images.read_image(plane)
                fits_images.write_image(
                    folder / name, data, {**header, "DATE-OBS": header["DATE-OBS"].replace("01-16", f"01-{day[-2:]}")}
                )
    data, header = fits_images.read_image(item.image)
    bare = {key: value for key, value in header.items() if key != "ZP_AUTO"}
    fits_images.write_image(folder / "calib_7DT02_T00001_20260127_080000_r_100.fits", data, bare)
    return tree


def deepened(years, night, options, **wanted):
    found = deep_stacks.survey.fn(years, deep_stacks.Wanted(**wanted))
    [selection] = deep_stacks.select.fn(found, years, options)
    stack = stacking.combine.fn(
        selection.frames, night.photometric, years, options.stacking, deep=True, centre_deg=options.centre_deg
    )
    return found, selection, stack


def test_frames_of_all_units_and_nights_make_a_deep_stack(years, night, stack):
    found, selection, deep = deepened(years, night, DeepOptions(select="all"))
    header = fits_images.read_header(deep.image)

    assert [(each.name, each.reason) for each in found.rejected] == [
        ("calib_7DT02_T00001_20260127_080000_r_100.fits", "no ZP_AUTO in its header")
    ]
    assert (selection.figures["n_all"], selection.figures["n_bad"], selection.figures["n_image"]) == (9, 1, 8)
    assert deep.image.name.startswith("calib_7DT_T00001_20260121_")
    assert deep.image.name.endswith("_r_800.com.fits")
    assert (header["UNITS"], header["NCOMBINE"], header["BACKTYPE"]) == ("7DT01,02", 8, "level")
    assert header["EGAIN"] == pytest.approx(2 * fits_images.read_header(stack.image)["EGAIN"], rel=0.01)
    assert deep.photometry.zero_point_mag["5"] == pytest.approx(stack.photometry.zero_point_mag["5"], abs=0.01)
    listed = (deep.image.parent / "select_all_T00001_r.txt").read_text().splitlines()
    assert [line for line in listed if not line.startswith("#")] == [path.name for path in deep.inputs]
    assert (years / "survey" / "7DT02_r.csv").read_text().count("calib_7DT02") == 5
    assert "T00001,r,7DT01 7DT02,8,2,800.0" in (years / "survey" / "fields.csv").read_text()

    before = {path: stamp for path, stamp in stamps(years).items() if ".com." in path.name}
    again = deepened(years, night, DeepOptions(select="all"))[2]
    assert again == deep
    assert {path: stamp for path, stamp in stamps(years).items() if ".com." in path.name} == before


def test_the_sharp_and_deep_frames_are_chosen_and_a_stack_may_lie_elsewhere_with_its_sky(years, night):
    options = DeepOptions(centre_deg=(110.05, -30.02), stacking=StackOptions(background="none"))
    _, selection, deep = deepened(years, night, options, units=("7DT02",))
    image, header = fits_images.read_image(deep.image)

    assert 0 < len(selection.frames) < 4
    assert {path.name[6:11] for path in deep.inputs} == {"7DT02"}
    assert (header["CRVAL1"], header["CRVAL2"]) == (110.05, -30.02)
    assert deep.image.name.endswith(".at110.0500-30.0200.sky.com.fits")
    assert np.median(image[600:900, 900:1500]) == pytest.approx(selection.frames[0].photometry.sky_adu, rel=0.05)


def test_a_night_without_frames_and_a_name_that_is_not_there_are_said(years):
    with pytest.raises(UnusableData, match="no calibrated frame in"):
        deep_stacks.survey.fn(years, deep_stacks.Wanted(start=date(2027, 1, 1)))
    found = deep_stacks.survey.fn(years, deep_stacks.Wanted(end=date(2026, 1, 16)))
    assert {item.frame.unit for item in found.frames} == {"7DT01"}
    with pytest.raises(UnusableData, match=r"no calibrated frame is called x\.fits"):
        deep_stacks.select.fn(found, years, DeepOptions(names=("x.fits",)))


def test_a_pointing_error_of_half_a_degree_is_found(calibrated, night, tmp_path):
    lost = replace(calibrated[0], frame=replace(calibrated[0].frame, dec_deg=calibrated[0].frame.dec_deg + 0.45))
    batch = astrometry.solve.fn((lost,), night.astrometric, tmp_path, OPTIONS)

    assert len(batch.solved) == 1
    assert batch.solved[0].astrometry.rms_ra_arcsec < 0.1


def test_a_field_that_the_catalogue_does_not_cover_is_rejected_at_once(calibrated, night, tmp_path):
    elsewhere = tmp_path / "elsewhere.fits"
    table = ldac.read_reference(night.astrometric)
    table["X_WORLD"] += 30.0
    ldac.write_reference(elsewhere, table)
    batch = astrometry.solve.fn(calibrated[:2], elsewhere, tmp_path / "products", OPTIONS)

    assert batch.solved == ()
    assert [item.name for item in batch.rejected] == [item.frame.path.name for item in calibrated[:2]]
    assert "0 stars around the field" in batch.rejected[0].reason


def test_a_wrong_reference_gives_no_silent_solution(calibrated, night, tmp_path, rng):
    scrambled = tmp_path / "scrambled.fits"
    table = ldac.read_reference(night.astrometric)
    table["X_WORLD"], table["Y_WORLD"] = rng.permutation(table["X_WORLD"]), rng.permutation(table["Y_WORLD"])
    ldac.write_reference(scrambled, table)
    quick = ReduceOptions(program_timeout_s=5, position_error_arcmin=5)
    batch = astrometry.solve.fn(calibrated[:1], scrambled, tmp_path / "products", quick)

    assert batch.solved == ()
    assert len(batch.rejected) == 1


@pytest.mark.parametrize(
    ("script", "words"),
    [("exit 0", "without writing a header"), ("kill -SEGV $$", "signal SIGSEGV"), ("sleep 60", "deadline")],
    ids=["writes nothing", "crashes", "hangs"],
)
def test_a_scamp_that_fails_costs_its_frame_and_nothing_else(calibrated, night, tmp_path, monkeypatch, script, words):
    simulated_reduction.fake(tmp_path / "bin", "scamp", script)
    path = f"{tmp_path / 'bin'}:/usr/bin:/bin"
    monkeypatch.setenv("PATH", path)
    quick = ReduceOptions(program_timeout_s=4)
    batch = astrometry.solve.fn(calibrated[:1], night.astrometric, tmp_path / "products", quick)

    assert batch.solved == ()
    assert words in batch.rejected[0].reason


def test_one_unreadable_frame_leaves_the_others_alone(calibrated, night, tmp_path):
    broken = tmp_path / "broken.fits"
    broken.write_bytes(calibrated[0].image.read_bytes()[:100000])
    batch = astrometry.solve.fn(
        (replace(calibrated[0], image=broken), calibrated[1]), night.astrometric, tmp_path / "products", OPTIONS
    )

    assert len(batch.solved) == 1
    assert "truncated" in batch.rejected[0].reason


def test_ours_and_missfits_write_the_same_solution(calibrated, solved, night, tmp_path):
    own = ReduceOptions(program_timeout_s=60, header_writer="siren")
    batch = astrometry.solve.fn(calibrated, night.astrometric, tmp_path, own)
    ours, theirs = (
        wcs_science.wcs_of(fits_images.read_header(each.solved[0].image)).all_pix2world(50, 1500, 0)
        for each in (batch, solved)
    )

    np.testing.assert_allclose(ours, theirs, atol=1e-10)


def test_a_filter_without_reference_magnitudes_is_rejected(solved, night, tmp_path):
    bare = tmp_path / "bare.fits"
    table = Table.read(night.photometric)
    table.remove_column("mag_r")
    table.write(bare)
    batch = photometry.measure.fn(solved.solved[:1], bare, tmp_path / "products", OPTIONS)

    assert batch.reduced == ()
    assert "no column mag_r" in batch.rejected[0].reason
