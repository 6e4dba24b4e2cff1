"""Grown masks: the oracles are SciPy's dilation and its distance to the nearest bad pixel."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from tasks.science.arrays import to_host
from tasks.science.images import masks


def test_a_mask_grows_into_the_eight_pixels_around(xp, rng):
    mask = rng.random((40, 50)) > 0.97
    np.testing.assert_array_equal(to_host(masks.grow(xp.asarray(mask))), ndimage.binary_dilation(mask, np.ones((3, 3))))


@pytest.mark.parametrize("radius_px", [0, 1, 2, 3, 4.5, 7, 60])
@pytest.mark.parametrize("shape", [(40, 50), (3, 50), (50, 2)])
def test_a_mask_grows_by_a_disc(xp, rng, shape, radius_px):
    mask = rng.random(shape) > 0.97
    mask[0, 0] = True
    grown = to_host(masks.grow(xp.asarray(mask), radius_px))
    np.testing.assert_array_equal(grown, ndimage.distance_transform_edt(~mask) <= radius_px)


def test_a_mask_without_a_bad_pixel_stays_empty(xp):
    assert not masks.grow(xp.zeros((5, 6), dtype=bool), 3).any()
