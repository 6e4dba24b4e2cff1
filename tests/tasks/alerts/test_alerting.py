"""The tasks that understand a notice and decide."""

from __future__ import annotations

import hashlib

import pytest

from tasks.alerts import triage
from tasks.errors import UnusableData
from tasks.io.skymaps import sky_map_files
from tasks.records import PlanMode


@pytest.fixture(scope="module")
def payload(shared_data):
    return (shared_data / "notices/S241102br-initial.json").read_bytes()


@pytest.fixture
def stored(tmp_path, payload):
    path = tmp_path / "notice"
    path.write_bytes(payload)
    return path


def test_a_stored_notice_becomes_an_alert_with_its_map_as_a_file(stored, payload, tmp_path):
    alert = triage.understand.fn(stored, "igwn.gwalert", tmp_path / "root")
    assert alert.sha256 == hashlib.sha256(payload).hexdigest()
    assert alert.notice.topic == "igwn.gwalert"
    assert alert.sky_map.area90_deg2 == pytest.approx(44.8772, abs=1e-4)
    assert alert.sky_map.path.is_relative_to(tmp_path / "root" / "events" / "S241102br")
    assert sky_map_files.read(alert.sky_map.path).distance_mpc == alert.sky_map.distance_mpc


def test_understanding_again_writes_nothing(stored, tmp_path):
    first = triage.understand.fn(stored, None, tmp_path / "root")
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "root").rglob("*")}
    assert triage.understand.fn(stored, None, tmp_path / "root") == first
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "root").rglob("*")} == written


@pytest.mark.parametrize("event_id", ["S1/../../../../index.php", "..", "S\\u0000", "S%2f..", "/etc/passwd", "é" * 500])
def test_a_hostile_id_stays_inside_the_root(stored, payload, tmp_path, event_id):
    stored.write_bytes(payload.replace(b'"S241102br"', f'"{event_id}"'.encode(), 1))
    alert = triage.understand.fn(stored, None, tmp_path / "root")
    outside = {path for path in tmp_path.rglob("*") if path.is_file() and not path.is_relative_to(tmp_path / "root")}
    assert outside == {stored}
    assert alert.sky_map.path.resolve().is_relative_to((tmp_path / "root").resolve())


def test_a_decision_follows_the_policy_and_thresholds_of_that_name(stored, tmp_path):
    alert = triage.understand.fn(stored, None, tmp_path / "root")
    assert triage.decide.fn(alert, "grandma", clock=alert.notice.time_created).plan is PlanMode.AUTOMATIC
    assert triage.decide.fn(alert, "grandma", "A").score == 1


@pytest.mark.parametrize("content", [b"", b"hello", b"{}"])
def test_what_is_no_notice_is_unusable(stored, tmp_path, content):
    stored.write_bytes(content)
    with pytest.raises(UnusableData):
        triage.understand.fn(stored, None, tmp_path / "root")
    with pytest.raises(UnusableData, match="cannot be read"):
        triage.understand.fn(tmp_path / "none", None, tmp_path / "root")
