"""Untrusted names never give unsafe paths."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks import naming
from tasks.errors import UnusableData
from tasks.records import Alert, Kind, Notice

SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9+._-]*")
HOSTILE = ["..", "../x", "S1/../../../x", "%2f..", "a\0b", "a\r\nb", "x" * 10_000, "Ω", "", "-rf", "CON", "a|b", "[1]"]


def gw(event_id: str) -> Notice:
    return Notice(kind=Kind.GW, mission="LVK", event_id=event_id, alert_type="INITIAL")


@pytest.mark.parametrize("event_id", ["S241102br", "MS260115ab", "TS260115a", "S250910b"])
def test_an_event_of_the_network_keeps_its_name(event_id):
    assert naming.event_slug(gw(event_id)) == event_id


@pytest.mark.parametrize("event_id", HOSTILE)
def test_a_hostile_event_becomes_a_hash(event_id):
    assert re.fullmatch(r"gw-[0-9a-f]{16}", naming.event_slug(gw(event_id)))


@given(st.text(max_size=200), st.text(max_size=50))
def test_any_burst_gives_a_folder_inside_the_root(event_id, mission):
    notice = Notice(kind=Kind.GRB, mission=mission, event_id=event_id, alert_type="INITIAL")
    folder = naming.AlertTree(root=Path("/root-of-events")).event(notice)

    assert folder.resolve().parent == Path("/root-of-events/events")
    assert SAFE.fullmatch(folder.name)


@given(st.text(max_size=200))
def test_any_alert_type_gives_a_visit_inside_its_event(alert_type):
    notice = Notice(kind=Kind.GW, mission="LVK", event_id="S241102br", alert_type=alert_type)
    tree = naming.AlertTree(root=Path("/root-of-events"))

    visit = tree.visit(Alert(notice=notice, sha256="0" * 64)).resolve()

    assert visit.parent == tree.event(notice)


@given(st.text(max_size=200))
def test_any_object_becomes_a_strict_slug(text):
    name = naming.slug(text)

    assert re.fullmatch(r"[A-Za-z0-9+.-]{1,40}", name)
    assert name not in {".", ".."}
    assert not name.startswith(("-", "."))


def test_two_events_do_not_share_a_hash():
    assert naming.event_slug(gw("../a")) != naming.event_slug(gw("../b"))


@pytest.mark.parametrize("name", ["7DT", "7DT1", "7dt/01", "..", "7DT001x"])
def test_a_wrong_unit_is_refused(name):
    with pytest.raises(UnusableData, match="7DT01"):
        naming.unit(name)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("2026-01-15_gain2750", (date(2026, 1, 15), False, 2750)),
        ("2026-01-15_ToO_gain2750", (date(2026, 1, 15), True, 2750)),
        ("2026-01-15_gain0", (date(2026, 1, 15), False, 0)),
    ],
)
def test_a_night_folder_is_read_and_written_alike(name, expected):
    night, too, gain = naming.parse_night_folder(name)

    assert (night, too, gain) == expected
    assert naming.night_folder(night, gain_setting=gain, too=too) == name


@pytest.mark.parametrize("name", ["2026-13-40_gain2750", "2026-01-15", "x", "2026-01-15_gain2750/..", ""])
def test_another_folder_is_no_night(name):
    with pytest.raises(UnusableData, match="not a night"):
        naming.parse_night_folder(name)


@pytest.mark.parametrize(("exposure", "text"), [(100.0, "100"), (7.5, "7.5"), (0.0, "0")])
def test_an_exposure_is_written_as_an_observer_would(exposure, text):
    assert naming.exposure_text(exposure) == text


def test_a_calibrated_image_has_the_name_of_the_tree():
    name = naming.image_stem("T08147", "7DT02", "m650", datetime(2025, 11, 26, 4, 34, 13, 900_000, tzinfo=UTC), 100.0)

    assert name == "calib_7DT02_T08147_20251126_043413_m650_100"


def test_several_units_share_their_name_without_number() -> None:
    assert naming.joint_unit(["7DT02", "7DT01", "7DT02"]) == "7DT"
    assert naming.joint_unit(["7DT02"]) == "7DT02"
    assert naming.joint_unit(["7DT02"], always=True) == "7DT"
    twenty = naming.unit_list(f"7DT{number:02d}" for number in range(1, 21))
    assert twenty.startswith("7DT01,02,03")
    assert len(twenty) <= 68


@pytest.mark.parametrize("object_name", ["T00123", "COSMOS_1", "NGC-7"])
def test_the_name_of_a_calibrated_image_is_read_back(object_name: str) -> None:
    moment = datetime(2026, 1, 16, 4, 34, 13, tzinfo=UTC)
    parsed = naming.parse_image(f"calib_7DT01_{object_name}_20260116_043413_m650_7.5.fits")
    assert (parsed.unit, parsed.object, parsed.filter, parsed.date_obs) == ("7DT01", object_name, "m650", moment)


@pytest.mark.parametrize(
    "name",
    [
        "calib_7DT01_T00123_20260116_043413_r_300.com.fits",
        "calib_7DT01_T00123_20260116_043413_r_100.var.fits",
        "calib_7DT01_T00123_20261316_043413_r_100.fits",
        "fdz.fits",
    ],
)
def test_what_is_no_calibrated_image_has_no_such_name(name: str) -> None:
    with pytest.raises(UnusableData):
        naming.parse_image(name)


def test_a_stack_with_its_sky_or_elsewhere_has_a_name_of_its_own() -> None:
    assert naming.stack_variant(with_sky=False, centre_deg=None) == ""
    assert naming.stack_variant(with_sky=True, centre_deg=(110.25, -30.5)) == ".at110.2500-30.5000.sky"
