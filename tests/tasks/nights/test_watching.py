"""Arriving night folders: announced once, again with late frames, again after a failure."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from tasks import naming
from tasks.io.fits import fits_images
from tasks.nights import folders, journal, watching
from tasks.records import NightFolder, Places, Rejected
from tasks.science.nights import frame_accounting

NIGHT = date(2026, 1, 15)
HOUR_AGO = 3600.0


@pytest.fixture
def places(tmp_path):
    folder = tmp_path / "catalogues"
    return Places(
        raw_root=tmp_path / "obsdata",
        product_root=tmp_path / "products",
        alert_root=tmp_path / "alerts",
        references=folder,
        astrometric_catalogue=folder / "a",
        photometric_catalogue=folder / "b",
    )


@pytest.fixture
def events(monkeypatch):
    told = []
    monkeypatch.setattr(watching, "emit_event", lambda **event: told.append(event))
    return told


def arrive(places, unit="7DT01", name="a.fits", *, age_s=HOUR_AGO, too=False, cut=0) -> Path:
    path = places.raw_root / unit / naming.night_folder(NIGHT, too=too) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    fits_images.write_image(path, np.ones((40, 50), np.uint16), {})
    if cut:
        path.write_bytes(path.read_bytes()[:-cut])
    then = time.time() - age_s
    os.utime(path, (then, then))
    return path


def look(places) -> list[NightFolder]:
    """One poll of the flow ``watch``."""
    found = watching.settled.fn(places, folders.all_folders.fn(places.raw_root), 120.0)
    return [watching.announce.fn(places, folder) for folder in found]


def test_a_folder_is_announced_once_at_the_second_look(places, events):
    arrive(places)
    assert [len(look(places)) for _ in range(4)] == [0, 1, 0, 0]
    [event] = events
    assert event["event"] == "night.settled"
    assert event["resource"] == {"prefect.resource.id": "siren.night.2026-01-15.7DT01", "siren.too": "no"}
    assert event["payload"] == {"night": "2026-01-15", "unit": "7DT01", "too": False}


def test_late_frames_are_announced_as_an_increment(places, events):
    arrive(places)
    look(places)
    look(places)
    arrive(places, name="late.fits", age_s=10)
    assert [look(places), look(places)] == [[], []]
    arrive(places, name="late.fits")
    assert len(look(places)) == 1
    assert len(events) == 2


def test_a_target_of_opportunity_comes_first_and_each_unit_by_itself(places, events):
    for unit in ("7DT02", "7DT01"):
        arrive(places, unit)
    arrive(places, "7DT02", too=True)
    look(places)
    assert [(each.unit, each.too) for each in look(places)] == [("7DT02", True), ("7DT01", False), ("7DT02", False)]


def test_a_marker_ends_the_waiting(places, events):
    path = arrive(places, age_s=0)
    path.with_name("end_of_night").touch()
    assert len(look(places)) == 1
    assert look(places) == []


def test_frames_that_come_after_the_marker_are_waited_for_like_others(places, events):
    path, marker = arrive(places, age_s=0), arrive(places).with_name("end-of-night")
    marker.touch()
    assert len(look(places)) == 1
    for each in (path, marker):
        os.utime(each, (0, 0))
    arrive(places, name="late.fits", age_s=5)
    assert [look(places), look(places)] == [[], []]
    arrive(places, name="late.fits")
    assert len(look(places)) == 1


def test_a_link_that_leads_nowhere_and_a_file_that_goes_do_not_hold_up_a_folder(places, events, monkeypatch):
    path = arrive(places)
    path.with_name("nowhere.fits").symlink_to(path.with_name("gone.fits"))
    os.utime(path.with_name("nowhere.fits"), (0, 0), follow_symlinks=False)
    gone = path.with_name("passing.fits")
    monkeypatch.setattr(
        Path, "iterdir", lambda folder, real=Path.iterdir: [*real(folder), *[gone] * (folder == gone.parent)]
    )
    assert [len(look(places)) for _ in range(3)] == [0, 1, 0]


def test_a_last_file_in_transfer_is_waited_for(places, events):
    path = arrive(places, cut=500, age_s=600)
    assert [look(places), look(places)] == [[], []]
    os.utime(path, (0, 0))
    assert len(look(places)) == 1


def test_a_folder_that_cannot_be_read_holds_up_no_other(places, events, monkeypatch):
    arrive(places)
    arrive(places, "7DT02")
    entries = watching._entries

    def stuck(folder):
        if "7DT01" in str(folder):
            raise OSError("stale file handle")
        return entries(folder)

    monkeypatch.setattr(watching, "_entries", stuck)
    look(places)
    assert [each.unit for each in look(places)] == ["7DT02"]


def test_a_failed_night_is_announced_again_later_and_a_finished_one_is_not(places, events, monkeypatch):
    arrive(places)
    look(places)
    [folder] = look(places)
    journal.begin.fn(NIGHT, places.product_root, [folder])
    journal.fail.fn(NIGHT, places.product_root, [folder], "ProgramError: scamp\nbroke")
    assert look(places) == []
    monkeypatch.setattr(watching.folder_manifests, "RETRY_AFTER", (watching.folder_manifests.timedelta(0),))
    assert len(look(places)) == 1
    assert look(places) == []
    assert [row["payload"]["unit"] for row in events] == ["7DT01", "7DT01"]


def test_a_night_with_losses_that_may_pass_is_done_in_part_and_one_without_lights_says_so(places):
    folder = NightFolder(unit="7DT01", night=NIGHT, folder=places.raw_root / "7DT01" / "2026-01-15_gain2750")
    lost = Rejected(name="a.fits", stage="reduce", reason="a worker died", unit="7DT01", passing=True)
    for rejected, words in (((lost,), "1 losses that may not happen again,partial"), ((), "No Light Frame,done")):
        made = replace(frame_accounting.summarise(NIGHT, (), seconds=1.0), rejected=rejected)
        journal.begin.fn(NIGHT, places.product_root, [folder])
        journal.end.fn(NIGHT, places.product_root, [folder], made)
        assert (places.product_root / "log" / "7DT01.log").read_text().rstrip().endswith(words)


def test_the_log_has_the_known_columns_and_a_status(places):
    folders = [
        NightFolder(unit="7DT01", night=NIGHT, folder=places.raw_root / "7DT01" / "2026-01-15_ToO_gain2750", too=True),
        NightFolder(unit="7DT01", night=NIGHT, folder=places.raw_root / "7DT01" / "2026-01-15_gain2750"),
    ]
    journal.begin.fn(NIGHT, places.product_root, folders)
    text = (places.product_root / "log" / "7DT01.log").read_text()
    assert text.splitlines()[0] == "date,start,end,note,status"
    assert text.splitlines()[1].endswith(",-,-,running")
    journal.fail.fn(NIGHT, places.product_root, folders, "no disk\nleft")
    lines = (places.product_root / "log" / "7DT01.log").read_text().splitlines()
    assert len(lines) == 3
    assert all(line.endswith(",no disk left,failed") for line in lines[1:])
    assert lines[1].startswith(str(folders[0].folder))
