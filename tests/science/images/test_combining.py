"""Combined frames against brute force, other libraries, and the truth of what was drawn."""

from __future__ import annotations

import math

import ccdproc
import numpy as np
import pytest
from astropy.nddata import CCDData
from astropy.stats import mad_std

from tasks.science.arrays import to_host
from tasks.science.images import combining

QUIET = combining.Noise(read_adu=13.7, gain=0.256, pedestal_adu=512.0)
MODES = ("clipped", "seed", "median", "mean")


def drawn(rng, n, shape=(11, 13), *, outliers=0.02):
    stack = np.round(rng.normal(520, 14, (n, *shape)))
    hit = rng.random(stack.shape) < outliers
    stack[hit] += rng.exponential(800, hit.sum()).round()
    return np.clip(stack, 0, 65535).astype(np.uint16)


def seed_by_the_letter(values):
    """The seed's operator on one pixel: rounds of mean and population sigma, then the median of what is left."""
    kept = np.asarray(values, np.float64)
    for _ in range(5):
        far = np.abs(kept - kept.mean()) > 3 * kept.std()
        if not far.any() or kept.size <= 10:
            break
        kept = kept[~far]
    return np.median(kept).astype(np.float32), kept.size


def clipped_by_the_letter(values, noise, clip_sigma):
    values = np.asarray(values, np.float64)
    centre = np.median(values)
    photons = max(centre - noise.pedestal_adu, 0) / noise.gain
    sigma = max(1.4826 * np.median(np.abs(values - centre)), math.sqrt(noise.read_adu**2 + photons))
    kept = values[np.abs(values - centre) <= clip_sigma * sigma]
    return kept.mean(), kept.var(ddof=1) / kept.size if kept.size > 1 else None, kept.size


def pixels(stack):
    return stack.reshape(len(stack), -1).T


@pytest.mark.parametrize("n", [*range(1, 14), 20, 31, 64])
def test_the_median_is_that_of_numpy(xp, rng, n):
    stack = drawn(rng, n)
    result = combining.median(xp.asarray(stack))
    np.testing.assert_array_equal(to_host(result), np.median(stack.astype(np.float32), axis=0))


def test_the_median_is_that_of_ccdproc(rng):
    stack = drawn(rng, 9).astype(np.float32)
    peer = ccdproc.Combiner([CCDData(plane, unit="adu") for plane in stack]).median_combine()
    np.testing.assert_array_equal(combining.median(stack), np.asarray(peer.data, np.float32))


@pytest.mark.parametrize("n", [3, 5, 10, 11, 12, 20, 40])
def test_mode_seed_is_the_seeds_operator_to_the_letter(xp, rng, n):
    stack = drawn(rng, n, outliers=0.06)
    result = combining.combine(xp.asarray(stack), mode="seed", noise=QUIET)
    expected = [seed_by_the_letter(values) for values in pixels(stack)]
    np.testing.assert_array_equal(to_host(result.image).ravel(), [value for value, _ in expected])
    np.testing.assert_array_equal(to_host(result.count).ravel(), [size for _, size in expected])


@pytest.mark.parametrize(("lowest", "kept"), [(466, 20), (465, 19)])
def test_mode_seed_keeps_what_lies_at_exactly_three_sigma(xp, lowest, kept):
    # (n x - S)^2 = 9 (n Q - S^2) for 466, in whole numbers; a root would have it at 3.0000000000000018 sigma
    others = [496, 497, 498, 498, 501, 506, 506, 509, 509, 513, 515, 519, 520, 521, 522, 523, 524, 527, 532]
    counts = np.array([lowest, *others], np.uint16).reshape(-1, 1, 1)
    result = combining.combine(xp.asarray(counts), mode="seed", noise=QUIET)
    assert to_host(result.count) == kept
    assert to_host(result.image) == np.median(counts[20 - kept :])


def test_mode_seed_rejects_nothing_of_ten_frames_and_something_of_eleven():
    ten, eleven = (np.zeros((n, 1, 1), np.float32) for n in (10, 11))
    ten[0] = eleven[0] = 1e6
    assert combining.combine(ten, mode="seed", noise=QUIET).count == 10
    assert combining.combine(eleven, mode="seed", noise=QUIET).count == 10


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 8, 15, 20])
@pytest.mark.parametrize("clip_sigma", [3.0, 5.0])
def test_mode_clipped_is_its_definition(xp, rng, n, clip_sigma):
    stack = drawn(rng, n, outliers=0.05)
    result = combining.combine(xp.asarray(stack), mode="clipped", noise=QUIET, clip_sigma=clip_sigma)
    expected = [clipped_by_the_letter(values, QUIET, clip_sigma) for values in pixels(stack)]
    np.testing.assert_array_equal(to_host(result.count).ravel(), [size for *_, size in expected])
    np.testing.assert_allclose(to_host(result.image).ravel(), [mean for mean, *_ in expected], rtol=2e-7)
    known = np.array([variance is not None for _, variance, _ in expected])
    variances = [variance for _, variance, _ in expected if variance is not None]
    np.testing.assert_allclose(to_host(result.variance).ravel()[known], variances, rtol=2e-4, atol=1e-3)


def test_one_bad_frame_of_five_is_rejected(xp, rng):
    stack = np.round(rng.normal(512, 13.7, (5, 40, 40))).astype(np.float32)
    clean = combining.combine(xp.asarray(stack[:4]), mode="clipped", noise=QUIET)
    stack[4] += 400
    result = combining.combine(xp.asarray(stack), mode="clipped", noise=QUIET)
    assert int((to_host(result.count) == 4).sum()) > 1590
    same = to_host(result.count) == 4
    np.testing.assert_allclose(to_host(result.image)[same], to_host(clean.image)[same], rtol=1e-6)


def test_photon_noise_widens_the_limit_of_bright_pixels():
    level = 30000.0
    noise = combining.Noise(read_adu=13.7, gain=0.256, pedestal_adu=512.0)
    off = 4.5 * math.sqrt((level - 512) / 0.256)
    stack = np.full((5, 1, 1), level, np.float32)
    stack[0] += off
    assert combining.combine(stack, mode="clipped", noise=noise).count == 5
    dim = stack - level + 512
    assert combining.combine(dim, mode="clipped", noise=noise).count == 4


@pytest.mark.parametrize("mode", MODES)
def test_the_variance_is_that_of_the_result(rng, mode):
    stack = rng.normal(512, 14, (12, 300, 300)).astype(np.float32)
    result = combining.combine(stack, mode=mode, noise=QUIET)
    # the variance of a median is 1.57 times that of a mean only for many values: 1.42 times for twelve
    assert np.mean(result.variance) == pytest.approx(np.var(result.image), rel=0.13)


@pytest.mark.parametrize("mode", ["clipped", "seed", "median"])
@pytest.mark.parametrize("kind", [np.uint16, np.float32])
def test_the_order_of_the_frames_does_not_change_a_bit(xp, rng, mode, kind):
    stack = drawn(rng, 13, (60, 50), outliers=0.05).astype(kind)
    one = combining.combine(xp.asarray(stack), mode=mode, noise=QUIET)
    other = combining.combine(xp.asarray(stack[rng.permutation(13)]), mode=mode, noise=QUIET)
    for first, second in zip((one.image, one.variance), (other.image, other.variance), strict=True):
        np.testing.assert_array_equal(to_host(first), to_host(second))


@pytest.mark.parametrize("mode", MODES)
def test_bands_give_the_same_bytes_as_the_whole(rng, mode, monkeypatch):
    stack = drawn(rng, 11, (70, 90))
    whole = combining.combine(stack, mode=mode, noise=QUIET)
    monkeypatch.setattr(combining, "CACHE_BYTES", 1)
    parts = [combining.combine(stack[:, rows : rows + 9], mode=mode, noise=QUIET) for rows in range(0, 70, 9)]
    np.testing.assert_array_equal(np.concatenate([part.image for part in parts]), whole.image)
    np.testing.assert_array_equal(np.concatenate([part.variance for part in parts]), whole.variance)


@pytest.mark.parametrize("mode", MODES)
def test_the_stack_is_left_as_it_was(rng, mode):
    stack = drawn(rng, 7)
    before = stack.copy()
    combining.combine(stack, mode=mode, noise=QUIET)
    np.testing.assert_array_equal(stack, before)


def test_a_value_that_is_none_leaves_no_value():
    stack = np.ones((5, 2, 2), np.float32)
    stack[2, 0, 0] = np.nan
    image = combining.combine(stack, mode="median", noise=QUIET).image
    assert np.isnan(image[0, 0])
    assert image[1, 1] == 1


@pytest.mark.parametrize("size", range(1, 17))
def test_a_network_sorts_all_zeros_and_ones(size):
    """A network that sorts every sequence of zeros and ones sorts everything (Knuth 5.3.4)."""
    bits = (np.arange(1 << size)[None, :] >> np.arange(size)[:, None]) & 1
    rows = combining.sort_rows(list(bits.astype(np.uint8)), combining.network(size))
    np.testing.assert_array_equal(np.stack(rows), np.sort(bits, axis=0))


def test_a_pruned_network_finds_what_was_asked_for_in_fewer_steps(rng):
    values = rng.random((25, 1000)).astype(np.float32)
    full, pruned = combining.network(25), combining.network(25, (12,))
    rows = combining.sort_rows(list(values.copy()), pruned)
    np.testing.assert_array_equal(rows[12], np.sort(values, axis=0)[12])
    halves = sum(low + high for *_, low, high in pruned)
    assert halves < 0.85 * sum(low + high for *_, low, high in full)


@pytest.mark.parametrize("n", [2, 3, 4, 7, 8, 20])
def test_the_median_absolute_deviation_is_that_of_astropy(rng, n):
    values = np.sort(rng.normal(0, 1, (n, 500)).astype(np.float32), axis=0)
    deviations = values - np.median(values, axis=0)
    expected = mad_std(values, axis=0) / 1.482602218505602
    np.testing.assert_allclose(combining._mad(deviations), expected, rtol=1e-5, atol=1e-6)
