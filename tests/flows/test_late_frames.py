"""A frame that comes late to a night that is done: it is reduced, its group stacked anew, and nothing else touched."""

from __future__ import annotations

import logging
import shutil
from datetime import date
from pathlib import Path

import pytest
from support import night_runs, simulated

from deployments.server import temporary_server
from flows.nights.night import night
from tasks import naming
from tasks.io.fits import fits_images
from tasks.options import ReduceOptions
from tasks.records import LOCAL, NightReport

NIGHT = date(2026, 1, 15)
PROGRAMS = ("source-extractor", "scamp", "missfits")
pytestmark = [
    pytest.mark.binaries,
    pytest.mark.skipif(
        any(shutil.which(name) is None for name in PROGRAMS), reason=f"one of {', '.join(PROGRAMS)} is not installed"
    ),
]


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    return simulated.make_night(tmp_path_factory.mktemp("night"), lights=3, biases=5, darks=3, flats=3)


@pytest.fixture(scope="module")
def late(raw, tmp_path_factory) -> Path:
    """The middle one of the lights in r, kept elsewhere: another one in between would change no start and no end."""
    frame = raw.root / raw.lights()[1]["file"]
    return Path(shutil.move(frame, tmp_path_factory.mktemp("late") / frame.name))


@pytest.fixture(scope="module")
def root(prefect_api, raw, tmp_path_factory):
    folder = tmp_path_factory.mktemp("products")
    temporary_server.place(night_runs.places_of(raw.root, folder), cpu_slots=1, gpu_slots=1)
    logging.getLogger("prefect").setLevel(logging.WARNING)
    return folder


def reduce(**choices) -> NightReport:
    """Reduce the night with threads of this process instead of a Dask cluster."""
    with night_runs.in_threads():
        # so small a frame has 34 stars of the reference
        return night(NIGHT, blocks=LOCAL, reduction=ReduceOptions(minimum_matches=20), **choices)


def stamps(folder: Path) -> dict[str, tuple[int, int]]:
    """Return what every product is: its plain tables, page, ledgers and journal apart."""
    told = {"nights", "log", "alerts"}
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.stat().st_ino)
        for path in folder.rglob("*")
        if path.is_file() and path.relative_to(folder).parts[0] not in told and not {"index", ".lock"} & {*path.parts}
    }


@pytest.fixture(scope="module")
def runs(late, root, raw):
    """The reports of the night without the late frame and with it, and what lay in the tree after each."""
    first = reduce()
    before = stamps(root)
    shutil.copy2(late, raw.folder() / late.name)
    return first, before, reduce(), stamps(root)


def stack_of(report, filter_):
    [found] = [each for each in report.stacks if each.filter == filter_]
    return found


def test_the_late_frame_is_in_the_stack_of_its_group(runs, late):
    first, _, second, _ = runs
    assert (first.frames_ok, second.frames_ok) == (5, 6)
    assert set(stack_of(first, "r").inputs) < set(stack_of(second, "r").inputs)
    assert fits_images.read_header(stack_of(second, "r").image)["NCOMBINE"] == 3
    assert stack_of(first, "i") == stack_of(second, "i")
    assert late.name in second.page.with_name("data_processing.log").read_text(encoding="utf-8")


def test_nothing_that_was_made_before_is_touched_but_the_stack_of_that_group(runs):
    first, before, second, after = runs
    old = stack_of(first, "r").image.name.removesuffix("fits")
    changed = {name for name, stamp in before.items() if after.get(name) != stamp}
    depends = {name for name in before if old in name}

    assert {each.image for each in first.reduced} < {each.image for each in second.reduced}
    assert {name for name in depends if name in after} == set()
    # the reference on the stack's grid is named after the reference and the stack's time
    assert {name for name in changed - depends if ".conv." not in name} == set()
    assert len(depends) > 10


def test_what_is_new_is_the_light_the_stack_and_what_depends_on_them(runs):
    _, before, second, after = runs
    [light] = [each for each in second.reduced if each.image.name not in {Path(name).name for name in before}]
    stack = stack_of(second, "r").image.name.removesuffix("fits")
    raw_stem = light.frame.path.stem
    own = (light.image.name.removesuffix("fits"), stack, raw_stem, ".conv.")
    rest = [name for name in after if name not in before and not any(stem in name for stem in own)]
    batches = "work/7DT01/2026-01-15/solved/T00001_r_"
    assert {name.startswith(batches) for name in rest} == {True}
    assert len(rest) == 2  # the list of the late batch and its recipe


def test_no_picture_header_or_index_of_the_earlier_stack_is_left(runs, root):
    first, _, second, _ = runs
    old = stack_of(first, "r").image.name.removesuffix("fits")
    assert list(root.rglob(f"*{old}*")) == []
    [index] = stack_of(second, "r").image.parent.glob("index/*.json")
    assert old not in index.read_text(encoding="utf-8")
    assert old not in second.page.read_text(encoding="utf-8")
    ledger = naming.NightTree(root=root).stage("7DT01", NIGHT, "stack")
    assert old not in ledger.read_text(encoding="utf-8")
