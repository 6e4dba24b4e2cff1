"""Fringes are found at the strength that was put in, whatever the sky, the stars and the fringe frame's noise do."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tasks.errors import UnusableData
from tasks.science.calibration import fringes
from tasks.science.calibration.correction import LightPlanes

SHAPE = (300, 420)
NOISE = 30.0
SEEDS = 24
# of a median over that of a mean, for many normal values
MEDIAN_ERROR = math.sqrt(math.pi / 2)
BOX_PIXELS = 50
# lights that a fringe frame is made of, few and many
NOISES = [8.0, 0.5]


def pattern(rng):
    """Rings about a point outside the frame, and waves across it, each time elsewhere."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    rings, waves = rng.uniform(0, 2 * math.pi, 2)
    return 20 * np.sin(np.hypot(x - 500, y + 40) / 9.0 + rings) + 6 * np.sin(x / 21.0 + waves)


def frame(rng, truth, noise):
    """A fringe frame: the pattern, its noise, and large scales of which a light knows nothing."""
    return (truth + rng.normal(0, noise, SHAPE) + 0.05 * np.arange(SHAPE[1])).astype(np.float32)


def sky():
    """A sky with a bend and a slope."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    return 900 + 0.5 * x - 0.3 * y + 20 * ((x - 150) / 100) ** 2


def exposed(rng, image, mask=None):
    mask = np.zeros(SHAPE, np.uint8) if mask is None else mask
    counts = np.where(mask == 0, image + rng.normal(0, NOISE, SHAPE), 6e4).astype(np.float32)
    return LightPlanes(image=counts, variance=np.full(SHAPE, NOISE**2, np.float32), mask=mask)


def light(rng, truth, factor, *, stars=40):
    """A light with fringes, stars of which nobody knows, and masked pixels that are far off."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    image = sky() + factor * truth
    for _ in range(stars):
        px, py = rng.uniform(0, SHAPE[1]), rng.uniform(0, SHAPE[0])
        image += 10 ** rng.uniform(2, 4) * np.exp(-((x - px) ** 2 + (y - py) ** 2) / 8)
    mask = (rng.uniform(size=SHAPE) < 0.02).astype(np.uint8)
    mask[100:140, 200:260] = 2
    return exposed(rng, image, mask)


def made(rng, factor, *, noise=0.5, stars=40):
    """A light, and the fringe frame made ready."""
    truth = pattern(rng)
    return light(rng, truth, factor, stars=stars), fringes.prepare(frame(rng, truth, noise), shape=SHAPE)


def expected_error(ready, factor, noise):
    """The error of a median of ratios, each of two boxes' medians: of the light's noise and the fringe frame's."""
    box = MEDIAN_ERROR * math.hypot(NOISE, factor * noise) / math.sqrt(BOX_PIXELS)
    return MEDIAN_ERROR * math.sqrt(2) * box / np.median(ready.contrast) / math.sqrt(ready.contrast.size)


def is_unbiased(found, factor):
    return abs(np.mean(found) - factor) < 3 * np.std(found) / math.sqrt(len(found))


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("factor", [0.0, 2.0])
def test_the_scale_has_no_bias_under_slopes_stars_and_masks(factor, noise):
    lights = [made(np.random.default_rng(seed), factor, noise=noise) for seed in range(SEEDS)]
    found = [fringes.scale(planes.image, planes.mask, ready) for planes, ready in lights]
    assert is_unbiased(found, factor)
    # slopes, stars and masks about double what noise does
    assert np.std(found) < 2.5 * expected_error(lights[0][1], factor, noise)


@pytest.mark.parametrize("noise", NOISES)
def test_on_an_empty_sky_the_scale_scatters_as_noise_makes_it(noise):
    pulls = []
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        truth = pattern(rng)
        planes, ready = exposed(rng, 900 + 2 * truth), fringes.prepare(frame(rng, truth, noise), shape=SHAPE)
        pulls.append((fringes.removed(planes, ready)[1] - 2) / expected_error(ready, 2, noise))
    assert is_unbiased(pulls, 0)
    # of so few the scatter itself is known to 15 %; neighbouring boxes share surroundings
    assert np.std(pulls) == pytest.approx(1.1, abs=3 * 0.16)


def test_in_a_crowded_field_it_is_less_certain_but_not_biased():
    pairs = [made(np.random.default_rng(seed), 2.0, stars=300) for seed in range(SEEDS)]
    found = [fringes.scale(planes.image, planes.mask, ready) for planes, ready in pairs]
    assert is_unbiased(found, 2.0)
    assert np.std(found) < 0.1


def test_stars_left_in_the_fringe_frame_hardly_count():
    pulls = []
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        truth = pattern(rng)
        stars = light(rng, truth, 0.0, stars=20).image
        left = frame(rng, truth, 0.5) + np.where(stars > sky() + 10 * NOISE, 100, 0)
        ready = fringes.prepare(left, shape=SHAPE)
        planes = light(rng, truth, 2.0)
        pulls.append((fringes.scale(planes.image, planes.mask, ready) - 2) / expected_error(ready, 2.0, 0.5))
    assert abs(np.mean(pulls)) < 1


def test_more_fringes_in_a_light_are_a_larger_scale_by_just_as_much(rng):
    planes, ready = made(rng, 0.0)
    without = fringes.scale(planes.image, planes.mask, ready)
    more = planes.image + np.float32(3.0) * ready.pattern
    assert fringes.scale(more, planes.mask, ready) - without == pytest.approx(3.0, abs=1e-3)


def test_the_fringes_are_gone_and_nothing_else_is(rng):
    planes, ready = made(rng, 2.0)
    before = planes.image.copy()
    cleaned, found = fringes.removed(planes, ready)
    np.testing.assert_array_equal(planes.image, before)
    np.testing.assert_allclose(before - cleaned.image, np.float32(found) * ready.pattern, atol=0.01)
    assert cleaned.image.dtype == np.float32
    assert cleaned.variance is planes.variance
    assert cleaned.mask is planes.mask
    assert abs(fringes.scale(cleaned.image, cleaned.mask, ready)) < 1e-3


def test_pixels_without_a_fringe_value_stay_as_they_are_and_do_not_count(rng):
    truth = pattern(rng)
    fringe, planes = frame(rng, truth, 0.5), light(rng, truth, 1.0)
    holes = rng.uniform(size=SHAPE) < 0.05
    holes[:, 300:340] = True
    fringe[holes] = rng.choice([np.nan, np.inf, -np.inf], holes.sum())
    ready = fringes.prepare(fringe, shape=SHAPE)
    cleaned, found = fringes.removed(planes, ready)
    np.testing.assert_array_equal(cleaned.image[holes], planes.image[holes])
    assert np.isfinite(cleaned.image).all()
    assert found == pytest.approx(1.0, abs=5 * expected_error(ready, 1.0, 0.5))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda fringe: fringe[:-1], r"has the shape \(299, 420\), the light \(300, 420\)"),
        (lambda fringe: np.full_like(fringe, np.nan), "is empty"),
        (np.zeros_like, "only 0 pairs"),
        (lambda fringe: np.where(np.arange(SHAPE[1]) < 20, fringe, np.nan), "only .* pairs"),
        (lambda fringe: np.random.default_rng(1).normal(0, 5, fringe.shape), "no fringes beyond its noise"),
    ],
)
def test_a_fringe_frame_that_tells_nothing_is_refused(rng, spoil, words):
    with pytest.raises(UnusableData, match=words):
        fringes.prepare(spoil(frame(rng, pattern(rng), 0.5)), shape=SHAPE)


def test_a_light_with_too_few_good_boxes_is_refused(rng):
    planes, ready = made(rng, 1.0)
    planes.mask[:, 30:] = 1
    with pytest.raises(UnusableData, match=r"only \d+ pairs of boxes"):
        fringes.removed(planes, ready)
