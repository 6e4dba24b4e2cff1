"""Colour terms and surfaces of the zero point against those that were put in."""

from __future__ import annotations

import numpy as np
import pytest

from tasks.science.photometry import zeropoints

SHAPE = (6388, 9576)


def stars(rng, number=1500, *, colour_term=0.0, surface=lambda u, v: 0 * u, noise=0.012, outliers=0.03):
    """Differences of stars all over a frame: a zero point of 28.3 for BP - RP = 1."""
    x, y = rng.uniform(1, SHAPE[1], number), rng.uniform(1, SHAPE[0], number)
    colour = np.clip(rng.normal(1.1, 0.4, number), 0.2, 2.7)
    error = noise * rng.uniform(0.5, 1.5, number)
    difference = 28.3 + colour_term * (colour - 1) + surface(*centred(x, y)) + rng.normal(0, error)
    strange = rng.random(number) < outliers
    difference[strange] += rng.uniform(-0.5, 0.8, strange.sum())
    return difference, error, colour, (x, y)


def centred(x, y):
    return 2 * x / SHAPE[1] - 1, 2 * y / SHAPE[0] - 1


def cubic(u, v):
    return 0.03 * u - 0.02 * v + 0.025 * u * v + 0.03 * u**2 - 0.02 * v**3


def ripple(u, v):
    return cubic(u, v) + 0.02 * np.sin(4 * u) * np.cos(4 * v)


def grid_of(number=60):
    x, y = np.meshgrid(np.linspace(1, SHAPE[1], number), np.linspace(1, SHAPE[0], number))
    return x.ravel(), y.ravel()


def fit(sample, **how):
    return zeropoints.fit_terms(*sample, shape=SHAPE, pivot_mag=1.0, **how)


@pytest.mark.parametrize("term", [-0.08, 0.0, 0.05])
def test_a_colour_term_is_recovered_within_its_error(rng, term):
    pulls = []
    for _ in range(40):
        summary = fit(stars(rng, 400, colour_term=term, surface=cubic)).summary
        pulls.append((summary.colour_mag - term) / summary.colour_error_mag)

    assert np.abs(pulls).max() < 4
    assert np.mean(pulls) == pytest.approx(0, abs=4 / np.sqrt(40))
    assert np.std(pulls) == pytest.approx(1, abs=0.35)


def test_a_cubic_surface_is_recovered_to_a_few_mmag_and_the_scatter_falls_to_the_noise(rng):
    found = fit(stars(rng, surface=cubic, colour_term=0.04))
    x, y = grid_of()
    truth = cubic(*centred(x, y))
    error = found.of_place(x, y) - truth
    error -= np.median(error)

    # 10 coefficients share 1500 stars: the mean error is noise sqrt(10 / 1500), at the corners several times that
    assert np.sqrt(np.mean(error**2)) < 2 * 0.013 * np.sqrt(10 / 1500)
    assert np.abs(error).max() < 0.01
    assert found.summary.before_mag > 0.03
    # weights are the inverse squares of the errors and a floor of 5 mmag
    error = 0.012 * np.linspace(0.5, 1.5)
    weight = 1 / (error**2 + 0.005**2)
    assert found.summary.after_mag == pytest.approx(np.sqrt((weight * error**2).sum() / weight.sum()), rel=0.1)
    assert found.summary.spatial_rms_mag == pytest.approx(np.std(truth), rel=0.1)


def test_the_error_of_a_zero_point_is_the_medians_and_below_it_that_of_the_reference(rng):
    """A median of n normal values of standard deviation s is uncertain by about s / sqrt(n); fields share 5 mmag."""
    few, many = (zeropoints.zero_point(28.3 + rng.normal(0, 0.1, n)) for n in (30, 40_000))

    # clipping at 2 sigma makes a normal distribution narrower: to 0.77 of its scatter where it is repeated
    assert few.error_mag == pytest.approx(np.hypot(0.1 / np.sqrt(30), 0.005), rel=0.5)
    assert many.error_mag == pytest.approx(0.005, rel=0.01)
    assert zeropoints.zero_point(np.full(9, 28.3)).error_mag == pytest.approx(0.005)


def test_stars_count_by_their_errors_and_at_most_as_if_these_were_5_mmag(rng):
    """The bright half is off by 20 mmag and said to be exact: weights are 1 / (error² + 5 mmag²), not infinite."""
    n = 2000
    error = np.where(np.arange(n) < n // 2, 1e-4, 0.01)
    colour, place = np.tile([0.8, 1.2], n // 2), (rng.uniform(1, SHAPE[1], n), rng.uniform(1, SHAPE[0], n))
    noise = rng.normal(0, np.hypot(error, 0.005))
    weight = 1 / (error**2 + 0.005**2)
    summary = fit((28.3 + noise, error, colour, place)).summary

    assert summary.before_mag == pytest.approx(np.sqrt((weight * noise**2).sum() / weight.sum()), rel=0.05)


def test_cells_take_what_a_cubic_surface_leaves(rng):
    sample = stars(rng, 4000, surface=ripple)
    x, y = grid_of()
    residuals = []
    for cells in (False, True):
        found = fit(sample, cells=cells)
        error = found.of_place(x, y) - ripple(*centred(x, y))
        residuals.append(np.std(error))

    assert residuals[1] < 0.6 * residuals[0]
    assert residuals[1] < 0.006


def test_cells_invent_nothing_where_there_is_only_noise(rng):
    found = fit(stars(rng, 600), cells=True)

    assert np.std(found.of_place(*grid_of())) < 0.004


def test_few_stars_tell_only_a_colour_and_still_fewer_nothing(rng):
    few = fit(stars(rng, 120, colour_term=0.05))
    assert few.summary.spatial_rms_mag is None
    assert few.summary.colour_mag == pytest.approx(0.05, abs=4 * few.summary.colour_error_mag)
    assert (few.of_place(np.array([5.0]), np.array([5.0])) == 0).all()
    assert fit(stars(rng, 40)) is None


def test_without_colours_the_surface_alone_is_fitted(rng):
    difference, error, colour, place = stars(rng, surface=cubic)
    found = fit((difference, error, np.full_like(colour, np.nan), place))

    assert found.summary.colour_mag is None
    assert (found.of_colour(np.array([0.5, np.nan])) == 0).all()
    assert found.summary.spatial_rms_mag > 0.02


def test_a_star_of_unknown_colour_gets_no_colour_term(rng):
    found = fit(stars(rng, colour_term=0.1))

    assert found.of_colour(np.array([np.nan, 2.0])) == pytest.approx([0.0, 0.1], abs=0.01)
