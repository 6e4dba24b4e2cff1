"""Secrets stay where they were put: the whole alert river at DEBUG, well and with every service refusing it.

Each block holds a secret that occurs nowhere else; afterwards everything that was written or said is searched for them.
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from unittest import mock
from urllib.parse import quote

import pytest
from prefect import Task
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker
from prefect.settings import (
    PREFECT_API_DATABASE_CONNECTION_URL,
    PREFECT_LOCAL_STORAGE_PATH,
    PREFECT_LOGGING_LEVEL,
    temporary_settings,
)
from pydantic import SecretStr
from support import notice_bytes, tally, webdav
from support import slack as stand_in
from support.listeners import RunningListener

from blocks import GcnCredentials, Observatory, ProductStore, RegistryDatabase, SlackWorkspace
from deployments.listening import listener
from flows.alerts.plan import plan
from flows.alerts.respond import respond
from flows.reconcile import reconcile
from tasks import resources
from tasks.errors import SirenError
from tasks.messages import announcements
from tasks.options import PlanOptions
from tasks.records import Blocks, Home
from tasks.registry import outbox

SECRETS = {
    "Slack token": stand_in.TOKEN,
    "signing secret": "canary-signing-secret-of-the-block",
    "app token": "xapp-canary-app-token-of-the-block",
    "WebDAV password": webdav.PASSWORD,
    "wrong WebDAV password": "canary-wrong-password",
    "database password": "canary database/password",
    "GCN secret": "canary-gcn-client-secret",
}
NATIVE = PlanOptions(engine="siren", tiles=2, hours=12.0)
HERE = Blocks(registry="canary", slack="canary", store="canary")


@dataclass(kw_only=True)
class House:
    """Where everything lies, and the services outside."""

    root: Path
    slack: stand_in.Workspace
    dav: webdav.Server


@contextmanager
def furnished(folder: Path) -> Iterator[House]:
    """Save blocks with canaries for services that are there, and for services that refuse."""
    root = folder / "alerts"
    with stand_in.workspace() as slack, webdav.server(folder / "dav") as dav:
        Observatory(alert_root=str(root)).save("observatory", overwrite=True)
        save_slack(slack.url)
        save_store(dav.url, webdav.PASSWORD, "canary")
        save_store(dav.url, SECRETS["wrong WebDAV password"], "refusing")
        RegistryDatabase(url=SecretStr(f"sqlite:///{folder}/registry.sqlite")).save("canary", overwrite=True)
        away = f"postgresql://siren:{quote(SECRETS['database password'], safe='')}@127.0.0.1:1/siren"
        RegistryDatabase(url=SecretStr(away)).save("away", overwrite=True)
        GcnCredentials(client_id="canary", client_secret=SecretStr(SECRETS["GCN secret"])).save("gcn", overwrite=True)
        yield House(root=root, slack=slack, dav=dav)


def save_slack(url: str) -> None:
    SlackWorkspace(
        token=SecretStr(SECRETS["Slack token"]),
        url=url,
        channel_gw="C-GW",
        channel_grb="C-GRB",
        channel_test="C-TEST",
        channel_operators="C-OPS",
        signing_secret=SecretStr(SECRETS["signing secret"]),
        app_token=SecretStr(SECRETS["app token"]),
        planners="U1",
    ).save("canary", overwrite=True)


def save_store(url: str, password: str, name: str) -> None:
    ProductStore(url=url, user=webdav.USER, password=SecretStr(password), root="Team").save(name, overwrite=True)


def answered(house: House, payload: bytes, **names: str) -> None:
    """Respond to a notice; what is refused ends in an error of ours."""
    sha256 = hashlib.sha256(payload).hexdigest()
    path = house.root / "notices" / sha256
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(payload)
    with resources.registry(Home(root=house.root, registry="canary")) as book:
        book.record_notice(sha256=sha256, path=path)
    with suppress(SirenError, ZeroDivisionError):
        blocks = replace(HERE, **names)
        answer = respond(path, sha256, telescopes=("TCH",), blocks=blocks)
        if answer.to_plan:
            plan(answer.event_id, answer.to_plan, options=NATIVE, blocks=blocks)


def live(house: House) -> None:
    """Go every way: well, with every service refusing or failing, and with what nobody foresaw."""
    answered(house, notice_bytes.gw())
    answered(house, notice_bytes.burst())
    answered(house, b"no notice")
    for number, fault in enumerate(("error:invalid_auth", "500", "drop", "html", "429:1")):
        house.slack.faults = [fault]
        answered(house, notice_bytes.mission(f"slack{number}"))
    for number, fault in enumerate(("401", "507", "reset", "flip")):
        house.dav.faults = [("PUT", fault), ("GET", fault)]
        answered(house, notice_bytes.mission(f"dav{number}"))
    house.dav.faults.clear()
    answered(house, notice_bytes.mission("refusing"), store="refusing")
    answered(house, notice_bytes.mission("nowhere"), store="no-such-block", slack="no-such-block")
    answered(house, notice_bytes.mission("no-database"), registry="away")
    with failing(announcements.event_announcements, "of_notice"):
        answered(house, notice_bytes.mission("unforeseen"))
    with suppress(SirenError):
        reconcile(blocks=HERE)


@contextmanager
def failing(owner: object, name: str) -> Iterator[None]:
    """Have a function fail as nobody foresaw, with all that its frame holds in the traceback."""
    with mock.patch.object(owner, name, side_effect=ZeroDivisionError("unforeseen")):
        yield


def listened(house: House) -> list[str]:
    """Listen with credentials that nobody accepts, at the library's own DEBUG; return what the listener says of itself."""
    configuration = GcnCredentials.load("gcn").configuration() | {
        "bootstrap.servers": "127.0.0.1:1",
        "sasl.oauthbearer.token.endpoint.url": house.slack.url,
        "security.protocol": "sasl_plaintext",
        "debug": "security,broker,conf",
    }
    with resources.registry(Home(root=house.root)) as book:
        archive = listener.Archive(root=house.root, registry=book)
        with RunningListener(("canary", listener.HEARTBEAT_TOPIC), configuration, archive, silence_s=1.0) as ear:
            threading.Event().wait(2.5)
        return [repr(ear.settings), str(ear.settings), *ear.alarms]


def forms(secret: str) -> set[bytes]:
    """Return what a secret may look like: as it is, in an address, in a header."""
    basic = base64.b64encode(f"{webdav.USER}:{secret}".encode())
    return {secret.encode(), quote(secret, safe="").encode(), json.dumps(secret)[1:-1].encode(), basic}


def everything_under(folder: Path) -> bytes:
    return b"\n".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def prefect_database() -> bytes:
    """Return the server's database as it lies on disk: runs, arguments, states, logs, events, blocks."""
    path = Path(PREFECT_API_DATABASE_CONNECTION_URL.value().partition("///")[2])
    return b"\n".join(each.read_bytes() for each in sorted(path.parent.glob(f"{path.name}*")))


@pytest.mark.gate
@pytest.mark.server
@pytest.mark.usefixtures("prefect_api")
def test_no_secret_comes_out_of_the_river(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    for name in ("FIRST_DELAY", "LONGEST_DELAY"):
        monkeypatch.setattr(outbox, name, timedelta(seconds=0.1))
    for each in vars(announcements).values():
        if isinstance(each, Task):
            monkeypatch.setattr(each, "retry_delay_seconds", 0)
    caplog.set_level(logging.DEBUG)
    with temporary_settings({PREFECT_LOGGING_LEVEL: "DEBUG"}), furnished(tmp_path) as house:
        caplog.set_level(logging.DEBUG, "prefect")
        live(house)
        said = listened(house)
        said += [repr(kind.load("canary")) for kind in (SlackWorkspace, ProductStore, RegistryDatabase)]
        APILogWorker.drain_all()
        EventsWorker.drain_all()
        output = capfd.readouterr()
        places = {
            "logs": caplog.text.encode(),
            "output": (output.out + output.err).encode(),
            "Prefect's database": prefect_database(),
            "results": everything_under(PREFECT_LOCAL_STORAGE_PATH.value()),
            "registry, notices, pages": everything_under(tmp_path),
            "Slack": json.dumps([house.slack.messages, house.slack.calls]).encode(),
            "store": everything_under(house.dav.root),
            "errors and words": "\n".join(said).encode(),
        }
    assert all(
        b"S260115ab" in places[name] for name in ("Prefect's database", "registry, notices, pages", "Slack", "store")
    )
    assert b"canary" in places["errors and words"]
    hits = [
        (place, name)
        for place, text in places.items()
        for name, secret in SECRETS.items()
        if any(form in text for form in forms(secret))
    ]
    assert hits == []
    tally.count(
        "R22 secrets of the river at DEBUG",
        hits=len(hits),
        secrets=len(SECRETS),
        places=len(places),
        MB_searched=round(sum(map(len, places.values())) / 1e6, 1),
    )
