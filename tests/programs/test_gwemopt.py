"""gwemopt: its input files, a run, and the parsing of its output."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from support import plans

from tasks.errors import ProgramError
from tasks.options import PlanOptions
from tasks.programs import gwemopt
from tasks.records import FieldOfView
from tasks.science.skymaps import healpix

START = datetime(2026, 1, 16, 0, 0, tzinfo=UTC)


def small_map() -> gwemopt.Map:
    made = plans.sky_map(error_deg=3.0)
    ra, dec = healpix.centre_of(healpix.pixel_of(made.uniq, made.order), int(made.order[0]))
    return gwemopt.Map(uniq=made.uniq, density=made.density, ra_deg=ra, dec_deg=dec)


def job(name: str, side: float) -> gwemopt.TelescopeTiles:
    telescope = plans.telescope(name, field_of_view=FieldOfView(width_deg=side, height_deg=side))
    ra, dec = np.meshgrid(plans.RA_DEG + np.arange(-3, 4) * side * 1.15, plans.DEC_DEG + np.arange(-3, 4) * side)
    return gwemopt.TelescopeTiles(telescope=telescope, centres_deg=np.stack([ra.ravel(), dec.ravel()], axis=1))


def test_the_command_is_python_and_the_worker() -> None:
    assert gwemopt.command(Path("/x/request.json")) == [
        sys.executable,
        "-m",
        "tasks.programs.gwemopt_worker",
        "/x/request.json",
    ]


def test_the_real_program_plans_two_telescopes_in_one_process(tmp_path: Path) -> None:
    home = Path.home() / "Data" / "gwemopt"
    there = home.exists()
    jobs = [job("Wide", 2.0), job("Narrow", 1.0)]
    options = PlanOptions(tiles=6, hours=24, program_timeout_s=120)
    chosen = gwemopt.plan(jobs, small_map(), start=START, options=options, folder=tmp_path / "scratch")
    assert set(chosen) == {"Wide", "Narrow"}
    for choices in chosen.values():
        assert len({choice.row for choice in choices}) == len(choices) == 6
        assert all(START <= choice.start <= START + timedelta(hours=24) for choice in choices)
    centre = jobs[0].centres_deg[[choice.row for choice in chosen["Wide"]]].mean(axis=0)
    np.testing.assert_allclose(centre, [plans.RA_DEG, plans.DEC_DEG], atol=2.0)
    assert home.exists() == there


def test_a_deadline_ends_the_program(tmp_path: Path) -> None:
    options = PlanOptions(program_timeout_s=0.3)
    with pytest.raises(ProgramError, match="deadline"):
        gwemopt.plan([job("Wide", 2.0)], small_map(), start=START, options=options, folder=tmp_path)


def test_the_telescope_is_written_in_its_own_format() -> None:
    text = gwemopt.config_text(plans.telescope())
    assert "FOV_type region\n" in text
    assert "overhead_per_exposure 11.0\n" in text
    assert "dec_constraint -90.0,90.0\n" in text


@pytest.mark.parametrize(
    ("written", "word"),
    [
        ("{", "readable"),
        (json.dumps({"telescopes": {"Other": []}}), "not given"),
        (
            json.dumps({"telescopes": {"A": [{"number": 1, "start_mjd": 1.0}, {"number": 1, "start_mjd": 2.0}]}}),
            "repeat",
        ),
        (json.dumps({"telescopes": {"A": [{"number": 9, "start_mjd": 1.0}]}}), "not among"),
        (json.dumps({"telescopes": {"A": [{"number": 1, "start_mjd": "inf"}]}}), "no time"),
    ],
)
def test_a_schedule_that_cannot_be_is_refused(tmp_path: Path, written: str, word: str) -> None:
    path = tmp_path / "schedule.json"
    path.write_text(written)
    with pytest.raises(ProgramError, match=word):
        gwemopt.parse(path, {"A": 3})


def test_choices_come_in_time_order(tmp_path: Path) -> None:
    rows = [{"number": 2, "start_mjd": 61056.5}, {"number": 1, "start_mjd": 61056.25}]
    path = tmp_path / "schedule.json"
    path.write_text(json.dumps({"telescopes": {"A": rows}}))
    first, second = gwemopt.parse(path, {"A": 3})["A"]
    assert (first.row, second.row) == (0, 1)
    assert first.start == datetime(2026, 1, 16, 6, tzinfo=UTC)
