"""Blocks: described fields, hidden secrets, no side effects of creation."""

from __future__ import annotations

import inspect
import re
import socket
from pathlib import Path

import pytest
from prefect.blocks.core import Block
from pydantic import ValidationError

import blocks

KINDS = [value for _, value in sorted(vars(blocks).items()) if inspect.isclass(value) and issubclass(value, Block)]
REQUIRED = {"client_id": "an-id", "client_secret": "canary"}


def made(kind: type[Block], **values: object) -> Block:
    needed = {name: REQUIRED[name] for name, field in kind.model_fields.items() if field.is_required()}
    return kind(**{**needed, **values})


@pytest.mark.parametrize("kind", KINDS)
class TestEveryBlock:
    def test_has_a_fixed_name_and_slug_and_a_description(self, kind: type[Block]) -> None:
        assert kind._block_type_name
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", kind._block_type_slug or "")
        assert kind.get_description()

    def test_describes_every_field(self, kind: type[Block]) -> None:
        own = {name: field for name, field in kind.model_fields.items() if name not in Block.model_fields}
        assert own
        assert all(field.description and field.description.endswith(".") for field in own.values())

    def test_hides_what_is_secret(self, kind: type[Block]) -> None:
        hidden = {"token", "password", "client_secret", "url"} & set(kind.model_fields)
        secrets = {name: "canary" for name in hidden if "SecretStr" in str(kind.model_fields[name].annotation)}
        assert {"token", "password", "client_secret"} & hidden <= set(secrets)
        assert "canary" not in repr(made(kind, **secrets)) + str(made(kind, **secrets).model_dump())

    def test_is_made_without_touching_disk_or_network(self, kind, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: object, **__: object) -> None:
            raise AssertionError("a block's constructor reached out")

        monkeypatch.setattr(socket, "create_connection", refuse)
        monkeypatch.setattr(Path, "mkdir", refuse)
        made(kind)

    def test_has_one_kind_of_its_own(self, kind: type[Block]) -> None:
        slugs = [other._block_type_slug for other in KINDS]
        assert slugs.count(kind._block_type_slug) == 1


def test_gcn_gives_a_consumers_settings() -> None:
    settings = blocks.GcnCredentials(client_id="me", client_secret="canary", domain="test.gcn.nasa.gov").configuration()
    assert settings["sasl.oauthbearer.client.secret"] == "canary"
    assert settings["bootstrap.servers"].startswith("kafka.test.gcn.nasa.gov:9092,kafka1.")
    assert settings["sasl.oauthbearer.token.endpoint.url"] == "https://auth.test.gcn.nasa.gov/oauth2/token"
    assert settings["enable.auto.commit"] is False


def test_slack_without_a_token_has_no_client_and_with_one_no_retries() -> None:
    assert blocks.SlackWorkspace().client() is None
    client = blocks.SlackWorkspace(token="xoxb-canary").client()
    assert client is not None
    assert client.token == "xoxb-canary"
    assert client.retry_handlers == []


def test_tests_never_reach_the_channel_of_real_events() -> None:
    assert blocks.SlackWorkspace(channel_gw="C1").channels() == {"gw": "C1", "grb": "C1"}
    full = blocks.SlackWorkspace(channel_gw="C1", channel_operators="C9").channels()
    assert full == {"gw": "C1", "grb": "C1", "low-significance": "C9", "test": "C9", "operators": "C9"}


def test_the_store_is_a_folder_or_a_server_whose_address_holds_no_password(tmp_path: Path) -> None:
    assert blocks.ProductStore(root=str(tmp_path)).client() is None
    assert blocks.ProductStore(root=str(tmp_path)).folder() == tmp_path
    server = blocks.ProductStore(url="https://cloud.example/dav/", user="siren", password="canary").client()
    assert server is not None
    assert (server.webdav.hostname, server.webdav.password) == ("https://cloud.example/dav", "canary")
    for bad in ("ftp://cloud.example", "https://siren:canary@cloud.example"):
        with pytest.raises(ValidationError, match="own fields"):
            blocks.ProductStore(url=bad)


def test_places_that_are_not_set_lie_in_the_users_data_folder(tmp_path: Path) -> None:
    paths = blocks.Observatory(raw_root=str(tmp_path)).paths()
    assert paths["raw_root"] == tmp_path
    assert paths["alert_root"].parts[-2:] == ("brightsiren", "alerts")
    assert blocks.RegistryDatabase().address().endswith("brightsiren/registry.sqlite")
    assert blocks.RegistryDatabase(url="postgresql://u:p@h/n").address() == "postgresql://u:p@h/n"


def test_a_cluster_is_an_address_or_slots() -> None:
    assert blocks.Cluster().specification() == {
        "address": None,
        "cpus": None,
        "gpus": 1,
        "shared": False,
        "memory_gib": None,
    }
    assert blocks.Cluster(address="tcp://host:8786").specification()["address"] == "tcp://host:8786"


def test_the_treasure_map_needs_a_token() -> None:
    assert blocks.TreasureMap().client() is None
    with blocks.TreasureMap(token="canary").client() as session:
        assert session.params == {"api_token": "canary"}
