"""Cosmic rays are found where astroscrappy finds them, and where they were put."""

from __future__ import annotations

import astroscrappy
import numpy as np
import pytest
from astropy.io import fits
from scipy import ndimage

from tasks.science.arrays import to_host
from tasks.science.calibration import cosmic_rays

# astroscrappy leaves the outermost pixels of its medians as they are
BORDER = 8


def by_astroscrappy(image, variance, ignore, *, rounds=4):
    mask, _ = astroscrappy.detect_cosmics(
        image,
        inmask=ignore,
        invar=variance,
        sigclip=4.5,
        sigfrac=0.3,
        objlim=5.0,
        gain=1.0,
        satlevel=np.inf,
        niter=rounds,
        sepmed=True,
        cleantype="meanmask",
        fsmode="median",
    )
    return mask


def sky_with_stars(rng, shape=(220, 260), *, fwhm_px=4.0):
    y, x = np.indices(shape)
    image = np.full(shape, 450.0)
    for _ in range(60):
        y0, x0 = rng.uniform(0, shape[0]), rng.uniform(0, shape[1])
        peak = 10 ** rng.uniform(1.5, 4.3)
        image += peak * np.exp(-4 * np.log(2) * ((x - x0) ** 2 + (y - y0) ** 2) / fwhm_px**2)
    variance = image / 0.256 + 13.7**2
    return (image + rng.normal(0, np.sqrt(variance))).astype(np.float32), variance.astype(np.float32)


def with_rays(rng, image, *, number=60):
    image = image.copy()
    hit = np.zeros(image.shape, bool)
    for _ in range(number):
        y, x = rng.integers(2, image.shape[0] - 12), rng.integers(2, image.shape[1] - 12)
        dy, dx, length = rng.integers(0, 2), 1, rng.integers(1, 9)
        for step in range(length):
            image[y + dy * step, x + dx * step] += rng.uniform(800, 9000)
            hit[y + dy * step, x + dx * step] = True
    return image, hit


@pytest.fixture
def gmos(shared_data):
    with fits.open(shared_data / "images" / "gmos_cosmics.fits") as units:
        return {name: np.asarray(units[name].data, np.float32) for name in ("SCI", "VAR", "SKYFIT")}


@pytest.mark.parametrize("rounds", [1, 2, 4])
def test_the_masks_are_those_of_astroscrappy_but_for_its_borders(xp, rng, rounds):
    image, variance = sky_with_stars(rng)
    image, _ = with_rays(rng, image)
    ignore = np.zeros(image.shape, bool)
    ours = to_host(
        cosmic_rays.detect(
            xp.asarray(image),
            xp.asarray(variance),
            ignore=xp.asarray(ignore),
            limits=cosmic_rays.CosmicRayLimits(rounds=rounds),
        )
    )
    theirs = by_astroscrappy(image, variance, ignore, rounds=rounds)
    inside = (slice(BORDER, -BORDER),) * 2
    assert theirs.sum() > 200
    assert (ours[inside] != theirs[inside]).sum() == 0
    assert (ours == theirs).mean() > 0.999


def test_the_rays_of_the_gmos_frame_are_found(xp, gmos):
    ours = to_host(
        cosmic_rays.detect(xp.asarray(gmos["SCI"]), xp.asarray(gmos["VAR"]), ignore=xp.zeros(gmos["SCI"].shape, bool))
    )
    theirs = by_astroscrappy(gmos["SCI"], gmos["VAR"], np.zeros(ours.shape, bool))
    assert 150 <= ours.sum() <= 165
    assert ndimage.label(ours, np.ones((3, 3)))[1] == 2
    assert (ours == theirs).mean() >= 0.999
    peak = np.unravel_index(gmos["SCI"].argmax(), gmos["SCI"].shape)
    assert ours[peak]
    trace = gmos["SCI"].mean(axis=1).argmax()
    assert ours[trace].mean() < 0.1


def test_rays_are_found_and_stars_are_not(rng):
    image, variance = sky_with_stars(rng)
    ignore = np.zeros(image.shape, bool)
    false = cosmic_rays.detect(image, variance, ignore=ignore)
    assert false.mean() < 5e-4
    struck, truth = with_rays(rng, image)
    found = cosmic_rays.detect(struck, variance, ignore=ignore)
    bright = truth & (struck - image > 10 * np.sqrt(variance))
    assert bright.sum() > 200
    assert found[bright].mean() > 0.97


def test_ignored_pixels_are_never_hits(rng):
    image, variance = sky_with_stars(rng)
    image, truth = with_rays(rng, image)
    assert not (cosmic_rays.detect(image, variance, ignore=truth) & truth).any()


def test_the_image_is_left_as_it_was(rng):
    image, variance = sky_with_stars(rng, (60, 60))
    before = image.copy(), variance.copy()
    cosmic_rays.detect(image, variance, ignore=np.zeros(image.shape, bool))
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(variance, before[1])


@pytest.mark.parametrize("shape", [(1, 1), (3, 40), (40, 3)])
def test_tiny_images_have_no_rays(shape):
    assert not cosmic_rays.detect(
        np.ones(shape, np.float32), np.ones(shape, np.float32), ignore=np.zeros(shape, bool)
    ).any()
