"""A replay agrees with the registry unless a rule was changed or a notice lost."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from deployments import cli
from deployments.local import replay
from tasks import registry

NAMES = ("S241102br-preliminary", "S241102br-update", "S250910b-earlywarning")


@pytest.fixture
def folder(shared_data: Path, tmp_path: Path) -> Path:
    (kept := tmp_path / "notices").mkdir()
    for name in NAMES:
        shutil.copy(shared_data / "notices" / f"{name}.json", kept)
    return kept


@pytest.fixture
def url(folder: Path, tmp_path: Path) -> str:
    """A registry that received these notices at their times."""
    address = f"sqlite:///{tmp_path}/registry.sqlite"
    book = registry.open(address)
    for stored in replay.read_folder(folder)[0]:
        replay.decide(book, stored, replay.load_policy(None))
    book.close()
    return address


def run(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, object]:
    assert cli.run(["replay", *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_same_rules_differ_in_nothing(folder, url, capsys):
    told = run(capsys, str(folder), "--registry", url)
    assert told["differences"] == []
    assert told["registry"] == url
    assert len(told["decisions"]) == 3


def test_another_policy_and_a_notice_that_was_never_heard_are_shown(folder, url, capsys, shared_data):
    shutil.copy(shared_data / "notices" / "S241004ap-preliminary.json", folder)
    told = run(capsys, str(folder), "--registry", url, "--policy", "grandma")
    found = {(each["file"], each["field"]): (each["registry"], each["replay"]) for each in told["differences"]}
    assert found["S241004ap-preliminary.json", "notice"] == ("not there", "first")
    assert found["S241102br-update.json", "policy"] == ("sevendt", "grandma")
    assert found["S250910b-earlywarning.json", "action"] == ("WAIT", "GO")
    assert found["S250910b-earlywarning.json", "telescopes"] == ("7DT", "none")


def test_without_a_registry_there_is_nothing_to_compare_with(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("SIREN_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SIREN_REGISTRY_URL", raising=False)
    told = run(capsys, str(folder))
    assert (told["registry"], told["differences"]) == ("no registry", [])
    assert not (tmp_path / "home").exists(), "a replay makes no registry"
    assert run(capsys, str(folder), "--registry", "none")["registry"] == "no registry"
