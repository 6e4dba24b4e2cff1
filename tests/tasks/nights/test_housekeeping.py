"""Housekeeping of a night: lock, leftovers of killed runs, cancellation, and the check of disk space."""

from __future__ import annotations

import errno
import os
import time
from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from tasks import errors, futures, naming, products
from tasks.errors import AlgorithmError, ProgramError, Unavailable, UnusableData
from tasks.nights import housekeeping
from tasks.programs import outputs, run
from tasks.records import Frame, FrameType, Inventory, NightFolder
from tasks.science.nights import frame_accounting

NIGHT = date(2026, 1, 15)
FOLDERS = (NightFolder(unit="7DT01", night=NIGHT, folder=Path("x")),)


@pytest.fixture
def tree(tmp_path):
    return naming.NightTree(root=tmp_path)


def half(folder: Path, *, age_s: float = 0) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / ".123-0123abcd.product.fits"
    path.write_bytes(b"half")
    os.utime(path, (time.time() - age_s,) * 2)
    return path


def test_a_night_is_reduced_by_one_run_at_a_time(tmp_path):
    with (
        housekeeping.night_lock(NIGHT, tmp_path, FOLDERS),
        pytest.raises(Unavailable, match="7DT01 2026-01-15 is being reduced"),
        housekeeping.night_lock(NIGHT, tmp_path, FOLDERS),
    ):
        pass
    with housekeeping.night_lock(NIGHT, tmp_path, FOLDERS):
        pass


def test_what_a_killed_run_left_is_gone_at_the_next_start(tree):
    work, science = tree.scratch("7DT01", NIGHT), tree.science("T00001", "7DT01", "r")
    archive = tree.archive("7DT01", "dark", binning=1, gain_setting=2750)
    stale = [half(work), half(work / "solved"), half(tree.masters("7DT01", NIGHT))]
    stale += [half(science, age_s=3600), half(archive, age_s=3600)]
    with pytest.raises(KeyboardInterrupt), outputs.scratch(work / "solved", "solve") as scratch:
        raise KeyboardInterrupt
    (work / run.CANCEL_FILE).touch()
    written = half(science / "transient")
    products.write_text(science / "product.fits", "whole")

    with housekeeping.night_lock(NIGHT, tree.root, FOLDERS):
        assert not any(path.exists() for path in (*stale, scratch, work / run.CANCEL_FILE))
        assert written.exists(), "another night of the unit may be writing it"
        assert (science / "product.fits").exists()


def test_cancelling_a_night_leaves_word_for_its_programs(tree, monkeypatch):
    tree.scratch("7DT01", NIGHT).mkdir(parents=True)
    block = SimpleNamespace(paths=lambda: {"product_root": tree.root})
    monkeypatch.setattr(housekeeping.Observatory, "load", lambda name: block)

    housekeeping.cancel(None, SimpleNamespace(parameters={"night": "2026-01-15", "units": []}), None)

    with pytest.raises(ProgramError, match="cancelled"):
        run.run(["sleep", "30"], folder=tree.scratch("7DT01", NIGHT) / "solved" / ".solve-x", timeout_s=30)


def inventory(lights: int, shape: tuple[int, int] = (6422, 9576)) -> Inventory:
    frames = tuple(
        Frame(
            path=Path(f"light-{i}.fits"),
            type=FrameType.LIGHT,
            unit="7DT01",
            date_obs=datetime(2026, 1, 16, tzinfo=UTC),
            exposure_s=100.0,
            shape=shape,
        )
        for i in range(lights)
    )
    return Inventory(night=NIGHT, unit="7DT01", folder=Path("x"), frames=frames)


def test_a_night_that_does_not_fit_on_the_disk_is_not_begun(tmp_path, monkeypatch):
    monkeypatch.setattr(housekeeping.shutil, "disk_usage", lambda _: SimpleNamespace(free=100 << 30))

    assert housekeeping.check_space.fn([inventory(10)], tmp_path) > 0
    with pytest.raises(Unavailable, match=r"need about \d+\.\d\d GiB more .* has 100\.00 GiB left"):
        housekeeping.check_space.fn([inventory(100)], tmp_path)


def test_what_is_there_already_needs_no_room(tmp_path, monkeypatch, tree):
    monkeypatch.setattr(housekeeping.shutil, "disk_usage", lambda _: SimpleNamespace(free=1))
    work = tree.scratch("7DT01", NIGHT)
    work.mkdir(parents=True)
    for i in range(10):
        (work / f"fdzlight-{i}.fits").touch()

    assert housekeeping.check_space.fn([inventory(10)], tmp_path) == 1


@pytest.mark.parametrize("number", errors.FULL)
def test_a_full_disk_is_unavailable_and_leaves_nothing(tmp_path, number):
    with pytest.raises(Unavailable, match="no space is left"), products.staged(tmp_path / "a.fits") as temporary:
        temporary.write_bytes(b"half")
        raise OSError(number, "full")
    with pytest.raises(Unavailable, match="no space is left"), outputs.scratch(tmp_path, "solve"):
        raise OSError(number, "full")

    assert [path for path in tmp_path.iterdir() if path.is_file()] == []


class Ended:
    """A future whose task has failed."""

    task_run_id = None

    def __init__(self, error: Exception) -> None:
        self.error = error

    def result(self) -> None:
        raise self.error


def test_a_stage_stops_where_no_other_input_would_help():
    with pytest.raises(Unavailable, match="no space"):
        futures.gather([Ended(UnusableData("x")), Ended(OSError(errno.ENOSPC, "no space"))])
    with pytest.raises(Unavailable, match="away"):
        futures.gather([Ended(Unavailable("away"))])


@pytest.mark.parametrize(
    ("error", "passing"),
    [(UnusableData("x"), False), (AlgorithmError("x"), False), (ProgramError("x"), True), (OSError("x"), True)],
)
def test_only_what_is_wrong_with_the_data_is_lost_for_good(monkeypatch, error, passing):
    monkeypatch.setattr(futures, "_names", lambda runs: ["solve-7DT01" for _ in runs])
    _, failures = futures.gather([Ended(error)], stage="reduce")

    assert failures[0].passing is passing
    [lost] = frame_accounting.unaccounted(["a.fits"], [], [], failures, stage="reduce", unit="7DT01")
    assert lost.passing is passing
