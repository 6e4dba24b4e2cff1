"""Windowed centroids, half-light radii and the two passes of detection against SEP and the stars that were drawn."""

from __future__ import annotations

import numpy as np
import pytest
import sep
from support import starfields

from tasks.science.sources import deblending, windowed_shapes
from tasks.science.sources.apertures import PYRAMID

SHAPE = (500, 600)
SETTINGS = {"minarea": 5, "filter_kernel": PYRAMID, "filter_type": "conv", "deblend_cont": 1e-4}
LEVELS, STACK = 64, 300_000


@pytest.fixture
def flat(rng):
    """A crowded field without its sky, in which a third of the stars touch another."""
    stars = starfields.sky_of(700, SHAPE, rng)
    wcs = starfields.wcs_of(SHAPE, turn_deg=0.3, shift_px=(0.0, 0.0))
    image = np.ascontiguousarray(starfields.draw(SHAPE, stars, wcs, rng).image, np.float32)
    return image - sep.Background(image, bw=128, bh=128).back(dtype=np.float32)


def gaussians(where, sigma, *, shape=(120, 160)):
    y, x = np.indices(shape)
    return sum(1000 * np.exp(-((x - x0) ** 2 + (y - y0) ** 2) / (2 * sigma**2)) for x0, y0 in where).astype(np.float32)


def test_a_centroid_is_where_the_light_is():
    where = np.array([(40.3, 50.8), (100.0, 60.25)])
    image = gaussians(where, 2.0)
    x, y = windowed_shapes.centroids(image, where[:, 0] + 0.4, where[:, 1] - 0.3, np.full(2, 2.0))
    assert np.column_stack([x, y]) == pytest.approx(where, abs=2e-4)


@pytest.mark.parametrize("fwhm", [3.0, 4.0, 8.0])
def test_the_half_light_radius_of_a_gaussian_is_half_its_fwhm(fwhm):
    sigma = fwhm / 2.3548
    # light that is spread evenly over square pixels is wider by their own variance
    wide = np.sqrt(sigma**2 + 1 / 12) * 2.3548
    image = gaussians([(60.2, 55.7)], sigma)
    place = np.array([60.2]), np.array([55.7])
    radius = windowed_shapes.half_light_px(image, *place, np.array([6 * sigma]), np.array([float(image.sum())]))
    assert radius[0] == pytest.approx(wide / 2, rel=0.01)


def test_what_has_no_light_stays_where_it_is():
    image = np.zeros((50, 50), np.float32)
    image[20, 20] = -5
    place = np.array([20.0, 1.0, 48.5]), np.array([20.0, 25.0, 25.0])
    x, y = windowed_shapes.centroids(image, *place, np.full(3, 2.0))
    np.testing.assert_array_equal((x, y), place)
    radii = windowed_shapes.half_light_px(image, *place, np.full(3, 9.0), np.full(3, 10.0))
    np.testing.assert_array_equal(radii, 9.0)


def rows_of(flat, *, levels=LEVELS):
    noise = 1.4826 * float(np.median(np.abs(flat)))
    sep.set_extract_pixstack(STACK)
    return noise, sep.extract(flat, 3.0, err=noise, deblend_nthresh=levels, **SETTINGS)


def test_radii_and_centroids_are_those_of_sep(flat):
    noise, rows = rows_of(flat)
    x, y, reach = (np.asarray(values, float) for values in (rows["x"], rows["y"], 6 * rows["a"]))
    flux, _, _ = sep.sum_circle(flat, x, y, 8.0, err=noise)
    expected, _ = sep.flux_radius(flat, x, y, reach, 0.5, normflux=flux, subpix=5)
    radii = windowed_shapes.half_light_px(flat, x, y, reach, flux)
    assert len(rows) > 300
    np.testing.assert_allclose(radii, expected, rtol=1e-9)
    sigma = np.clip(radii, 1, 10) * 0.85
    theirs = np.array(sep.winpos(flat, x, y, sigma, subpix=5)[:2])
    distance = np.hypot(*(np.array(windowed_shapes.centroids(flat, x, y, sigma)) - theirs))
    # some wander to a neighbour, one way or the other
    assert np.median(distance) < 1e-4
    assert np.quantile(distance, 0.9) < 2e-3


@pytest.mark.parametrize("kind", ["number", "plane", "mask"])
def test_two_passes_find_what_one_finds(flat, kind):
    noise, _ = rows_of(flat)
    mask = None
    if kind != "number":
        noise = np.full(SHAPE, noise, np.float32)
        noise[:, 300:] *= 2
    if kind == "mask":
        mask = np.zeros(SHAPE, bool)
        mask[::37, ::11] = True
    sep.set_extract_pixstack(STACK)
    whole = sep.extract(flat, 3.0, err=noise, mask=mask, deblend_nthresh=LEVELS, **SETTINGS)
    scene = deblending.Scene(flat=flat, noise=noise, mask=mask)
    rows = deblending.detect(scene, 3.0, SETTINGS, levels=LEVELS, stack=STACK + 1)
    assert sep.get_extract_pixstack() == STACK, "SEP's limit is as it was"
    unsplit = sep.extract(flat, 3.0, err=noise, mask=mask, deblend_nthresh=1, **SETTINGS)
    assert len(whole) > len(unsplit) + 20
    one, other = (each[np.lexsort((each["x"], each["y"]))] for each in (whole, rows))
    assert len(one) == len(other)
    for name in ("x", "y"):
        np.testing.assert_allclose(one[name], other[name], atol=0.05)
    np.testing.assert_array_equal(one["flag"], other["flag"])
    # of sources that touch, SEP shares the light between them by drawing lots
    alone = (one["flag"] & sep.OBJ_MERGED) == 0
    assert alone.sum() > 100
    for name in one.dtype.names:
        np.testing.assert_allclose(one[name][alone], other[name][alone], rtol=1e-12, err_msg=name)


def test_the_same_image_gives_the_same_rows(flat):
    noise, _ = rows_of(flat)
    scene = deblending.Scene(flat=flat, noise=noise, mask=None)
    first, second = (deblending.detect(scene, 3.0, SETTINGS, levels=LEVELS, stack=STACK) for _ in range(2))
    np.testing.assert_array_equal(first, second)
