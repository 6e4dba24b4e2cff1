"""The flow ``night`` on a tiny night: its journal, its messages, chosen objects, forced stages, failures."""

from __future__ import annotations

import csv
import json
import logging
from datetime import date

import pytest
from support import night_runs, simulated

from deployments.server import temporary_server
from flows.nights.night import night
from tasks import naming
from tasks.errors import UnusableData
from tasks.io.nights import night_journal, stage_results
from tasks.records import LOCAL, Blocks, NightReport, Stage

NIGHT = date(2026, 1, 15)
BESIDE = {"blocks": LOCAL, "until": Stage.CALIBRATE}


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """Two units: one with frames, one whose folder holds no image at all."""
    made = simulated.make_night(tmp_path_factory.mktemp("night"), filters=("r",), lights=2)
    empty = made.root / "obsdata" / "7DT02" / naming.night_folder(NIGHT)
    empty.mkdir(parents=True)
    (empty / "clouds.txt").write_text("closed")
    return made


@pytest.fixture(scope="module", autouse=True)
def threads():
    with night_runs.in_threads():
        yield


@pytest.fixture(scope="module")
def root(prefect_api, raw, tmp_path_factory):
    folder = tmp_path_factory.mktemp("products")
    temporary_server.place(night_runs.places_of(raw.root, folder), cpu_slots=1, gpu_slots=1)
    logging.getLogger("prefect").setLevel(logging.WARNING)
    return folder


@pytest.fixture(scope="module")
def made(root) -> NightReport:
    return night(NIGHT, ("7DT01",), **BESIDE)


def log_of(root, unit):
    return list(csv.DictReader((root / "log" / f"{unit}.log").read_text().splitlines()))


def said(root):
    return "\n".join(path.read_text() for path in sorted((root / "alerts" / "outbox").rglob("*.json")))


def stamps(folder):
    kept = [path for path in folder.rglob("*") if path.is_file()]
    return {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in kept}


def test_a_night_is_done_in_the_journal_and_told_with_its_figures(made, root):
    assert made.frames_ok == 2
    [row] = log_of(root, "7DT01")
    assert (row["note"], row["status"]) == ("-", "done")
    assert row["end"].endswith("_(UTC)")
    words = said(root)
    assert "Night 2026-01-15" in words
    assert "Reduction began: 7DT01" in words
    assert "7DT01: 2 frames reduced, 0 left out" in words


def test_its_page_and_logs_stand_beside_each_other(made):
    assert {"index.html", "report.json", "obs.summary.log", "data_processing.log"} <= {
        path.name for path in made.page.parent.iterdir()
    }
    assert "20260115" not in made.page.read_text()  # no master was borrowed
    assert "Master frames" in made.page.read_text()


def test_the_same_again_is_a_lookup_that_says_and_writes_nothing(made, root):
    before = stamps(root)
    assert night(NIGHT, ("7DT01",), **BESIDE) == made
    assert stamps(root) == before


def test_chosen_objects_leave_the_others_in_the_ledger(made, root):
    part = night(NIGHT, ("7DT01",), objects=("99",), **BESIDE)
    assert part.frames_ok == 0
    assert part.page != made.page
    whole = stage_results.read_stage(naming.NightTree(root=root).stage("7DT01", NIGHT, Stage.CALIBRATE))
    assert whole.calibrated == tuple(each for each in whole.calibrated if each.frame.object == "T00001")
    assert len(whole.calibrated) == 2
    assert night(NIGHT, ("7DT01",), objects=("1",), **BESIDE).frames_ok == 2


def test_a_forced_stage_is_made_anew_masters_and_all(made, root):
    tree = naming.NightTree(root=root)
    places = (tree.masters("7DT01", NIGHT) / "zero.fits", *tree.scratch("7DT01", NIGHT).glob("fdz*s.fits"))
    before = [path.stat().st_mtime_ns for path in places]
    night(NIGHT, ("7DT01",), force=(Stage.CALIBRATE,), **BESIDE)
    assert len(places) == 3
    assert all(path.stat().st_mtime_ns > time for path, time in zip(places, before, strict=True))


def test_a_night_that_fails_says_so_and_is_noted(root):
    with pytest.raises(UnusableData, match="no unit could be used"):
        night(NIGHT, ("7DT02",), **BESIDE)
    [row] = log_of(root, "7DT02")
    assert row["status"] == "failed"
    assert "no FITS image" in row["note"]
    assert "Reduction of 7DT02 failed" in said(root)
    state = night_journal.read_state(naming.NightTree(root=root).journal("7DT02", NIGHT))
    assert state is not None
    assert json.loads(night_journal.state_bytes(state))["state"] == "failed"


def test_a_night_goes_on_where_nobody_can_be_told(made, root):
    choices = {**BESIDE, "blocks": Blocks(registry="no-such-block", slack="no-such-block")}
    assert night(NIGHT, ("7DT01",), force=(Stage.CALIBRATE,), **choices).frames_ok == 2
