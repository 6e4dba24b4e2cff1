"""Hostile headers and broken files go through inventory and calibration as frames or as reasons, never as crashes."""

from __future__ import annotations

import shutil
import time
from datetime import date

import pytest
from support import hostile_frames, simulated

from tasks.options import CalibrateOptions
from tasks.records import FrameType
from tasks.reduction import calibration, inventory
from tasks.reduction import masters as mastering

UNIT = "7DT01"


@pytest.fixture(scope="module")
def cut(tmp_path_factory):
    """A night of small frames."""
    night = simulated.make_night(tmp_path_factory.mktemp("night"), filters=("r",), lights=3)
    folder = tmp_path_factory.mktemp("cut")
    for path in night.raw("*.fits"):
        (folder / path.name).write_bytes(hostile_frames.small(path))
    return folder, night


def calibrate(folder, night, out):
    options, evening = CalibrateOptions(), date.fromisoformat(night.truth["night"])
    taken = inventory.take_inventory.fn(folder, UNIT, evening)
    masters = mastering.make_masters.fn(taken, out, options)
    batches = [calibration.calibrate_lights.fn(batch, masters, evening, out, options) for batch in taken.batches(10)]
    rejected = [*taken.rejected, *masters.rejected, *(each for batch in batches for each in batch.rejected)]
    return taken, {each.name: each.reason for each in rejected}, [c for b in batches for c in b.calibrated]


def test_a_hostile_header_names_nothing_outside_the_root(cut, tmp_path, monkeypatch):
    folder = shutil.copytree(cut[0], tmp_path / "night")
    light = hostile_frames.small(cut[1].raw("T0*.fits")[0])
    payloads = hostile_frames.payloads()[::5]
    for number, (keyword, value) in enumerate(payloads):
        (folder / f"hostile-{number:02d}.fits").write_bytes(hostile_frames.with_card(light, keyword, value))
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    before = set(tmp_path.iterdir())

    _, reasons, made = calibrate(folder, cut[1], tmp_path / "out")

    done = {each.frame.path.name for each in made} | set(reasons)
    assert {f"hostile-{number:02d}.fits" for number in range(len(payloads))} <= done
    assert set(tmp_path.iterdir()) - before == {tmp_path / "out"}
    assert not list((tmp_path / "cwd").iterdir())
    assert all((tmp_path / "out") in each.image.parents for each in made)


def test_fuzzed_files_are_frames_or_reasons(cut, tmp_path, rng):
    folder = shutil.copytree(cut[0], tmp_path / "night")
    light = hostile_frames.small(cut[1].raw("T0*.fits")[0])
    names = []
    for number, (suffix, content) in enumerate(hostile_frames.fuzz(light, rng, 95)):
        names.append(f"fuzz-{number:02d}{suffix}")
        (folder / names[-1]).write_bytes(content)
    traps = hostile_frames.traps(folder)
    started = time.monotonic()

    taken, reasons, made = calibrate(folder, cut[1], tmp_path / "out")

    assert time.monotonic() - started < 60
    known = {frame.path.name for frame in taken.frames if frame.type is not FrameType.LIGHT} | set(reasons)
    assert {*names, *traps} <= known | {each.frame.path.name for each in made}
    assert set(traps) <= set(reasons)
    assert all(reasons.values())
