"""Astrometry of frames whose telescope pointed badly: nearly all are solved, and no wrong solution is let through."""

from __future__ import annotations

import shutil
from collections import Counter

import numpy as np
import pytest
from support import plates, tally
from support.plates import HOPELESS, SOLUBLE, Wanted

from tasks.options import ReduceOptions

pytestmark = [
    pytest.mark.gate,
    pytest.mark.binaries,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(shutil.which("scamp") is None, reason="SCAMP is not installed"),
]
OPTIONS = ReduceOptions(program_timeout_s=60)
BATCHES = 30
ORDINARY = 6
# stars of the reference on a frame near the Milky Way: every tenth batch lies there
CROWDED = 20000
SOLVED_PART = 0.99
# what a part of the frame may be off by in the map of residuals, and twice that anywhere
WRONG_ARCSEC = 0.5


def test_frames_off_by_0p4_to_1_degree_are_solved_and_no_solution_is_wrong(tmp_path, rng):
    exposed, solved, wrong, worst = Counter(), Counter(), [], 0.0
    for number in range(BATCHES):
        folder = tmp_path / str(number)
        folder.mkdir()
        wanted = [*[Wanted()] * ORDINARY, SOLUBLE[number % len(SOLUBLE)], HOPELESS[number % len(HOPELESS)]]
        made, stars = plates.batch(wanted, folder, rng, per_frame=CROWDED if number % 10 == 9 else None)
        found, refused = plates.solve(made, stars, folder, OPTIONS)
        assert found.keys() | refused.keys() == set(range(len(made)))
        exposed.update(each.kind for each in made)
        solved.update(made[index].kind for index in found)
        for index, wcs in found.items():
            off = plates.errors_arcsec(wcs, made[index].wcs)
            worst = max(worst, float(off.max()))
            if np.median(off) > WRONG_ARCSEC or off.max() > 2 * WRONG_ARCSEC:
                wrong.append((number, made[index].kind, float(off.max())))
        shutil.rmtree(folder)
    hopeless = {each.kind for each in HOPELESS}
    soluble = sum(count for kind, count in exposed.items() if kind not in hopeless)
    right = sum(count for kind, count in solved.items() if kind not in hopeless)
    tally.count(
        "astrometry with the pointing off by 0.4 to 1 deg",
        frames=soluble,
        solved=right,
        percent=round(100 * right / soluble, 2),
        hopeless_frames=sum(exposed[kind] for kind in hopeless),
        of_them_let_through=sum(solved[kind] for kind in hopeless),
        wrong_solutions=len(wrong),
        arcsec_off_at_most=round(worst, 2),
    )
    assert wrong == []
    assert not hopeless & set(solved)
    assert right >= SOLVED_PART * soluble
