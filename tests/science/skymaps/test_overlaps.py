"""Two sky maps of one event: against published numbers of a real one, and a case worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tasks.planning import aims
from tasks.records import SkyMap
from tasks.science.skymaps import map_overlap


@pytest.mark.parametrize(("name", "outside", "held"), [("initial", 0.730, 0.974), ("update", 0.828, 0.988)])
def test_what_of_a_real_region_later_maps_keep(shared_data, name, outside, held):
    before, after = (
        aims.read_aim(shared_data / "notices" / f"S241102br-{each}.json").sky_map for each in ("preliminary", name)
    )
    found = map_overlap.between(before, after)
    assert found.outside == pytest.approx(outside, abs=0.001)
    assert found.held == pytest.approx(held, abs=0.001)


def test_a_map_beside_itself_and_beside_another_place():
    def at(pixel: int) -> SkyMap:
        return SkyMap(
            uniq=np.array([4 * 4**4 + pixel]), order=np.array([4]), density=np.array([12 * 4**4 / (4 * np.pi)])
        )

    same, apart = map_overlap.between(at(7), at(7)), map_overlap.between(at(7), at(9))
    assert (same.outside, same.held) == (pytest.approx(0, abs=1e-9), pytest.approx(1))
    assert (apart.outside, apart.held) == (pytest.approx(1), 0.0)
