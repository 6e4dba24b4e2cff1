"""Whatever goes into a stage comes out of it, as a product or as a reason."""

from __future__ import annotations

from support import records as make

from tasks.records import Rejected, Stage, StageResult
from tasks.science.nights import frame_accounting

CLOUDS = Rejected(name="b.fits", stage="reduce", reason="clouds", unit="7DT01")
DEAD = Rejected(name="solve-7DT01-r", stage="reduce", reason="KilledWorker: 3 deaths")
OTHER = Rejected(name="solve-7DT02-r", stage="reduce", reason="out of memory")


def lost(failures=()):
    return frame_accounting.unaccounted(
        ["a.fits", "b.fits", "c.fits"], ["a.fits"], [CLOUDS], failures, stage="reduce", unit="7DT01"
    )


def test_a_frame_that_vanished_is_named_with_the_reason_of_its_unit():
    assert lost([DEAD, OTHER]) == (Rejected(name="c.fits", stage="reduce", reason=DEAD.reason, unit="7DT01"),)


def test_a_frame_that_vanished_without_a_word_says_so():
    assert lost()[0].reason == frame_accounting.UNKNOWN


def test_nothing_is_lost_where_all_is_accounted_for():
    assert not frame_accounting.unaccounted(["a"], ["a"], [], [DEAD], stage="reduce", unit="7DT01")


def result(stage, unit, seconds, **fields):
    return StageResult(stage=stage, unit=unit, night=make.NIGHT, seconds=seconds, **fields)


def test_a_night_is_the_sum_of_its_stages_and_units():
    frames = [make.frame("a.fits"), make.frame("b.fits", unit="7DT02")]
    results = [
        result(Stage.CALIBRATE, "7DT01", 3.0, calibrated=(make.calibrated(frames[0]),), rejected=(CLOUDS,)),
        result(Stage.CALIBRATE, "7DT02", 3.5, calibrated=(make.calibrated(frames[1]),)),
        result(Stage.REDUCE, "7DT01", 5.0, reduced=(make.reduced(frames[0]),)),
        result(Stage.REDUCE, "7DT02", 4.0, reduced=(make.reduced(frames[1]),)),
        result(Stage.STACK, "7DT01", 1.0, stacks=(make.stack(),)),
    ]

    report = frame_accounting.summarise(make.NIGHT, results, seconds=12.0)

    assert report.units == ("7DT01", "7DT02")
    assert report.frames_ok == 2
    assert report.rejected == (CLOUDS,)
    assert len(report.stacks) == 1
    timings = [(each.stage, each.seconds, each.done, each.failed) for each in report.timings]
    assert timings == [("calibrate", 3.5, 2, 1), ("reduce", 5.0, 2, 0), ("stack", 1.0, 1, 0)]


def test_a_night_that_ends_at_calibration_counts_calibrated_frames():
    results = [result(Stage.CALIBRATE, "7DT01", 3.0, calibrated=(make.calibrated(make.frame()),))]

    assert frame_accounting.summarise(make.NIGHT, results, seconds=1.0).frames_ok == 1


def test_a_run_of_some_objects_renews_their_part_of_a_ledger_and_leaves_the_rest():
    mine, other = (make.frame(f"{name}.fits", object=name) for name in ("T00001", "T00002"))
    whole = result(
        Stage.REDUCE, "7DT01", 5.0, reduced=(make.reduced(mine), make.reduced(other)), stacks=(make.stack(),)
    )

    part = frame_accounting.only(whole, ("1",))
    assert [each.frame.object for each in part.reduced] == ["T00001"]
    assert [each.object for each in part.stacks] == ["T00001"]
    rest = frame_accounting.only(whole, ("T00002",))
    assert [each.frame.object for each in rest.reduced] == ["T00002"]
    assert rest.stacks == ()
    assert frame_accounting.only(whole, ()) == whole

    again = result(Stage.REDUCE, "7DT01", 2.0, reduced=(make.reduced(mine),), rejected=(CLOUDS,))
    joined = frame_accounting.merged(whole, again, ("T00001",))
    assert sorted(each.frame.object for each in joined.reduced) == ["T00001", "T00002"]
    assert (joined.stacks, joined.rejected, joined.seconds) == ((), (CLOUDS,), 2.0)
