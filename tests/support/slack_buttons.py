"""The handler of Slack's buttons with a fake planner and clock; everything else is real."""

from __future__ import annotations

import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from slack_sdk import WebClient

from deployments.slack import app as slack_app
from deployments.slack import http_endpoint
from deployments.slack.actions import ButtonHandler, Permissions
from support import alerts, clicks
from support import slack as stand_in
from tasks import registry, resources
from tasks.alerts import registration
from tasks.errors import Unavailable
from tasks.io.messages import slack_sender
from tasks.messages import announcements
from tasks.records import Audience, Home
from tasks.registry import delivery, models

CHANNELS = {Audience.GW: "C-GW", Audience.GRB: "C-GRB", Audience.TEST: "C-TEST", Audience.OPERATORS: "C-OPS"}


class Planner:
    """Replaces the Prefect server."""

    def __init__(self) -> None:
        self.runs: dict[str, tuple[str, tuple[str, ...], str]] = {}
        self.stopped: list[str] = []
        self.trouble = ""
        self.hold = threading.Event()
        self.hold.set()

    def start(self, slug: str, telescopes: tuple[str, ...], *, key: str, asked_by: str) -> str:
        self.hold.wait(10)
        if self.trouble:
            raise Unavailable(self.trouble)
        self.runs.setdefault(key, (slug, telescopes, asked_by))
        return f"run-of-{key}"

    def stop(self, slug: str) -> int:
        self.stopped.append(slug)
        return 1


class Clock:
    """A clock set by the test."""

    def __init__(self) -> None:
        self.time = 1_800_000_000.0

    def now(self) -> float:
        return self.time


@pytest.fixture
def workspace() -> Iterator[stand_in.Workspace]:
    with stand_in.workspace() as state:
        yield state


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty registry, migrated once for all tests."""
    folder = tmp_path_factory.mktemp("empty")
    with resources.registry(Home(root=folder)):
        return folder / "registry.sqlite"


@pytest.fixture
def root(tmp_path: Path, empty: Path) -> Path:
    folder = tmp_path / "alerts"
    folder.mkdir()
    shutil.copyfile(empty, folder / "registry.sqlite")
    return folder


@pytest.fixture
def store(root: Path) -> Iterator[registry.Registry]:
    with resources.registry(Home(root=root)) as opened:
        yield opened


@pytest.fixture
def planner() -> Planner:
    return Planner()


@pytest.fixture
def handler(store, workspace, planner) -> Iterator[ButtonHandler]:
    client = WebClient(token=stand_in.TOKEN, base_url=workspace.url, timeout=5, retry_handlers=[])
    button_handler = ButtonHandler(
        registry=store,
        permissions=Permissions(planners=frozenset({"U1", "U2"}), reviewers=frozenset({"U1", "U2", "U3"})),
        planner=planner,
        direct_messages=slack_app.SlackMessages(client=client),
        send=slack_sender.SlackSender(client, CHANNELS).send,
    )
    yield button_handler
    button_handler.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def app(handler, clock) -> Any:
    return http_endpoint.application(http_endpoint.SignatureCheck(clicks.SECRET, clock), handler.take)


@pytest.fixture
def top(root, store, handler, workspace) -> dict[str, Any]:
    """The top message of an announced event."""
    tell(root, handler, alerts.gw())
    return workspace.messages[0]


def tell(root: Path, handler: ButtonHandler, alert, decision=None):
    registered = registration.register.fn(alert, home=Home(root=root))
    announcements.announce.fn(alert, decision or alerts.decision("NO", score=1), registered, home=Home(root=root))
    delivery.drain_messages(handler.registry, handler.send)
    return registered


def settled(handler: ButtonHandler) -> None:
    """Wait until all accepted presses are handled."""
    handler.pool.shutdown()
    handler.pool = ThreadPoolExecutor(4)


def pressed(handler: ButtonHandler, button: str, message: dict[str, Any], **changes: Any) -> bool:
    taken = handler.take(clicks.press(button, message, **changes))
    settled(handler)
    return taken


def buttons(message: dict[str, Any]) -> list[str]:
    rows = [block["elements"] for block in message["blocks"] if block["type"] == "actions"]
    return [entry["action_id"] for row in rows for entry in row]


def direct(workspace: stand_in.Workspace, user: str) -> list[str]:
    return workspace.texts(user)


def outcomes(store: registry.Registry) -> list[str]:
    with store.read() as session:
        return list(session.scalars(sa.select(models.Action.outcome).order_by(models.Action.id)))


def free_port() -> int:
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return int(trial.getsockname()[1])


def wait_for(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            if condition():
                return
        except OSError:
            pass
        assert time.monotonic() < deadline
        time.sleep(0.02)
