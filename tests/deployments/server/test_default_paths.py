"""Paths of alerts and registry: from the command line, the environment, the flows' blocks, this machine."""

from __future__ import annotations

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings
from pydantic import SecretStr

from blocks import Observatory, RegistryDatabase
from deployments.server import default_paths
from tasks import resources
from tasks.errors import MissingPart
from tasks.records import Home


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch, tmp_path):
    for name in (default_paths.REGISTRY, default_paths.ALERTS):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SIREN_HOME", str(tmp_path / "home"))


@pytest.fixture
def saved(prefect_api, tmp_path):
    url = f"sqlite:///{tmp_path}/flows.sqlite"
    RegistryDatabase(url=SecretStr(url)).save("registry", overwrite=True)
    Observatory(alert_root=str(tmp_path / "from-block")).save("observatory", overwrite=True)
    yield url
    RegistryDatabase.delete("registry")


@pytest.mark.server
def test_a_process_that_is_told_nothing_uses_the_database_that_the_flows_read(saved, tmp_path):
    flows_use = resources.registry_address(Home(root=tmp_path, registry="registry"))
    assert default_paths.registry_url() == flows_use == saved
    assert default_paths.alert_root() == tmp_path / "from-block"


@pytest.mark.server
def test_two_databases_are_refused_and_the_password_is_not_shown(saved, monkeypatch):
    monkeypatch.setenv(default_paths.REGISTRY, "postgresql://siren:canary@127.0.0.1:1/siren")
    with pytest.raises(MissingPart, match="siren bootstrap") as refused:
        default_paths.registry_url()
    assert "canary" not in str(refused.value)
    assert "flows.sqlite" in str(refused.value)
    assert default_paths.registry_url("sqlite:///given") == "sqlite:///given"


def test_without_a_server_the_environment_counts_and_then_this_machine(monkeypatch, tmp_path):
    with temporary_settings({PREFECT_API_URL: None}):
        assert default_paths.registry_url() == f"sqlite:///{tmp_path}/home/registry.sqlite"
        assert default_paths.alert_root() == tmp_path / "home" / "alerts"
        monkeypatch.setenv(default_paths.REGISTRY, "sqlite:///named")
        assert default_paths.registry_url() == "sqlite:///named"


def test_a_server_that_is_away_keeps_nobody_waiting(monkeypatch, tmp_path):
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:1/api"}):
        assert default_paths.registry_url() == f"sqlite:///{tmp_path}/home/registry.sqlite"


def test_blocks_without_an_address_lie_in_the_same_home(tmp_path):
    home = tmp_path / "home"
    assert RegistryDatabase().address() == f"sqlite:///{home}/registry.sqlite"
    assert Observatory().paths()["alert_root"] == home / "alerts"
