"""Votes for an offset: the oracle is the offset that the positions were made with."""

from __future__ import annotations

import numpy as np
import pytest

from tasks.science.astrometry import offset_votes


@pytest.mark.parametrize("offset", [(0.0, 0.0), (37.2, -81.9), (-99.0, 99.0), (30.0, 60.0)])
def test_true_pairs_outvote_the_false_ones(rng, offset):
    start = rng.uniform(0, 1000, (60, 2))
    strangers = rng.uniform(0, 1000, (80, 2))
    goal = np.concatenate([start[:40] + offset + rng.normal(0, 0.3, (40, 2)), strangers])
    votes, found = offset_votes.winner(start, goal, reach=100.0, cell=3.0)
    assert 35 <= votes <= 45
    assert np.abs(found - offset).max() <= 3.0


def test_an_offset_beyond_the_reach_is_not_found(rng):
    start = rng.uniform(0, 1000, (40, 2))
    votes, found = offset_votes.winner(start, start + np.array([140.0, 0.0]), reach=100.0, cell=3.0)
    assert votes < 8
    assert np.abs(found).max() <= 103.0
