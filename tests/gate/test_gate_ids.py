"""Ids that want out of their folder: nothing is written outside the root, on this machine or over WebDAV."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from support import hostile, river, tally
from support.stages import Stage, bring, staged

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
EVENTS = ("os.mkdir", "os.rename", "os.link", "os.symlink", "os.remove", "os.rmdir", "os.truncate")
# the root lies deep, so that a path that climbs out still ends where we look
DEPTH = 12


def hear_out_watched(places: river.River, point: str = "", names: Path | None = None) -> None:
    """Work, and note every path that Python is asked to change outside the root."""
    assert names is not None
    allowed = (str(places.root.resolve()), "/dev/null", str(names))
    told = os.open(names, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def listen(event: str, arguments: tuple[Any, ...]) -> None:
        writing = event in EVENTS or (event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITES)
        if not writing or not isinstance(arguments[0], str | bytes | os.PathLike):
            return
        path = os.path.abspath(os.fsdecode(arguments[0]))  # noqa: PTH100 - what the system would open
        if not path.startswith(allowed):
            os.write(told, json.dumps([event, path]).encode() + b"\n")

    sys.addaudithook(listen)
    river.respond_only(places, point)


def hostile_ids(root: Path, count: int) -> None:
    sandbox = root / "sandbox"
    deep = sandbox.joinpath(*(f"level{number}" for number in range(DEPTH)))
    with staged(deep) as stage:
        notices = [hostile.notices_with(each, number) for number, each in enumerate(hostile.event_ids(count))]
        bring(stage, *notices)
        worker = river.start(hear_out_watched, stage.river, names=root / "outside")
        river.until(lambda: not list(stage.river.runs.glob("notice-*")), patience_s=240 + count, what="the worker")
        river.finish(worker)
        # what was understood goes out over WebDAV
        sender = river.start(river.work, stage.river)
        river.until(
            lambda: stage.unsent() == 0 or sender.exitcode is not None, patience_s=240 + 3 * count, what="sending"
        )
        river.finish(sender)
        judge(root, sandbox, stage, len(set(notices)))


def judge(root: Path, sandbox: Path, stage: Stage, count: int) -> None:
    outside = (root / "outside").read_text().splitlines()
    allowed = (stage.river.root, stage.dav.root)
    strays = [each for each in sandbox.rglob("*") if each.is_file() and not any(map(each.is_relative_to, allowed))]
    remote = [name for name in stage.dav.files() if not name.startswith("siren/products/")]
    asked = [path for method, path in stage.dav.calls if method != "OPTIONS" and not is_inside(path)]
    letters = len(list((stage.river.root / "dead-letter").glob("*.json")))
    assert (outside, strays, remote, asked) == ([], [], [], [])
    rows = stage.rows()
    assert rows["notice"] == count
    tally.count(
        "R7 hostile ids",
        ids=count,
        understood=count - letters,
        dead_letters=letters,
        events=rows["event"],
        files_in_the_store=len(stage.dav.files()),
        requests_to_WebDAV=len(stage.dav.calls),
        writes_outside_the_root=len(outside) + len(strays),
        writes_outside_the_root_over_WebDAV=len(remote) + len(asked),
    )


def is_inside(path: str) -> bool:
    parts = path.strip("/").split("/")
    return ".." not in parts and parts[:2] in (["siren"], ["siren", "products"]) and "\x00" not in path


def test_sixty_hostile_ids_write_nothing_outside_the_root(scratch: Path) -> None:
    hostile_ids(scratch, 60)


@pytest.mark.gate
@pytest.mark.timeout(1800)
def test_two_thousand_hostile_ids_write_nothing_outside_the_root(scratch: Path) -> None:
    hostile_ids(scratch, 2_000)


def test_the_watch_over_writes_sees_one_outside_the_root(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    places = river.River(root=tmp_path / "root")
    process = river.start(write_outside, places, names=tmp_path / "outside")
    process.join(60)
    assert str(tmp_path / "stray") in (tmp_path / "outside").read_text()


def write_outside(places: river.River, point: str = "", names: Path | None = None) -> None:
    """Write beside the root, as nothing of ours may."""
    river.respond_only = lambda places, _: (places.root.parent / "stray").write_text("x")  # type: ignore[assignment]
    hear_out_watched(places, point, names)
