"""Harm that is done to a night: a full disk, poisoned units, hostile headers, fuzzed files. It completes nevertheless."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import time
from pathlib import Path

import distributed
import numpy as np
import pytest
from support import hostile_frames as hostile
from support import night_runs, simulated, tally

from flows.nights import calibrate
from tasks import runtime
from tasks.errors import Unavailable
from tasks.records import Stage

pytestmark = [pytest.mark.gate, pytest.mark.server, pytest.mark.timeout(3600)]

STEPS = 36
FAILURES = 20
UNITS = 20
BAD_UNIT = "7DT05"
HEADERS = 200
FILES = 1000


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """A server, and a cluster that all nights of this module share."""
    with (
        night_runs.server(tmp_path_factory.mktemp("server")),
        runtime.cluster(runtime.ClusterSpec(cpu_slots=2, gpu_slots=1)) as address,
    ):
        yield address


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    return simulated.make_night(tmp_path_factory.mktemp("night"), filters=("r",), lights=4)


def pids(address: str) -> set[int]:
    """Return the processes of the workers: another one has taken the place of each that died."""
    with distributed.Client(address, set_as_default=False) as client:
        return set(client.run(os.getpid).values())


def tmpfs(place: Path, size: int, *, again: bool = False) -> bool:
    options = f"{'remount,' if again else ''}size={size}"
    return subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], check=False).returncode == 0


def test_the_disk_is_full_at_20_writes(night, address, tmp_path, monkeypatch):
    rng = random.Random(18)
    reference = tmp_path / "reference"
    night_runs.reduce(night_runs.places_of(night.root, reference), address=address)
    whole = sum(path.stat().st_size for path in reference.rglob("*") if path.is_file())
    place = tmp_path / "full"
    place.mkdir()
    size = whole // STEPS
    if os.geteuid() or not tmpfs(place, size):
        pytest.skip("only root can make a small file system")
    # the estimate at the start would stop every one of these runs before its first write
    monkeypatch.setattr(calibrate.housekeeping, "check_space", lambda *_: 0)
    failures, invalid, reports = 0, [], []
    try:
        while not reports:
            try:
                report = night_runs.reduce(night_runs.places_of(night.root, place / "out"), address=address)
            except Unavailable:
                failures += 1
                invalid += night_runs.invalid(place / "out")
                size += int(rng.uniform(0.5, 1.5) * whole / STEPS)
                assert tmpfs(place, size, again=True)
            else:
                reports.append(report)
        invalid += [*night_runs.invalid(place / "out"), *night_runs.lying(place / "out")]
        ours, theirs = night_runs.contents(place / "out"), night_runs.contents(reference)
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)
    different = sorted(name for name in {*ours, *theirs} if ours.get(name) != theirs.get(name))
    tally.count(
        "R18 disk full",
        full=failures,
        clean_failures=failures,
        completed_at_last=len(reports),
        invalid_files=len(invalid),
        products_that_differ=len(different),
        of=len(theirs),
    )
    assert (invalid, different) == ([], [])
    assert not reports[0].rejected
    assert failures >= FAILURES


def spoil(path: Path, rng: np.random.Generator) -> None:
    content = path.read_bytes()
    half = content[: int(rng.integers(3000, len(content) - 3000))]
    kinds = (half, b"", rng.bytes(5000), bytes(len(content)), b"no frame at all\n")
    path.write_bytes(kinds[int(rng.integers(len(kinds)))])


def test_a_poisoned_night_loses_what_is_bad_alone_and_is_a_lookup_next_time(address, tmp_path, rng):
    night = simulated.make_night(tmp_path / "night", units=UNITS, filters=("r",), lights=3)
    units = [f"7DT{i + 1:02d}" for i in range(UNITS)]
    good = [path for unit in units if unit != BAD_UNIT for path in night.raw("*.fits", unit)]
    spoilt = [good[i] for i in rng.choice(len(good), len(good) // 20, replace=False)] + night.raw("*.fits", BAD_UNIT)
    for path in spoilt:
        spoil(path, rng)
    places = night_runs.places_of(night.root, tmp_path / "out")

    started = time.monotonic()
    report = night_runs.reduce(places, address=address)
    first = time.monotonic() - started
    before = {path: path.stat().st_mtime_ns for path in places.product_root.rglob("*") if path.is_file()}
    posts = len(list((places.alert_root / "outbox").rglob("*.md")))
    started = time.monotonic()
    again = night_runs.reduce(places, address=address)
    second = time.monotonic() - started
    after = {path: path.stat().st_mtime_ns for path in places.product_root.rglob("*") if path.is_file()}

    named = {(each.unit, each.name) for each in report.rejected if each.reason}
    unnamed = [path.name for path in spoilt if (path.parent.parent.name, path.name) not in named]
    lights = {path for unit in units for path in night.raw("T0*.fits", unit)} - set(spoilt)
    reduced = {each.frame.path for each in report.reduced}
    silent = [path for path in lights - reduced if (path.parent.parent.name, path.name) not in named]
    complete = {stack.unit for stack in report.stacks}
    tally.count(
        "R23 poisoned night",
        units=UNITS,
        units_with_stacks=len(complete),
        frames_spoilt=len(spoilt),
        of_them_not_named=len(unnamed),
        good_lights=len(lights),
        of_them_reduced=len(lights & reduced),
        lost_in_silence=len(silent),
    )
    posts_again = len(list((places.alert_root / "outbox").rglob("*.md"))) - posts
    rewritten = [path for path in after if before.get(path) != after[path]]
    tally.count(
        "R16 the night again",
        s_first=round(first, 1),
        s_second=round(second, 2),
        percent=round(100 * second / first, 2),
        files_rewritten=len(rewritten),
        posts=posts,
        new_posts=posts_again,
    )
    assert (unnamed, silent) == ([], [])
    assert posts > 0
    assert posts_again == 0
    assert complete == {each.frame.unit for each in report.reduced} == set(units) - {BAD_UNIT}
    assert again == report
    assert rewritten == []
    assert second <= 0.02 * first


def cut_night(source: simulated.Night, root: Path) -> Path:
    """Copy a night with every frame cut to a corner; return the folder of its unit."""
    folder = root / source.folder().relative_to(source.root)
    folder.mkdir(parents=True)
    for path in source.raw("*.fits"):
        (folder / path.name).write_bytes(hostile.small(path))
    for name in ("catalogues", "references"):
        shutil.copytree(source.root / name, root / name)
    return folder


def outside(folder: Path, out: Path) -> set[Path]:
    """Return whatever lies in a folder and not under ``out``."""
    return {path for path in folder.rglob("*") if out not in path.parents and path != out}


def canaries(*folders: Path) -> list[Path]:
    return [path for folder in folders if folder.is_dir() for path in folder.glob("*canary*")]


def test_200_hostile_headers_start_nothing_and_leave_the_root_alone(night, address, tmp_path, monkeypatch):
    folder = cut_night(night, tmp_path / "night")
    light = hostile.small(night.raw("T0*.fits")[0])
    payloads = hostile.payloads()
    for number, (keyword, value) in enumerate(payloads):
        (folder / f"hostile-{number:03d}.fits").write_bytes(hostile.with_card(light, keyword, value))
    out = tmp_path / "deep" / "down" / "out"
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    before, alive = outside(tmp_path, out), pids(address)

    report = night_runs.reduce(night_runs.places_of(tmp_path / "night", out), until=Stage.CALIBRATE, address=address)

    left_out = {each.name for each in report.rejected if each.name.startswith("hostile")}
    made = [path.name for path in out.rglob("fdzhostile-???.fits")]
    strays = outside(tmp_path, out) - before - {out.parent, out.parent.parent}
    sown = canaries(tmp_path, tmp_path / "cwd", out, Path.home(), Path("/tmp"), Path("/"))
    tally.count(
        "R11 hostile headers",
        payloads=len(payloads),
        calibrated=len(made),
        rejected=len(left_out),
        canaries=len(sown),
        files_outside_the_root=len(strays),
        worker_deaths=len(alive - pids(address)),
    )
    assert len(payloads) == len(made) + len(left_out) == HEADERS
    assert (sown, strays) == ([], set())
    assert pids(address) == alive


def test_hostile_objects_reach_the_end_of_the_river_and_no_shell(night, address, tmp_path, monkeypatch):
    root = tmp_path / "night"
    shutil.copytree(night.root, root)
    folder = root / night.folder().relative_to(night.root)
    names = ("$(touch canary)", "../../../../canary", "x.fits[1:2,1:2]", "|touch canary; -o canary")
    for path, value in zip(sorted(folder.glob("T0*.fits")), names, strict=True):
        path.write_bytes(hostile.with_card(path.read_bytes(), "OBJECT", value))
    out = tmp_path / "out"
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    before = outside(tmp_path, out)

    report = night_runs.reduce(night_runs.places_of(root, out), address=address)

    sown = canaries(tmp_path, tmp_path / "cwd", out, Path.home(), Path("/tmp"), Path("/"))
    tally.count(
        "R11 hostile objects to the end",
        objects=len(names),
        reduced=len(report.reduced),
        stacks=len(report.stacks),
        canaries=len(sown),
        files_outside_the_root=len(outside(tmp_path, out) - before),
    )
    assert len(report.reduced) == len(report.stacks) == len(names)
    assert (sown, outside(tmp_path, out) - before) == ([], set())


def test_1000_fuzzed_files_kill_no_worker(night, address, tmp_path, rng):
    folder = cut_night(night, tmp_path / "night")
    raw = {path.name for path in folder.iterdir()}
    kinds = [hostile.small(night.raw(pattern)[0]) for pattern in ("T0*.fits", "T0*.fits", "bias*", "dark*", "flat*")]
    fuzzed = []
    for kind, frame in enumerate(kinds):
        for number, (suffix, content) in enumerate(hostile.fuzz(frame, rng, FILES // len(kinds))):
            fuzzed.append(f"fuzz-{kind}-{number:03d}{suffix}")
            (folder / fuzzed[-1]).write_bytes(content)
    traps = hostile.traps(folder)
    alive = pids(address)

    places = night_runs.places_of(tmp_path / "night", tmp_path / "out")
    report = night_runs.reduce(places, until=Stage.CALIBRATE, address=address)

    refused = {each.name for each in report.rejected if each.reason}
    work = {path.name for path in (tmp_path / "out" / "work").rglob("fdz*.fits")}
    good = [name for name in raw if name.startswith("T0") and f"fdz{name}" not in work]
    tally.count(
        "R10 fuzzed files",
        files=len(fuzzed) + len(traps),
        refused_with_a_reason=len(refused & {*fuzzed, *traps}),
        worker_deaths=len(alive - pids(address)),
        good_lights_lost=len(good),
    )
    assert len(fuzzed) == FILES
    assert set(traps) <= refused
    assert pids(address) == alive
    assert good == []
