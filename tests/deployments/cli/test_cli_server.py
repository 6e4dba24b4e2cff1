"""The verbs of the server and the listener: doctor, bootstrap, serve, listen, replay."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from deployments import cli
from deployments.server import default_paths, doctor
from tasks.errors import MissingPart

REQUIRED = {"python", "packages", "source-extractor", "scamp", "missfits", "swarp"}


def siren(*words: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, object]]:
    """Run a verb with ``--json``; return its exit code and the object that it printed."""
    capsys.readouterr()
    code = cli.run([*words, "--json"])
    printed = capsys.readouterr().out
    return code, json.loads(printed)


@pytest.fixture(autouse=True)
def scratch_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SIREN_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SIREN_REGISTRY_URL", raising=False)
    return tmp_path / "home"


@pytest.mark.parametrize("verb", ["doctor", "bootstrap", "serve", "listen", "replay"])
def test_every_verb_explains_itself(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run([verb, "--help"]) == 0
    assert f"siren {verb}" in capsys.readouterr().out


def test_doctor_names_every_part_with_a_remedy_where_one_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    code, told = siren("doctor", capsys=capsys)
    checks = {check["name"]: check for check in told["checks"]}
    assert REQUIRED | {"server", "database", "blocks", "workers", "slots", "gpu", "catalogues"} <= checks.keys()
    assert all(check["detail"] for check in checks.values())
    assert all(bool(check["remedy"]) != check["ok"] for check in checks.values())
    assert code == (0 if all(checks[name]["ok"] for name in REQUIRED) else 1)


def test_doctor_fails_only_for_what_is_required() -> None:
    def absent() -> str:
        raise MissingPart("not there")

    optional = doctor.Probe(name="optional", ask=absent, remedy="get it")
    required = doctor.Probe(name="required", ask=absent, remedy="get it", required=True)
    assert doctor.is_fit(doctor.examine([optional]))
    assert not doctor.is_fit(doctor.examine([optional, required]))


def test_doctor_does_not_wait_for_what_hangs() -> None:
    release = threading.Event()
    hangs = doctor.Probe(name="hangs", ask=lambda: str(release.wait(60)), remedy="restart it")
    well = doctor.Probe(name="well", ask=lambda: "fine", remedy="")
    started = time.monotonic()
    checks = doctor.examine([hangs, well], deadline_s=0.3)
    assert time.monotonic() - started < 2
    assert [(check.ok, check.detail) for check in checks] == [(False, "no answer within 0.3 s"), (True, "fine")]
    release.set()


def test_doctor_survives_a_question_that_breaks() -> None:
    [check] = doctor.examine([doctor.Probe(name="broken", ask=lambda: str(1 / 0), remedy="mend it")])
    assert (check.ok, check.detail) == (False, "ZeroDivisionError: division by zero")


def test_doctor_never_shows_a_password(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("SIREN_REGISTRY_URL", "postgresql://siren:canary@127.0.0.1:1/siren")
    cli.run(["doctor"])
    printed = capsys.readouterr()
    assert "canary" not in printed.out + printed.err
    assert "siren:***@127.0.0.1:1" in printed.out


def test_bootstrap_without_a_file_of_deployments_says_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, told = siren("bootstrap", "--file", str(tmp_path / "none.yaml"), capsys=capsys)
    assert code == 1
    assert "name the file with --file" in str(told["failed"])


def test_the_home_is_one_folder_unless_single_places_are_chosen(
    tmp_path: Path, scratch_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert default_paths.home() == scratch_home
    with temporary_settings({PREFECT_API_URL: None}):
        assert default_paths.alert_root() == scratch_home / "alerts"
        assert default_paths.registry_url() == f"sqlite:///{scratch_home}/registry.sqlite"
    monkeypatch.setenv("SIREN_OBSERVATORY_ALERT_ROOT", str(tmp_path / "elsewhere"))
    assert default_paths.alert_root() == tmp_path / "elsewhere"


def test_listen_wants_one_broker(capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([], ["--gcn", "--bootstrap", "127.0.0.1:1"]):
        code, told = siren("listen", *words, capsys=capsys)
        assert code == 2
        assert "name one broker" in str(told["rejected"])


def test_gcn_without_credentials_names_the_variables(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], prefect_api: None
) -> None:
    monkeypatch.delenv("SIREN_GCN_CLIENT_ID", raising=False)
    code, told = siren("listen", "--gcn", capsys=capsys)
    assert code == 1
    assert "SIREN_GCN_CLIENT_ID, SIREN_GCN_CLIENT_SECRET" in str(told["failed"])


def test_gcn_takes_its_credentials_from_the_environment() -> None:
    from blocks import GcnCredentials
    from deployments.server import blocks_from_environment

    variables = {"SIREN_GCN_CLIENT_ID": "me", "SIREN_GCN_CLIENT_SECRET": "canary"}
    settings = blocks_from_environment.load(GcnCredentials, variables).configuration()
    assert settings["sasl.oauthbearer.client.id"] == "me"
    assert settings["enable.auto.commit"] is False


def test_replay_gives_each_notice_its_decision_in_the_order_of_the_day(
    tmp_path: Path, shared_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ("S241102br-update", "S241102br-initial", "S241102br-preliminary")
    for number, name in enumerate(names):
        (tmp_path / f"{number}").write_bytes((shared_data / "notices" / f"{name}.json").read_bytes())
    (tmp_path / "again").write_bytes((tmp_path / "0").read_bytes())
    (tmp_path / "broken").write_bytes(b"{")
    code, told = siren("replay", str(tmp_path), capsys=capsys)
    assert code == 0
    rows = told["decisions"]
    assert [row["alert_type"] for row in rows] == ["PRELIMINARY", "INITIAL", "UPDATE", "UPDATE"]
    assert [row["standing"] for row in rows[:3]] == ["first", "update", "update"]
    assert rows[2]["sha256"] == rows[3]["sha256"]
    assert [row["name"] for row in told["rejected"]] == ["broken"]
    assert siren("replay", str(tmp_path), capsys=capsys)[1] == told


def test_replay_keeps_the_clock(shared_data: Path) -> None:
    from deployments.local import replay

    stored, _ = replay.read_folder(shared_data / "notices" / "gcn-schema")
    waited: list[float] = []
    steps = list(replay.replay(stored, replay.load_policy(None), speed=60.0, sleep=waited.append))
    assert len(steps) == len(stored)
    span = (stored[-1].moment - stored[0].moment).total_seconds()
    assert all(0 <= each <= replay.LONGEST_WAIT_S for each in waited)
    assert sum(waited) <= span / 60


@pytest.mark.parametrize("kind", ["missing", "a file", "empty", "no notice"])
def test_replay_of_what_holds_no_notice_is_bad_input(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "folder"
    if kind == "a file":
        folder.write_bytes(b"{}")
    elif kind != "missing":
        folder.mkdir()
    if kind == "no notice":
        (folder / "x").write_bytes(b"\x00" * 100)
    code, told = siren("replay", str(folder), capsys=capsys)
    assert code == 2
    assert "rejected" in told
