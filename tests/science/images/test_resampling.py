"""Resampled and combined frames against the sky they were drawn from, and against SWarp."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import sep
from support import starfields

from tasks.errors import UnusableData
from tasks.io.fits import fits_images
from tasks.programs import swarp
from tasks.science import arrays
from tasks.science.astrometry import field_grids
from tasks.science.images import resampling
from tasks.science.stacking import coadding

SHAPE = (420, 560)
GRID_SHAPE = field_grids.stack_shape(SHAPE)
RADIUS_PX = 9.0


@pytest.fixture
def grid():
    return field_grids.field_wcs(*starfields.CENTRE_DEG, shape=GRID_SHAPE, scale_arcsec=0.505)


def measured(image, grid, stars):
    """Fluxes in a wide aperture and windowed centroids of stars that stand alone, well inside the frames."""
    x, y = grid.all_world2pix(stars[0], stars[1], 0)
    apart = np.hypot(x - x[:, None], y - y[:, None]) + 1e9 * np.eye(len(x))
    ny, nx = image.shape
    inside = (x > 60) & (x < nx - 60) & (y > 60) & (y < ny - 60)
    use = (apart.min(axis=1) > 3 * RADIUS_PX) & inside
    native = np.ascontiguousarray(image, np.float32)
    flux = sep.sum_circle(native, x[use], y[use], RADIUS_PX)[0]
    xw, yw, _ = sep.winpos(native, x[use], y[use], np.full(use.sum(), starfields.FWHM_PX / 2.3548))
    return flux, xw, yw, x[use], y[use], stars[2][use]


@pytest.mark.parametrize("turn", [0.0, 0.7, 90.0, 180.4, 269.5])
@pytest.mark.parametrize("mirrored", [False, True])
def test_a_star_keeps_place_and_flux_however_the_frame_is_turned(xp, rng, grid, turn, mirrored):
    stars = starfields.sky_of(40, (300, 300), rng)
    wcs = starfields.wcs_of((400, 400), turn_deg=turn, shift_px=(3.3, -7.8))
    if mirrored:
        wcs.wcs.cd = wcs.wcs.cd @ np.diag([-1.0, 1.0])
        wcs.wcs.set()
    shot = starfields.draw((400, 400), stars, wcs, rng, sky_adu=0.0, noise_adu=0.0)
    window = starfields.window_of(shot.image, np.ones_like(shot.image))
    exposure = coadding.CoaddInput(window=window, shape=shot.image.shape, wcs=wcs)
    made = coadding.coadd([exposure], grid, shape=GRID_SHAPE, xp=xp)
    flux, xw, yw, x, y, true = measured(made.image, grid, stars)
    assert len(flux) > 5
    assert np.abs(flux / true - 1).max() < 1e-3
    assert np.hypot(xw - x, yw - y).max() < 0.005


@pytest.mark.parametrize("turn", [0.3, 12.0, 181.0, 270.4])
def test_compiled_and_array_code_resample_alike(xp, rng, grid, turn):
    wcs = starfields.wcs_of(SHAPE, turn_deg=turn, shift_px=(31.3, -24.8), distortion=2e-3)
    shot = starfields.draw(SHAPE, starfields.sky_of(60, SHAPE, rng), wcs, rng)
    mapping = resampling.grid_map(wcs, grid, shape=SHAPE)
    for rows, columns in ((slice(0, 90), slice(0, 120)), (slice(200, 290), slice(150, 400))):
        tall, wide = resampling.window(mapping, rows, columns)
        planes = [mapping.upright(plane)[tall, wide] for plane in (shot.image, shot.weight)]
        tile = {"first": (tall.start, wide.start), "scale": 1.3}
        native = [np.ascontiguousarray(plane, np.float32) for plane in planes]
        fast = resampling.resample(*native, mapping, rows, columns, **tile)
        plain = resampling.by_arrays(*map(xp.asarray, native), mapping, rows, columns, **tile)
        image, weight = map(arrays.to_host, plain)
        assert np.allclose(fast[1], weight, rtol=1e-6)
        there = weight > 0
        # the table of weights has steps of 1/4096 px, the polynomials none
        assert np.abs(fast[0] - image)[there].max() < 2e-4 * np.abs(image).max()


@pytest.mark.parametrize("mode", ["clipped", "mean", "seed"])
@pytest.mark.parametrize("number", [1, 2, 3, 4, 9, 12])
def test_compiled_and_array_code_combine_alike(xp, rng, mode, number):
    values = rng.normal(3, 1, (number, 20, 33)).astype(np.float32)
    values[rng.random(values.shape) < 0.05] += 40
    weights = (rng.uniform(0.5, 2, values.shape) * (rng.random(values.shape) > 0.2)).astype(np.float32)
    recipe = coadding.CoaddRecipe(mode=mode)
    fast = coadding.combine(values, weights, recipe=recipe)
    plain = coadding.by_arrays(xp.asarray(values), xp.asarray(weights), recipe=recipe)
    for ours, theirs in zip(fast, map(arrays.to_host, plain), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-6, atol=2e-6)


def test_the_median_is_that_of_numpy_and_weighs_as_its_scatter_says(rng):
    values = rng.normal(0, 1, (5, 200, 200)).astype(np.float32)
    image, weight, count = coadding.combine(values, np.ones_like(values), recipe=coadding.CoaddRecipe(mode="seed"))
    np.testing.assert_allclose(image, np.median(values, axis=0), rtol=1e-6)
    assert (count == 5).all()
    assert 1 / image.var() == pytest.approx(weight[0, 0], rel=0.02)


def test_the_clipped_mean_loses_one_outlier_of_three_and_keeps_the_core_of_a_star():
    values = np.full((3, 1, 2), 100.0, np.float32)
    values[1, 0, 0] = 200.0
    values[2, 0, 1] = 125.0  # seeing: within 0.3 of the median
    image, _, count = coadding.combine(values, np.full_like(values, 4.0), recipe=coadding.CoaddRecipe())
    assert image.ravel().tolist() == pytest.approx([100.0, 325 / 3])
    assert count.ravel().tolist() == [2, 3]


def test_small_tiles_give_the_same_stack(rng, grid):
    shots, _ = starfields.dithered(3, SHAPE, rng, stars=20, distortion=2e-3)
    whole, tiled = (
        coadding.coadd(starfields.exposures(shots), grid, shape=GRID_SHAPE, memory_mb=mb) for mb in (512, 0.1)
    )
    np.testing.assert_array_equal(whole.count, tiled.count)
    np.testing.assert_allclose(whole.image, tiled.image, atol=1e-3 * np.abs(whole.image).max(), rtol=0)


def test_the_sky_is_that_of_sep_and_holes_do_not_count(rng):
    y, x = np.mgrid[:700, :900]
    sky = 200 + 0.05 * x + 0.02 * y
    image = (sky + rng.normal(0, 5, sky.shape)).astype(np.float32)
    whole = slice(0, 700), slice(0, 900)
    found = image - starfields.background_of(image, np.ones_like(image)).less(image, *whole)
    peer = sep.Background(image, bw=128, bh=128, fw=3, fh=3).back()
    assert np.abs(found - peer).max() < 5 / 50  # a fiftieth of the noise of a pixel
    weight = np.ones_like(image)
    image[100:300, 200:500], weight[100:300, 200:500] = 9e4, 0
    # one mesh further the sky is 6.4 + 2.6 ADU higher
    holed = image - starfields.background_of(image, weight).less(image, *whole)
    assert np.abs(holed - sky)[64:-64, 64:-64].max() < 9


def test_a_part_without_its_sky_is_that_part_of_the_whole(rng):
    image = rng.normal(300, 5, (300, 400)).astype(np.float32)
    sky = starfields.background_of(image, np.ones_like(image))
    part = slice(37, 200), slice(111, 390)
    whole = sky.less(image, slice(0, 300), slice(0, 400))
    np.testing.assert_array_equal(sky.less(image[part], *part), whole[part])


def test_an_image_without_a_good_pixel_has_no_sky():
    image = np.full((100, 100), np.nan, np.float32)
    sky = starfields.background_of(image, np.zeros_like(image))
    assert (sky.less(np.ones_like(image), slice(0, 100), slice(0, 100)) == 1).all()


def test_distorted_frames_land_where_their_wcs_says(rng, grid):
    # 60 px at the corner of a full frame, as the cameras have
    shots, stars = starfields.dithered(1, SHAPE, rng, stars=60, distortion=2e-3, noise_adu=0.0)
    made = coadding.coadd(starfields.exposures(shots), grid, shape=GRID_SHAPE)
    _, xw, yw, x, y, _ = measured(made.image, grid, stars)
    assert np.hypot(xw - x, yw - y).max() < 0.02


def test_pixels_without_value_weigh_nothing_and_outliers_are_clipped(rng, grid):
    shots, _ = starfields.dithered(5, SHAPE, rng, stars=40)
    clean = coadding.coadd(starfields.exposures(shots), grid, shape=GRID_SHAPE)
    shots[0].image[200:203, 100:400] += 5000
    shots[1].image[100:110, 50:90] = 1e6
    shots[1].weight[100:110, 50:90] = 0
    struck = coadding.coadd(starfields.exposures(shots), grid, shape=GRID_SHAPE)
    usual = np.median(clean.weight[clean.weight > 0]) ** -0.5
    # the tails of the kernel reach 3 px beyond what the weight hides
    assert np.quantile(np.abs(struck.image - clean.image), 0.999) < 5 * usual
    assert (struck.weight <= clean.weight * 1.0001).all()


def test_beyond_the_frames_there_is_neither_weight_nor_count(rng, grid):
    shots, _ = starfields.dithered(2, SHAPE, rng, stars=10)
    made = coadding.coadd(starfields.exposures(shots), grid, shape=GRID_SHAPE)
    assert (made.weight[0] == 0).all()
    assert ((made.weight == 0) == (made.count == 0)).all()
    assert np.isfinite(made.image).all()


def test_the_noise_is_what_the_weight_says_once_pixels_are_summed(rng, grid):
    shots, _ = starfields.dithered(4, SHAPE, rng, stars=0)
    made = coadding.coadd(starfields.exposures(shots), grid, shape=GRID_SHAPE)
    ny, nx = GRID_SHAPE
    inner = made.image[60 : ny - 60, 60 : nx - 60]
    sums = (
        inner[: inner.shape[0] // 20 * 20, : inner.shape[1] // 20 * 20]
        .reshape(inner.shape[0] // 20, 20, inner.shape[1] // 20, 20)
        .sum(axis=(1, 3))
    )
    expected = 20 * np.median(made.weight[60:-60, 60:-60]) ** -0.5
    assert 1.4826 * np.median(np.abs(sums - np.median(sums))) == pytest.approx(expected, rel=0.15)


@pytest.mark.binaries
@pytest.mark.skipif(shutil.which("SWarp") is None and shutil.which("swarp") is None, reason="SWarp is not installed")
def test_stacks_equal_those_of_swarp(rng, grid, tmp_path):
    shots, stars = starfields.dithered(5, SHAPE, rng, stars=60)
    ours = coadding.coadd(starfields.exposures(shots), grid, shape=GRID_SHAPE)
    theirs = by_swarp(shots, tmp_path)
    mine, other = measured(ours.image, grid, stars), measured(theirs, grid, stars)
    bright = mine[5] > 3e4
    assert bright.sum() > 10
    assert np.abs(np.median(mine[0][bright] / other[0][bright]) - 1) < 1e-3
    assert np.abs(mine[0][bright] / other[0][bright] - 1).max() < 5e-3
    assert np.median(np.hypot(mine[1] - other[1], mine[2] - other[2])[bright]) < 0.02


def by_swarp(shots, folder):
    inputs = []
    for index, shot in enumerate(shots):
        image, weight = folder / f"shot-{index}.fits", folder / f"shot-{index}.weight.fits"
        fits_images.write_image(image, shot.image, dict(shot.header))
        fits_images.write_image(weight, shot.weight, {})
        inputs.append(swarp.Input(image=image, weight=weight, flux_scale=shot.scale, egain=0.2562))
    place = swarp.OutputGrid(
        ra_deg=starfields.CENTRE_DEG[0], dec_deg=starfields.CENTRE_DEG[1], scale_arcsec=0.505, shape=GRID_SHAPE
    )
    result = swarp.combine(inputs, place, folder / "swarp", swarp.Options(background_px=128))
    return fits_images.read_image(result.image)[0]


def test_a_frame_of_another_sky_is_refused(rng, grid):
    wcs = starfields.wcs_of(SHAPE, turn_deg=0, shift_px=(0, 0))
    wcs.wcs.crval = 290.0, 30.0
    wcs.wcs.set()
    with pytest.raises(UnusableData, match="another part of the sky"):
        resampling.grid_map(wcs, grid, shape=SHAPE)


def test_a_stack_of_nothing_is_refused(grid):
    with pytest.raises(UnusableData, match="at least one"):
        coadding.coadd([], grid, shape=GRID_SHAPE)
