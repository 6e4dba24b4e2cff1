"""Halos, trails and reflections: found where they are drawn, and nowhere else."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits

from tasks.options import Reflection
from tasks.records import MaskBit
from tasks.science.calibration import artefacts, halos, shrunken_light
from tasks.science.calibration.correction import LightPlanes

SHAPE = (640, 900)
NOISE = 40.0
FULL = 60000.0
FWHM_PX = 4.5


def sky(rng, *, stars=120, bright=(), shape=SHAPE):
    """A crowded field of Moffat stars on flat sky; ``bright`` are x, y and flux of further ones."""
    ny, nx = shape
    image = np.full(shape, 500.0)
    drawn = [(rng.uniform(0, nx), rng.uniform(0, ny), 10 ** rng.uniform(3.0, 5.5)) for _ in range(stars)]
    for x, y, flux in (*drawn, *bright):
        reach = int(min(300, 6 + flux**0.35))
        top, left = max(0, int(y) - reach), max(0, int(x) - reach)
        part = image[top : int(y) + reach, left : int(x) + reach]
        rows, columns = np.ogrid[: part.shape[0], : part.shape[1]]
        part += moffat((rows + top - y) ** 2 + (columns + left - x) ** 2, flux)
    return image


def moffat(square, flux, beta=2.5):
    alpha = FWHM_PX / (2 * math.sqrt(2 ** (1 / beta) - 1))
    return flux * (beta - 1) / (math.pi * alpha**2) * (1 + square / alpha**2) ** -beta


def exposed(image, rng):
    counts = image + rng.normal(0, NOISE, image.shape)
    mask = (counts >= FULL).astype(np.uint8) * np.uint8(MaskBit.SATURATED)
    variance = np.full(image.shape, NOISE**2, np.float32)
    return LightPlanes(image=np.minimum(counts, FULL).astype(np.float32), variance=variance, mask=mask)


def distance(angle, offset, shape=SHAPE):
    y, x = np.ogrid[: shape[0], : shape[1]]
    return np.abs(math.cos(angle) * (x - shape[1] / 2) + math.sin(angle) * (y - shape[0] / 2) - offset)


def trails_of(planes):
    marked = artefacts.marked(planes, halos=True, trail_sigma=8.0)
    return (marked.mask & MaskBit.TRAIL) != 0


@pytest.mark.parametrize("peak_sigma", [1.0, 4.0])
def test_trails_are_masked_where_they_are_and_no_further(rng, peak_sigma):
    found = 0
    for _ in range(5):
        angle, offset = rng.uniform(0, math.pi), rng.uniform(-200, 200)
        across = distance(angle, offset)
        trail = peak_sigma * NOISE * np.exp(-(across**2) / (2 * 2.5**2))
        masked = trails_of(exposed(sky(rng) + trail, rng))
        found += masked[across < 2].mean() > 0.9
        assert not masked[across > 25].any()
    assert found == 5


def test_a_field_of_stars_and_galaxies_has_no_trail(rng):
    for _ in range(4):
        image = sky(rng, stars=250, bright=[(rng.uniform(100, 800), 300, 3e7)])
        edge_on = distance(rng.uniform(0, math.pi), 0) < 4
        y, x = np.ogrid[: SHAPE[0], : SHAPE[1]]
        near = np.hypot(x - 450, y - 320) < 90
        assert not trails_of(exposed(image + 200.0 * (edge_on & near), rng)).any()


def test_two_trails_in_one_frame_are_both_masked(rng):
    lines = ((0.4, 30.0), (2.0, -80.0))
    image = sky(rng) + sum(3 * NOISE * np.exp(-(distance(*line) ** 2) / 12.0) for line in lines)
    masked = trails_of(exposed(image, rng))
    assert all(masked[distance(*line) < 2].mean() > 0.9 for line in lines)


def test_a_halo_reaches_as_far_as_the_star_stands_out_of_the_noise(rng):
    flux = 2e7
    planes = exposed(sky(rng, stars=60, bright=[(450.0, 320.0, flux)]), rng)
    [star] = [each for each in halos.saturated_stars(shrunken_light.shrink(planes)) if abs(each.x - 450) < 3]
    radii = np.arange(1.0, 400.0)
    true = radii[moffat(radii**2, flux) > NOISE].max()
    assert star.y == pytest.approx(320, abs=2)
    # rings are some 40 % wide, and the level beneath a star takes a part of its wings
    assert 0.6 * true < star.halo_px < 1.5 * true
    marked = artefacts.marked(planes, halos=True, trail_sigma=None)
    y, x = np.ogrid[: SHAPE[0], : SHAPE[1]]
    assert ((marked.mask & MaskBit.HALO) != 0)[np.hypot(x - 450, y - 320) < 0.6 * true].all()
    assert (planes.mask & MaskBit.HALO == 0).all()


def test_a_saturated_pixel_that_is_no_star_has_no_halo(rng):
    image = sky(rng, stars=0)
    image[300:303, 400:403] = 2 * FULL
    assert halos.saturated_stars(shrunken_light.shrink(exposed(image, rng))) == ()


def test_reflections_of_a_star_are_masked_across_the_middle(rng):
    planes = exposed(sky(rng, stars=0, bright=[(200.0, 150.0, 2e7)]), rng)
    ghost = Reflection(scale=-1.0, dx_px=10.0, radius_px=20.0)
    mask = artefacts.marked(planes, halos=False, trail_sigma=None, reflections=[ghost]).mask
    y, x = np.nonzero(mask & MaskBit.GHOST)
    assert (x.mean(), y.mean()) == pytest.approx((899 - 200 + 10, 639 - 150), abs=2)
    assert not (mask & MaskBit.HALO).any()


def test_with_everything_off_a_light_is_left_as_it_was(rng):
    planes = exposed(sky(rng, stars=5), rng)
    assert artefacts.marked(planes, halos=False, trail_sigma=None) is planes


@pytest.mark.parametrize("shape", [(1, 1), (3, 40), (40, 3), (24, 24)])
def test_tiny_frames_have_none(rng, shape):
    planes = exposed(rng.normal(500, 1, shape), rng)
    saturated = replace(planes, mask=np.full(shape, MaskBit.SATURATED, np.uint8))
    for each in (planes, saturated):
        assert not (artefacts.marked(each, halos=True, trail_sigma=8.0).mask & MaskBit.TRAIL).any()


@pytest.mark.parametrize(
    "name",
    [
        "ccdproc/a8280271.fits",
        *(f"microobservatory/HATP-32171220{time}.FITS" for time in ("013612", "021212", "070012")),
    ],
)
def test_no_trail_is_found_where_a_real_frame_has_none(shared_data, name) -> None:
    """Kind: a comparison with one side only. The first has a step at its overscan, the others rows of stars."""
    counts = fits.getdata(shared_data / "raw" / name).astype(np.float32)
    sky = np.median(counts)
    variance = np.full(counts.shape, (1.4826 * np.median(np.abs(counts - sky))) ** 2, np.float32) + np.maximum(
        counts - sky, 0
    )
    light = LightPlanes(image=counts, variance=variance, mask=np.zeros(counts.shape, np.uint8))
    marked = artefacts.marked(light, halos=False, trail_sigma=8.0, reflections=())
    assert not (marked.mask & MaskBit.TRAIL).any()
