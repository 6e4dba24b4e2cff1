"""Groups of a night's frames and the ledgers of its stacks, those of several units among them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support import records

from tasks.nights import stage_results
from tasks.options import StackOptions
from tasks.records import Rejected, Stage, StageResult
from tasks.reduction import stacking


@pytest.fixture
def reduced():
    """Two units' frames of two fields."""
    return tuple(
        StageResult(
            stage=Stage.REDUCE,
            unit=unit,
            night=records.NIGHT,
            seconds=1.0,
            reduced=tuple(records.reduced(records.frame(unit=unit, object=name)) for name in ("T00001", "T00002")),
        )
        for unit in ("7DT01", "7DT02")
    )


def test_frames_of_each_unit_or_of_all_are_grouped(reduced):
    assert [len(group) for group in stacking.group(reduced, StackOptions())] == [1, 1, 1, 1]
    assert [len(group) for group in stacking.group(reduced, StackOptions(units="together"))] == [2, 2]


def test_objects_to_be_skipped_are_named_and_not_stacked(reduced):
    options = StackOptions(skip=("2",))
    assert {each.frame.object for group in stacking.group(reduced, options) for each in group} == {"T00001"}
    assert [each.name for each in stacking.skipped(reduced, options)] == ["7DT01-T00002-r", "7DT02-T00002-r"]


def test_stacks_that_units_share_have_a_ledger_of_their_own(reduced, tmp_path):
    own, joint = records.stack(), records.stack(unit="7DT")
    lost = Rejected(name="stack-7DT02-T00002-r", stage="stack", reason="no star")
    stage_results.conclude_stacks.fn(records.NIGHT, tmp_path, reduced, (own, joint), (lost,))
    found = {each.unit: each for each in stage_results.read_stage.fn(tmp_path, records.NIGHT, (), Stage.STACK)}

    assert {unit: each.stacks for unit, each in found.items()} == {"7DT": (joint,), "7DT01": (own,), "7DT02": ()}
    assert {unit: each.rejected for unit, each in found.items()} == {
        "7DT": (),
        "7DT01": (),
        "7DT02": (replace(lost, unit="7DT02"),),
    }
