"""Lights stay in the batches in which they arrived."""

from __future__ import annotations

from pathlib import Path

from support import records as make

from tasks import naming
from tasks.records import Stage, StageResult
from tasks.reduction import light_batches


def lights(*names, **fields):
    return tuple(make.calibrated(make.frame(f"{name}.fits", **fields)) for name in names)


def batched(root, *calibrated):
    result = StageResult(stage=Stage.CALIBRATE, unit="7DT01", night=make.NIGHT, seconds=1.0, calibrated=calibrated)
    return [[light.frame.path.stem for light in batch] for batch in light_batches.batches.fn(result, root)]


def test_a_night_is_batched_by_object_and_filter(tmp_path):
    ours = (*lights("a", "b", filter="r"), *lights("c", filter="i"), *lights("d", filter="r", object="T00002"))
    assert batched(tmp_path, *ours) == [["c"], ["a", "b"], ["d"]]


def test_what_comes_late_is_a_batch_of_its_own_and_the_others_stay(tmp_path):
    early = lights("b", "c")
    assert batched(tmp_path, *early) == [["b", "c"]]
    assert batched(tmp_path, *lights("a"), *early) == [["b", "c"], ["a"]]
    assert batched(tmp_path, *lights("a"), *early, *lights("d")) == [["b", "c"], ["a"], ["d"]]
    assert batched(tmp_path, *lights("a", "c", "d")) == [["c"], ["a"], ["d"]]


def test_a_part_of_the_night_leaves_the_batches_of_the_rest(tmp_path):
    first, second = lights("a", "b"), lights("c", object="T00002")
    batched(tmp_path, *first, *second)
    assert batched(tmp_path, *second) == [["c"]]
    assert batched(tmp_path, *lights("x"), *first, *second) == [["a", "b"], ["x"], ["c"]]


def test_the_same_lights_again_write_nothing_and_a_spoilt_note_is_made_anew(tmp_path):
    batched(tmp_path, *lights("a", "b"))
    note: Path = naming.NightTree(root=tmp_path).batches("7DT01", make.NIGHT)
    before = note.stat().st_mtime_ns
    batched(tmp_path, *lights("a", "b"))
    assert note.stat().st_mtime_ns == before
    note.write_text("nothing")
    assert batched(tmp_path, *lights("a", "b", "c")) == [["a", "b", "c"]]
