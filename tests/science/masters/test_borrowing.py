"""Which master of another night is taken: stated case by case."""

from __future__ import annotations

import itertools
from datetime import date
from pathlib import Path

import pytest

from tasks.io.fits.master_files import Archived
from tasks.science.masters import borrowing

NIGHT = date(2026, 1, 15)


def master(name, day, exposure_s=0.0):
    return Archived(path=Path(name), night=date(2026, 1, day), exposure_s=exposure_s)


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        pytest.param(master("a", 13), master("b", 18), id="the nearest date"),
        pytest.param(master("b", 14), master("a", 16), id="of two as near the earlier"),
        pytest.param(master("a", 14), master("b", 14), id="then the name"),
        pytest.param(master("a", 6, 100.0), master("b", 14, 60.0), id="the same exposure before the nearest date"),
        pytest.param(master("a", 6, 150.0), master("b", 14, 60.0), id="else the nearest ratio"),
        pytest.param(master("a", 8, 60.0), master("b", 1, 100.0), id="within the age limit before anything"),
    ],
)
def test_what_serves_better_comes_first_whatever_the_order(better, worse):
    for given in itertools.permutations([better, worse]):
        ranked = borrowing.ranked(given, night=NIGHT, limit_days=10, exposure_s=100.0)
        assert ranked == [better, worse]


def test_beyond_the_age_limit_the_nearest_is_still_there():
    assert borrowing.ranked([master("a", 1)], night=NIGHT, limit_days=2) == [master("a", 1)]
