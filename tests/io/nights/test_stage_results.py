"""Ledgers: the next stage reads the same result that a stage wrote."""

from __future__ import annotations

import pytest
from support import records as make

from tasks.errors import UnusableData
from tasks.io.nights import stage_results
from tasks.records import Rejected, Stage, StageResult


def full_result() -> StageResult:
    frame = make.frame()
    return StageResult(
        stage=Stage.SEARCH,
        unit="7DT01",
        night=make.NIGHT,
        seconds=1.5,
        inventory=make.inventory(frame),
        calibrated=(make.calibrated(frame),),
        reduced=(make.reduced(frame),),
        stacks=(make.stack(),),
        differences=(make.difference(),),
        candidates=(make.candidate(),),
        rejected=(Rejected(name="b.fits", stage="reduce", reason="clouds"),),
    )


def test_a_result_comes_back_as_it_was(tmp_path):
    path = tmp_path / "search.json"
    path.write_bytes(stage_results.stage_bytes(full_result()))

    assert stage_results.read_stage(path) == full_result()


def test_a_stage_that_has_not_run_says_so(tmp_path):
    with pytest.raises(UnusableData, match="run that stage"):
        stage_results.read_stage(tmp_path / "reduce.json")


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"\xff\x00", b'{"stage": "cook"}'])
def test_another_file_is_no_result(tmp_path, content):
    path = tmp_path / "reduce.json"
    path.write_bytes(content)

    with pytest.raises(UnusableData, match="not the result"):
        stage_results.read_stage(path)
