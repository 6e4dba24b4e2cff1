"""A test stage for the alert river: its processes, Slack, WebDAV, registry, and their visible effects."""

from __future__ import annotations

import collections
import contextlib
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import urlsplit

import sqlalchemy as sa

from deployments.listening import listener
from support import kafka, notice_bytes, proxies, river, slack, webdav
from support.river import River
from tasks import registry
from tasks.registry import Registry, models, outbox, plans
from tasks.registry.store import now

TABLES = (models.Notice, models.Delivery, models.Event, models.Decision, models.Plan, models.Tile, models.Upload)
# pages and summaries contain the time of their creation
TIMED = ("index.html", "plan.json")


@dataclass(kw_only=True)
class Stage:
    """A river with its own Slack and WebDAV servers."""

    river: River
    slack: slack.Workspace
    dav: webdav.Server
    book: Registry
    slack_proxy: proxies.Proxy
    dav_proxy: proxies.Proxy
    sent: list[bytes] = field(default_factory=list)

    def rows(self) -> dict[str, int]:
        with self.book.read() as session:
            return {each.__tablename__: session.scalar(sa.select(sa.func.count()).select_from(each)) for each in TABLES}

    def effects(self) -> dict[str, Any]:
        """Return all visible effects, without their times."""
        tops = {message["ts"]: message["text"] for message in self.slack.messages}
        messages = [
            (
                each["channel"],
                tops.get(each["thread_ts"]),
                each["text"].replace(self.river.topic, "the topic"),
                len(each.get("files", ())),
            )
            for each in self.slack.messages
        ]
        files = {name: b"" if name.endswith(TIMED) else content for name, content in self.dav.files().items()}
        return {"messages": collections.Counter(messages), "files": files, "rows": self.rows()}

    def shut(self) -> None:
        """Make Slack and WebDAV unavailable."""
        self.slack_proxy.shut()
        self.dav_proxy.shut()

    def open(self) -> None:
        """Make Slack and WebDAV available again."""
        self.slack_proxy.open()
        self.dav_proxy.open()

    def twice(self) -> int:
        """Count the duplicate messages in Slack by our key, and duplicate files by their name, which contains the key."""
        keys = [each["metadata"]["event_payload"]["key"] for each in self.slack.messages if each["metadata"]]
        keys += [file["name"] for each in self.slack.messages for file in each.get("files", ())]
        return len(keys) - len(set(keys))

    def unsent(self, *lanes: str) -> int:
        """Count the unsent messages and files of the named lanes, or of both."""
        with self.book.read() as session:
            counts = [outbox.counts(session, lane) for lane in lanes or (outbox.MESSAGES, outbox.UPLOADS)]
        return sum(number for count in counts for state, number in count.items() if state != "sent")


@contextmanager
def staged(root: Path, broker: kafka.Broker | None = None, *, database: str = "") -> Iterator[Stage]:
    """Set up a stage; Slack and WebDAV are behind proxies."""
    root.mkdir(parents=True)
    with (
        slack.workspace() as workspace,
        webdav.server(root / "dav") as dav,
        proxies.proxy(place_of(workspace.url)) as slack_proxy,
        proxies.proxy(place_of(dav.url)) as dav_proxy,
    ):
        places = River(
            root=root / "alerts",
            slack=f"http://127.0.0.1:{slack_proxy.port}/api/",
            dav=f"http://127.0.0.1:{dav_proxy.port}",
            broker=broker.address if broker else "",
            topic=broker.topic(f"{root.name}-{secrets.token_hex(3)}") if broker else "igwn.gwalert",
            session_s=broker.session_s if broker else 2.0,
            database=database,
        )
        workspace.url = places.slack
        places.root.mkdir()
        lease = timedelta(seconds=places.lease_s)
        with mock.patch.object(plans, "LEASE", lease), contextlib.closing(registry.open(places.url)) as book:
            yield Stage(river=places, slack=workspace, dav=dav, book=book, slack_proxy=slack_proxy, dav_proxy=dav_proxy)


def place_of(url: str) -> tuple[str, int]:
    address = urlsplit(url)
    return str(address.hostname), int(address.port or 80)


def keep(stage: Stage, *payloads: bytes) -> None:
    """Store notices as the listener does."""
    archive = listener.Archive(root=stage.river.root, registry=stage.book)
    for payload in payloads:
        stage.sent.append(payload)
        archive.keep(Delivered(payload, len(stage.sent)))


def bring(stage: Stage, *payloads: bytes) -> None:
    """Store notices and create their runs, as listener and dispatcher do."""
    keep(stage, *payloads)
    while waiting := stage.book.undispatched():
        for notice in waiting:
            river.make_run(stage.river, notice)
            stage.book.mark_dispatched(notice.sha256, run="run")


@dataclass(frozen=True)
class Delivered:
    """A message as a Kafka consumer returns it."""

    payload: bytes
    place: int

    def value(self) -> bytes:
        return self.payload

    def topic(self) -> str:
        return "igwn.gwalert"

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self.place

    def timestamp(self) -> tuple[int, int]:
        return 1, 1_768_516_200_000


def the_night(events: int) -> list[bytes]:
    """Return a night's notices: superevents with updates, a retraction, bursts of two instruments, a repetition, garbage."""
    notices: list[bytes] = []
    for number in range(events):
        name = f"S2601{10 + number // 20}{'abcdefghijklmnopqrst'[number % 20]}"
        notices += [notice_bytes.gw(name, minutes=number), notice_bytes.burst(1423800 + number)]
        notices += [b'{"superevent_id": ' + str(number).encode()] if number % 2 else []
        notices += [notice_bytes.gw(name, "UPDATE", minutes=number + 30), notice_bytes.gw(name, minutes=number)]
        notices += [notice_bytes.burst(1423800 + number, seconds=80, packet=67)]
        notices += [notice_bytes.retraction(name, minutes=90)] if number % 3 == 2 else []
    return notices


PARTS = {"listener": river.listen, "worker": river.work}


def live(
    broker: kafka.Broker,
    stage: Stage,
    notices: list[bytes],
    strike: Callable[[int], None],
    processes: dict[str, Any] | None = None,
) -> None:
    """Send notices one by one, call ``strike`` after each, wait until all are handled, end the processes."""
    processes = {} if processes is None else processes
    processes |= {name: river.start(part, stage.river) for name, part in PARTS.items()}
    for number, payload in enumerate(notices):
        if b'"UPDATE"' in payload or b'"RETRACTION"' in payload:
            # superseded or retracted notices are not planned, so without waiting the result would depend on timing
            _await(broker, stage, notices[:number])
        broker.send(stage.river.topic, payload)
        strike(number)
    _await(broker, stage, notices)
    for process in processes.values():
        river.finish(process)


def _await(broker: kafka.Broker, stage: Stage, notices: list[bytes]) -> None:
    """Wait until all sent notices have an outcome."""
    unique = len(set(notices))
    river.until(
        lambda: (
            stage.rows()["delivery"] == len(notices)
            and broker.committed(stage.river.topic, stage.river.topic) == len(notices)
            and river.settled(stage.river, stage.book, unique)
        ),
        patience_s=120 + 20 * len(notices),
        what=lambda: f"{stage.rows()}, {stage.unsent()} unsent, {len(stage.book.unanswered(before=now()))} unanswered",
    )
