"""The noise of a light's sky, even and uneven, against noise drawn with a known sigma."""

from __future__ import annotations

import numpy as np
import pytest

from tasks.science.calibration import sky_noise


@pytest.mark.parametrize(("factor", "uneven"), [(1.0, False), (1.6, True)])
def test_a_part_of_a_light_that_is_noisier_than_its_variance_says_is_found(rng, factor, uneven):
    shape = (800, 1600)
    sigma = np.full(shape, 10.0)
    sigma[:100, 1500:] *= factor
    sky = np.linspace(0, 300, shape[1]) + rng.normal(0, sigma)
    sky[400:420, 700:720] += 3e4
    found = sky_noise.sky_unevenness(sky, np.full(shape, 100.0), np.zeros(shape, np.uint8))
    assert (found > 0.25) is uneven
    if uneven:
        assert found == pytest.approx(factor - 1, abs=0.1)


def test_a_light_without_good_pixels_is_not_uneven():
    ones = np.ones((40, 60), np.float32)
    assert sky_noise.sky_unevenness(ones, ones, np.ones((40, 60), np.uint8)) == 0
