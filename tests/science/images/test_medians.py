"""The compiled median against NumPy's."""

from __future__ import annotations

import numpy as np
import pytest

from tasks.science.images import fast_medians

MANY = 5000


@pytest.mark.parametrize("number", [1, 2, 3, 4, 1000, 1001, MANY])
@pytest.mark.parametrize("kind", ["normal", "uniform", "few values", "two values", "one outlier", "heavy tails"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_it_is_numpys_median(rng, number, kind, dtype):
    values = {
        "normal": rng.normal(250, 40, number),
        "uniform": rng.uniform(-1, 1, number),
        "few values": rng.integers(0, 3, number).astype(float),
        "two values": np.repeat([-1.0, 1.0], [(number + 1) // 2, number // 2]),
        "one outlier": np.append(rng.normal(250, 40, number - 1), 1e9),
        "heavy tails": rng.standard_cauchy(number),
    }[kind].astype(dtype)

    assert fast_medians.median(values) == np.median(values.astype(float))


def test_equal_and_very_close_numbers(rng):
    assert fast_medians.median(np.full(10, 7.5, np.float32)) == 7.5
    close = np.nextafter(np.float32(1), np.float32(2), dtype=np.float32)
    assert fast_medians.median(np.array([1, close, close], np.float32)) == close
    tiny = np.array([0, 5e-324, 1e-323])
    assert fast_medians.median(tiny) == np.median(tiny)


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_of_what_is_not_finite_there_is_none(odd):
    assert np.isnan(fast_medians.median(np.array([1.0, odd, 3.0, 2.0])))


def test_of_nothing_there_is_none():
    assert np.isnan(fast_medians.median(np.zeros(0, np.float32)))
