"""Full frames with the camera's distortion: the vote, SCAMP on the positions, and the verdict; no pixels."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from support import plates
from support.plates import HOPELESS, SOLUBLE, Wanted

from tasks.io.catalogues import ldac
from tasks.options import ReduceOptions
from tasks.reduction.engines import solving
from tasks.science.astrometry import wcs_checks as science

pytestmark = [
    pytest.mark.binaries,
    pytest.mark.skipif(shutil.which("scamp") is None, reason="SCAMP is not installed"),
]
OPTIONS = ReduceOptions(program_timeout_s=60)
INDEX = sorted(Path(OPTIONS.index_folder).glob("index-tycho2-07*.fits"))


def worst_arcsec(found, made):
    return {index: plates.errors_arcsec(wcs, made[index].wcs).max() for index, wcs in found.items()}


def test_frames_of_the_real_camera_off_by_a_degree_are_solved_to_the_corners(shared_data, tmp_path, rng):
    wcs = science.wcs_of(science.solution_cards(ldac.read_header(shared_data / "sevendt" / "7dt01.ahead")))
    stars = plates.sky(science.frame_centre(wcs, plates.SHAPE), 400, rng)
    made = [
        plates.expose(number, wcs, stars, tmp_path, rng, Wanted(error_deg=error))
        for number, error in enumerate((0.0, 0.4, 1.0))
    ]
    found, refused = plates.solve(made, stars, tmp_path, OPTIONS)

    assert refused == {}
    assert max(worst_arcsec(found, made).values()) < 0.2


def test_a_frame_that_fails_with_the_others_is_solved_alone(tmp_path, rng, monkeypatch):
    made, stars = plates.batch([Wanted()] * 2, tmp_path, rng)
    monkeypatch.setattr(solving, "_fit_together", lambda *_: [])
    found, refused = plates.solve(made, stars, tmp_path, OPTIONS)

    assert refused == {}
    assert max(worst_arcsec(found, made).values()) < 0.2


def test_every_soluble_frame_is_solved_and_every_hopeless_one_refused(tmp_path, rng):
    wanted = [*[Wanted()] * 5, *SOLUBLE, *HOPELESS]
    made, stars = plates.batch(wanted, tmp_path, rng)
    found, refused = plates.solve(made, stars, tmp_path, OPTIONS)

    assert {made[index].kind for index in refused} == {each.kind for each in HOPELESS}
    assert len(found) == 5 + len(SOLUBLE)
    assert max(worst_arcsec(found, made).values()) < 0.5
    assert {words.split(" matches")[0].split(" only")[0][:24] for words in map(str, refused.values())} == {
        "only 11 stars can be mea",
        "the best pointing",
    }


def test_frames_without_position_and_without_company_say_so(tmp_path, rng):
    made, stars = plates.batch([Wanted(header="none")] * 2, tmp_path, rng)
    found, refused = plates.solve(made, stars, tmp_path, replace(OPTIONS, index_folder=str(tmp_path)))

    assert found == {}
    assert {str(each) for each in refused.values()} == {"the header does not say where the telescope pointed"}


@pytest.mark.skipif(
    not INDEX, reason="no index file of the Tycho-2 stars (package astrometry-data-tycho2) is installed"
)
def test_solve_field_finds_frames_that_nothing_else_does(tmp_path, rng):
    centre = (110.0, -30.0)
    stars = plates.sky(centre, 600, rng)
    stars = plates.with_real_stars(stars, plates.tycho(centre, INDEX[0], tmp_path))
    wcs = plates.distorted(centre, angle_deg=40.0, mirrored=False)
    made = [plates.expose(number, wcs, stars, tmp_path, rng, Wanted(header="none")) for number in range(2)]
    without, _ = plates.solve(made, stars, tmp_path, replace(OPTIONS, index_folder=str(tmp_path)))
    found, refused = plates.solve(made, stars, tmp_path, OPTIONS)

    assert without == {}
    assert refused == {}
    assert max(worst_arcsec(found, made).values()) < 0.2
