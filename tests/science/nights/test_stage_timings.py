"""Times and counts of a night's processes, counted by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support import records as make

from tasks.records import MasterQuality, Stage, StageResult
from tasks.science.nights import stage_timings


def master(kind: str, *, status: str = "made", seconds: float = 0.0, faults: tuple[str, ...] = ()) -> MasterQuality:
    return MasterQuality(
        unit="7DT01", kind=kind, label=kind, file=Path("m.fits"), status=status, seconds=seconds, faults=faults
    )


def test_masters_are_made_faulty_or_borrowed_and_counted_once():
    masters = (
        master("dark", seconds=1.0),
        master("dark", seconds=3.0),
        master("dark", status="borrowed"),
        master("dark", status="borrowed", faults=("too warm",)),
        master("dark", status="doubtful", faults=("too few",), seconds=2.0),
        master("bias", seconds=4.0),
    )
    result = StageResult(stage=Stage.CALIBRATE, unit="7DT01", night=make.NIGHT, seconds=9.0, masters=masters)
    made = {each.process: each for each in stage_timings.of_night([result])}

    dark, bias = made["master_frame_dark"], made["master_frame_bias"]
    assert (dark.done, dark.failed, dark.skipped) == (2, 2, 1)
    assert (bias.done, bias.failed, bias.skipped) == (1, 0, 0)
    assert (dark.p50_s, dark.p95_s) == (2.0, 3.0)


@pytest.mark.parametrize("part", [0.05, 0.5, 0.95, 1.0])
def test_a_quantile_is_that_of_numpys_inverted_distribution(rng, part):
    for number in (1, 2, 7, 40):
        values = rng.uniform(0, 9, number)
        wanted = np.quantile(values, part, method="inverted_cdf")
        assert stage_timings.quantile(values, part) == pytest.approx(wanted, abs=5e-4)
    assert stage_timings.quantile([], part) == 0.0
