"""Positions with an error circle."""

from __future__ import annotations

import numpy as np
import pytest

from tasks.records import FieldOfView
from tasks.science.astrometry import directions
from tasks.science.planning import error_circles
from tasks.science.skymaps import footprints, healpix


@pytest.mark.parametrize("error_deg", [5 / 3600, 0.2, 8.0])
def test_the_error_circle_holds_its_containment(error_deg: float) -> None:
    made = error_circles.gaussian_map(10.0, 60.0, error_deg=error_deg, containment=0.9)
    ra, dec = healpix.centre_of(healpix.pixel_of(made.uniq, made.order), int(made.order[0]))
    points, centre = directions.unit_vectors(ra, dec), directions.unit_vectors(10.0, 60.0)
    within = 2 * np.arcsin(np.linalg.norm(points - centre, axis=1) / 2) <= np.radians(error_deg)
    area = healpix.PIXEL_SR[made.order]
    assert (made.density * area).sum() == pytest.approx(1)
    assert (made.density * area)[within].sum() == pytest.approx(0.9, abs=0.02)


def test_a_position_without_error_is_all_in_one_field() -> None:
    made = error_circles.gaussian_map(10.0, 60.0, error_deg=0.0)
    ranges = footprints.field_ranges(10.0, 60.0, FieldOfView(width_deg=0.1, height_deg=0.1))
    assert footprints.probability(ranges, footprints.curve(made)) == pytest.approx(1)
