"""Resampled and combined frames against the sky they were drawn from, and against SWarp."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import sep
from support import starfields

from tasks.errors import UnusableData
from tasks.io import frames
from tasks.programs import swarp
from tasks.science import coadding, projection, resampling
from tasks.science.arrays import to_host

SHAPE = (420, 560)
GRID_SHAPE = projection.stack_shape(SHAPE)
RADIUS_PX = 9.0


@pytest.fixture
def grid():
    return projection.field_wcs(*starfields.CENTRE_DEG, shape=GRID_SHAPE, scale_arcsec=0.505)


def exposures(shots, xp=np):
    return [
        coadding.Exposure(
            image=xp.asarray(coadding.without_sky(shot.image, shot.weight, mesh_px=128)),
            weight=xp.asarray(shot.weight),
            wcs=shot.wcs,
            scale=shot.scale,
        )
        for shot in shots
    ]


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
    made = coadding.coadd(
        [coadding.Exposure(image=xp.asarray(shot.image), weight=xp.ones((400, 400), xp.float32), wcs=wcs)],
        grid,
        shape=GRID_SHAPE,
    )
    flux, xw, yw, x, y, true = measured(to_host(made.image), grid, stars)
    assert len(flux) > 5
    assert np.abs(flux / true - 1).max() < 1e-3
    assert np.hypot(xw - x, yw - y).max() < 0.005


def test_distorted_frames_land_where_their_wcs_says(rng, grid):
    # 60 px at the corner of a full frame, as the cameras have
    shots, stars = starfields.dithered(1, SHAPE, rng, stars=60, distortion=2e-3, noise_adu=0.0)
    made = coadding.coadd(exposures(shots), grid, shape=GRID_SHAPE)
    _, xw, yw, x, y, _ = measured(made.image, grid, stars)
    assert np.hypot(xw - x, yw - y).max() < 0.02


def test_pixels_without_value_weigh_nothing_and_outliers_are_clipped(rng, grid):
    shots, _ = starfields.dithered(5, SHAPE, rng, stars=40)
    clean = coadding.coadd(exposures(shots), grid, shape=GRID_SHAPE)
    shots[0].image[200:203, 100:400] += 5000
    shots[1].image[100:110, 50:90] = 1e6
    shots[1].weight[100:110, 50:90] = 0
    struck = coadding.coadd(exposures(shots), grid, shape=GRID_SHAPE)
    usual = np.median(clean.weight[clean.weight > 0]) ** -0.5
    # the tails of the kernel reach 3 px beyond what the weight hides
    assert np.quantile(np.abs(struck.image - clean.image), 0.999) < 5 * usual
    assert (struck.weight <= clean.weight * 1.0001).all()


def test_beyond_the_frames_there_is_neither_weight_nor_count(rng, grid):
    shots, _ = starfields.dithered(2, SHAPE, rng, stars=10)
    made = coadding.coadd(exposures(shots), grid, shape=GRID_SHAPE)
    assert (made.weight[0] == 0).all()
    assert ((made.weight == 0) == (made.count == 0)).all()
    assert np.isfinite(made.image).all()


def test_the_noise_is_what_the_weight_says_once_pixels_are_summed(rng, grid):
    shots, _ = starfields.dithered(4, SHAPE, rng, stars=0)
    made = coadding.coadd(exposures(shots), grid, shape=GRID_SHAPE)
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
    ours = coadding.coadd(exposures(shots), grid, shape=GRID_SHAPE)
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
        frames.write_image(image, shot.image, dict(shot.header))
        frames.write_image(weight, shot.weight, {})
        inputs.append(swarp.Input(image=image, weight=weight, flux_scale=shot.scale, egain=0.2562))
    place = swarp.Grid(
        ra_deg=starfields.CENTRE_DEG[0], dec_deg=starfields.CENTRE_DEG[1], scale_arcsec=0.505, shape=GRID_SHAPE
    )
    result = swarp.combine(inputs, place, folder / "swarp", swarp.Options(background_px=128))
    return frames.read_image(result.image)[0]


def test_a_frame_of_another_sky_is_refused(rng, grid):
    wcs = starfields.wcs_of(SHAPE, turn_deg=0, shift_px=(0, 0))
    wcs.wcs.crval = 290.0, 30.0
    wcs.wcs.set()
    with pytest.raises(UnusableData, match="another part of the sky"):
        resampling.grid_map(wcs, grid, shape=SHAPE)


def test_a_stack_of_nothing_is_refused(grid):
    with pytest.raises(UnusableData, match="at least one"):
        coadding.coadd([], grid, shape=GRID_SHAPE)
