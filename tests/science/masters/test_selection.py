"""Frames that may not make a master together are named with the reason."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tasks.errors import UnusableData
from tasks.records import Frame, FrameType
from tasks.science.headers import provenance
from tasks.science.masters import selection


def frame(name="a.fits", type_=FrameType.BIAS, **fields):
    standard = {"gain_setting": 2750, "egain": 0.256, "shape": (400, 600), "temperature_c": -10.0, "exposure_s": 0.0}
    moment = datetime(2026, 1, 15, 21, tzinfo=UTC)
    return Frame(path=Path(name), type=type_, unit="7DT01", date_obs=moment, **{**standard, **fields})


LIGHTS = [frame(f"light{n}.fits", FrameType.LIGHT, exposure_s=100.0, filter="r") for n in range(3)]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"gain_setting": 0}, "gain setting 0 is not that of the night (2750)"),
        ({"binning": 2}, "binning 2 is not that of the night (1)"),
        ({"shape": (200, 300)}, "shape (200, 300) is not that of the night ((400, 600))"),
        ({"temperature_c": -5.0}, "sensor at -5.0 C (allowed: within 2 C of -10.0)"),
    ],
)
def test_a_calibration_frame_taken_otherwise_is_left_out(fields, reason):
    good, odd = frame("good.fits"), frame("odd.fits", **fields)
    selected = selection.comparable([*LIGHTS, good, odd])
    assert selected.kept == (good,)
    assert [(each.name, each.reason, each.unit) for each in selected.rejected] == [("odd.fits", reason, "7DT01")]


def test_without_lights_the_commonest_setting_counts():
    few, many = frame("few.fits", gain_setting=0), [frame(f"{n}.fits") for n in range(3)]
    assert selection.comparable([few, *many]).kept == tuple(many)
    assert selection.comparable(LIGHTS).kept == ()


def test_an_unknown_temperature_is_let_through():
    unknown = frame(temperature_c=None)
    assert selection.comparable([*LIGHTS, unknown]).kept == (unknown,)


def test_flats_too_faint_or_too_bright_are_named():
    flats = [frame(f"{n}.fits", FrameType.FLAT) for n in range(3)]
    selected = selection.exposed(flats, [3000, 30000, 58000], saturation_adu=60000)
    assert selected.kept == (flats[1],)
    assert "flat signal 3000 ADU (allowed: 6000 to 48000)" in selected.rejected[0].reason


def test_too_few_frames_are_none():
    pair = [frame("1.fits"), frame("2.fits")]
    selected = selection.enough(pair, minimum=3, kind="bias")
    assert selected.kept == ()
    assert selected.rejected[1].reason == "only 2 usable bias frames (at least 3 make a master)"
    assert selection.enough(pair, minimum=2, kind="bias").kept == tuple(pair)


def test_a_light_that_its_masters_do_not_fit_is_told_why():
    light = LIGHTS[0]
    assert selection.misfit(light, shape=(400, 600), gain_setting=2750) == ""
    assert selection.misfit(light, shape=(400, 600), gain_setting=None) == ""
    assert "600 x 400 pixels" in selection.misfit(light, shape=(10, 10), gain_setting=2750)
    assert "gain setting 2750" in selection.misfit(light, shape=(400, 600), gain_setting=0)
    assert selection.missing_flat(light, {"r"}) == ""
    assert selection.missing_flat(light, {"i", "g"}) == "there is no r flat (there are: g, i)"


def test_the_commonest_gain_is_taken_and_none_is_refused():
    assert selection.gain([frame(), frame(), frame(egain=0.8), frame(egain=None)]) == 0.256
    with pytest.raises(UnusableData, match="EGAIN"):
        selection.gain([frame(egain=None)])


def test_groups_come_in_order_and_keep_theirs():
    chosen = [frame("b", exposure_s=10.0), frame("c", exposure_s=1.0), frame("a", exposure_s=10.0)]
    groups = selection.grouped(chosen, lambda each: each.exposure_s)
    assert [(key, [each.path.name for each in group]) for key, group in groups] == [(1.0, ["c"]), (10.0, ["b", "a"])]


def test_a_masters_cards_tell_its_inputs_and_their_mean_time():
    first = frame("b1.fits")
    second = replace(first, path=Path("b2.fits"), date_obs=datetime(2026, 1, 15, 23, tzinfo=UTC))
    raw = {"IMAGETYP": "Bias", "DATE-OBS": "2026-01-15T21:00:00", "BZERO": 32768, "INSTRUME": "C3"}
    cards = provenance.master_cards([first, second], [raw, raw])
    assert (cards["NCOMBINE"], cards["IMCMB001"], cards["IMCMB002"]) == (2, "b1.fits", "b2.fits")
    assert cards["DATE-OBS"] == "2026-01-15T22:00:00.000"
    assert provenance.mean_time(cards) == datetime(2026, 1, 15, 22, tzinfo=UTC)
    assert cards["INSTRUME"] == "C3"
    assert "BZERO" not in cards
    assert provenance.mean_time({}) is None


def test_lights_of_chosen_objects_are_wanted_and_every_calibration_frame():
    light, dark = frame(type_=FrameType.LIGHT, object="T00123"), frame(type_=FrameType.DARK)
    wanted = [selection.wanted(light, names) for names in ((), ("123",), ("T00123",), ("T00124",))]
    assert wanted == [True, True, True, False]
    assert selection.wanted(dark, ("T00124",))
