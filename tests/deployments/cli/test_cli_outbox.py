"""``siren outbox``: what was not sent is listed; what was given up is sent again or dropped."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from deployments import cli
from tasks import registry
from tasks.records import Audience
from tasks.records.outbox import Outgoing, StoreFile
from tasks.registry import Registry, outbox

HOUR = timedelta(hours=1)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/registry.sqlite"


@pytest.fixture
def store(url: str) -> Iterator[Registry]:
    """A registry with one message that waits, and a message and a file that were given up five hours ago."""
    opened = registry.open(url)
    then = datetime.now(UTC) - 5 * HOUR
    with opened.begin() as session:
        for number in range(2):
            message = Outgoing(
                subject=f"event:S{number}", kind="update", key="k", audience=Audience.GW, mode="top", text="words"
            )
            outbox.enqueue_message(session, message, now=then)
        file = StoreFile(source=Path("page"), remote="GW/S0/index.html", sha256="a", size=3)
        outbox.enqueue_upload(session, file, now=then)
        claimed = outbox.claim_message(session, now=then)
        outbox.message_failed(session, claimed, error="no such channel", now=then, retry=False)
        upload = outbox.claim_upload(session, now=then)
        outbox.upload_failed(session, upload, error="the disk is full", now=then, retry=False)
    yield opened
    opened.close()


@pytest.fixture
def siren(store: Registry, url: str, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, Any]]:
    """Run ``siren outbox`` with --json; return the exit code and the object on stdout."""
    del store

    def run(*words: str) -> tuple[int, Any]:
        code = cli.run(["outbox", *words, "--registry", url, "--json"])
        return code, json.loads(capsys.readouterr().out)

    return run


def test_list_tells_what_waits_and_what_was_given_up_with_reason_age_and_id(siren) -> None:
    code, found = siren("list")
    assert code == 0
    assert [(row["id"], row["reason"]) for row in found["waiting"]] == [("m2", "")]
    assert [(row["id"], row["what"], row["reason"]) for row in found["failed"]] == [
        ("m1", "update of event:S0 to gw", "no such channel"),
        ("u1", "GW/S0/index.html", "the disk is full"),
    ]
    assert all(row["age_s"] == pytest.approx(5 * 3600, abs=60) for row in found["failed"])


def test_list_can_be_read_by_a_person(store, url, capsys) -> None:
    assert cli.run(["outbox", "list", "--registry", url]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "1 wait",
        "  m2         5 h  update of event:S1 to gw",
        "2 were given up",
        "  m1         5 h  update of event:S0 to gw: no such channel",
        "  u1         5 h  GW/S0/index.html: the disk is full",
    ]


def test_retry_without_ids_puts_back_all_that_was_given_up(siren, store) -> None:
    assert siren("retry") == (0, {"retried": 2})
    assert siren("list")[1]["failed"] == []
    with store.begin() as session:
        assert outbox.claim_upload(session, now=datetime.now(UTC)) is not None
        assert outbox.claim_message(session, now=datetime.now(UTC)).message.subject == "event:S0"


def test_retry_and_drop_touch_only_what_is_named(siren, store) -> None:
    assert siren("retry", "u1") == (0, {"retried": 1})
    assert siren("drop", "m1") == (0, {"dropped": 1})
    found = siren("list")[1]
    assert ([row["id"] for row in found["waiting"]], found["failed"]) == (["m2", "u1"], [])
    with store.read() as session:
        assert outbox.counts(session, outbox.MESSAGES) == {"dropped": 1, "waiting": 1}


@pytest.mark.parametrize("name", ["m2", "m9", "u9", "x1", "m", "1"])
@pytest.mark.parametrize("verb", ["retry", "drop"])
def test_an_id_of_nothing_that_was_given_up_is_refused_and_changes_nothing(siren, verb, name) -> None:
    code, found = siren(verb, "m1", name)
    assert code == 2
    assert f"has the id {name}" in found["rejected"]
    assert [row["id"] for row in siren("list")[1]["failed"]] == ["m1", "u1"]


def test_drop_without_ids_is_refused(siren) -> None:
    assert siren("drop")[0] == 2
