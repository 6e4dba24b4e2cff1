"""The listener against a broker, Apache Kafka where there is Java: nothing is lost, nothing is done twice."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import pytest
from prefect.client.orchestration import get_client
from support import kafka, listening, tally

from deployments import daemon, dispatch, listener
from tasks import registry
from tasks.errors import Unavailable, UnusableData
from tasks.records.effects import StoredNotice
from tasks.registry import Registry

TOPIC = "igwn.gwalert"
PATIENCE_S = 40.0


@pytest.fixture(scope="module")
def broker() -> Iterator[kafka.Broker]:
    with kafka.broker() as started:
        yield started


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Registry]:
    opened = registry.open(f"sqlite:///{tmp_path}/registry.sqlite")
    yield opened
    opened.close()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def payloads(count: int, *, size: int = 1000) -> list[bytes]:
    return [f"{number:04d}".encode() + b"x" * size for number in range(count)]


def stored(root: Path) -> list[bytes]:
    """Return what lies under final names; a writer that was killed may leave a hidden file aside."""
    return sorted(path.read_bytes() for path in root.glob("notices/*/[!.]*"))


class Running:
    """A listener in a thread of this process."""

    def __init__(self, broker: kafka.Broker, topic: str, archive: listener.Archive, **options: object) -> None:
        self.stop, self.arrived, self.alarms = threading.Event(), threading.Event(), []
        settings = listener.ListenOptions(topics=(topic,), configuration=broker.configuration(topic), **options)
        ear = listener.Listener(settings, archive=archive, arrived=self.arrived, alarm=self.alarms.append)
        self.thread = threading.Thread(target=ear.run, args=(self.stop,))

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join(20)
        assert not self.thread.is_alive()


def test_notices_become_files_and_rows_and_only_then_offsets(
    broker: kafka.Broker, book: Registry, tmp_path: Path
) -> None:
    sent = [*payloads(5), b"\x00\xff" * 700_000]
    topic = broker.topic("durable")
    broker.send(topic, *sent)
    with Running(broker, topic, listener.Archive(root=tmp_path, registry=book)):
        until(lambda: broker.committed(topic, topic) == len(sent))
    assert stored(tmp_path) == sorted(sent)
    waiting = book.undispatched()
    assert {each.sha256 for each in waiting} == {hashlib.sha256(payload).hexdigest() for payload in sent}
    assert {each.topic for each in waiting} == {topic}


def test_an_offset_is_not_committed_while_its_notice_is_not_durable(
    broker: kafka.Broker, book: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "RETRY_S", 0.2)
    archive = listener.Archive(root=tmp_path, registry=book)
    tried = 0

    def locked(*_: object) -> bool:
        nonlocal tried
        tried += 1
        raise Unavailable("the database is locked")

    monkeypatch.setattr(book, "record_notices", locked)
    topic = broker.topic("locked")
    broker.send(topic, b"precious")
    with Running(broker, topic, archive):
        until(lambda: tried > 2)
        assert broker.committed(topic, topic) == 0
        monkeypatch.undo()
        until(lambda: broker.committed(topic, topic) == 1)
    assert [each.path.read_bytes() for each in book.undispatched()] == [b"precious"]


def test_the_same_bytes_on_many_offsets_are_one_notice(broker: kafka.Broker, book: Registry, tmp_path: Path) -> None:
    topic = broker.topic("again")
    broker.send(topic, *(b"same" for _ in range(12)))
    with Running(broker, topic, listener.Archive(root=tmp_path, registry=book)):
        until(lambda: broker.committed(topic, topic) == 12)
    assert len(stored(tmp_path)) == 1
    assert len(book.undispatched()) == 1


def test_silence_of_the_heartbeat_opens_the_connection_anew(
    broker: kafka.Broker, book: Registry, tmp_path: Path
) -> None:
    archive = listener.Archive(root=tmp_path, registry=book)
    with Running(broker, listener.HEARTBEAT_TOPIC, archive, silence_s=1.0) as running:
        until(lambda: len(running.alarms) >= 1)
    assert "nothing heard for 1 s" in running.alarms[0]
    assert stored(tmp_path) == []


def run_until(point: int, broker: kafka.Broker, topic: str, root: Path, done: Callable[[], bool]) -> int | None:
    """Run a listener in a process of its own until it has killed itself, or until ``done``."""
    command = [sys.executable, listening.__file__, broker.address, topic, str(root), str(point)]
    environment = os.environ | {"PYTHONPATH": str(Path(listening.__file__).parents[2])}
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        try:
            until(lambda: process.poll() is not None or done())
        finally:
            process.terminate()
        return process.wait(20)


def all_dispatched(root: Path, count: int) -> Callable[[], bool]:
    return lambda: len(list(root.glob("runs/*"))) == count


def kill_and_check(points: list[int], broker: kafka.Broker, topic: str, root: Path) -> None:
    """Send a notice before each life; every life but the last ends by SIGKILL at its point."""
    sent = payloads(len(points) + 1)
    for point, payload in zip(points, sent, strict=False):
        broker.send(topic, payload)
        assert run_until(point, broker, topic, root, lambda: False) == -9
    broker.send(topic, sent[-1])
    book = registry.open(f"sqlite:///{root}/registry.sqlite")
    quiet = lambda: all_dispatched(root, len(sent))() and not book.undispatched()  # noqa: E731
    assert run_until(0, broker, topic, root, lambda: quiet() and broker.committed(topic, topic) == len(sent)) == 0

    assert stored(root) == sorted(sent)
    assert len(list(root.glob("runs/*"))) == len(sent)
    book.close()


def test_a_killed_listener_loses_nothing_and_doubles_nothing(broker: kafka.Broker, tmp_path: Path) -> None:
    kill_and_check([3, 6], broker, broker.topic("killed"), tmp_path)


@pytest.mark.gate
def test_a_listener_killed_at_every_side_effect_loses_nothing_and_doubles_nothing(
    broker: kafka.Broker, tmp_path: Path
) -> None:
    kill_and_check(list(range(1, 11)), broker, broker.topic("killed-everywhere"), tmp_path)
    tally.count(f"R3 listener killed at enumerated effects ({broker.kind})", points=10, kills=10, lost=0, duplicates=0)


def notice(root: Path, payload: bytes, book: Registry) -> str:
    sha256 = hashlib.sha256(payload).hexdigest()
    (path := root / sha256).write_bytes(payload)
    book.record_notice(sha256=sha256, path=path, topic=TOPIC, partition=0, offset=len(payload))
    return sha256


def test_the_dispatcher_waits_for_a_server_that_is_away(
    book: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "FIRST_DELAY_S", 0.01)
    sha256 = notice(tmp_path, b"one", book)
    tried: list[str] = []

    def submit(waiting: StoredNotice) -> str:
        tried.append(waiting.sha256)
        if len(tried) < 4:
            raise Unavailable("away")
        return "run-1"

    stop, arrived = threading.Event(), threading.Event()
    hand = dispatch.Dispatcher(root=tmp_path, registry=book, submit=submit, announce=lambda _: stop.set())
    hand.run(stop, arrived)
    assert tried == [sha256] * 4
    assert book.undispatched() == ()


def test_what_the_server_refuses_is_a_dead_letter_with_its_reason(book: Registry, tmp_path: Path) -> None:
    def submit(_: StoredNotice) -> str:
        raise UnusableData("422: path is too long")

    sha256 = notice(tmp_path, b"raw", book)
    dispatch.Dispatcher(root=tmp_path, registry=book, submit=submit).dispatch_all()
    assert (tmp_path / "dead-letter" / sha256).read_bytes() == b"raw"
    assert "path is too long" in (tmp_path / "dead-letter" / f"{sha256}.json").read_text()
    assert book.undispatched() == ()


def test_when_one_part_fails_all_end_with_its_error() -> None:
    stop = threading.Event()

    def fails() -> None:
        raise Unavailable("gone")

    with pytest.raises(Unavailable, match="gone"):
        daemon.run_together(fails, stop.wait, stop=stop)


@pytest.mark.server
@pytest.mark.usefixtures("prefect_api")
def test_the_same_notice_gives_the_same_run(book: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = StoredNotice(
        sha256="ab" * 32, path=tmp_path, received=datetime.now(UTC), topic=TOPIC, partition=0, offset=7
    )
    monkeypatch.setattr(dispatch, "RESPOND", "listened/prod")
    with pytest.raises(Unavailable, match="listened/prod is not deployed"):
        dispatch.submit_run(waiting)
    with get_client(sync_client=True) as client:
        flow = client.create_flow_from_name("listened")
        client.create_deployment(flow_id=flow, name="prod", entrypoint="x.y")
        first = dispatch.submit_run(waiting)
        assert dispatch.submit_run(waiting) == first
        assert client.read_flow_run(first).parameters["offset"] == 7


def test_a_server_that_does_not_answer_is_unavailable(tmp_path: Path) -> None:
    from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

    waiting = StoredNotice(sha256="cd" * 32, path=tmp_path, received=datetime.now(UTC))
    with (
        temporary_settings({PREFECT_API_URL: "http://127.0.0.1:1/api", PREFECT_CLIENT_MAX_RETRIES: 0}),
        pytest.raises(Unavailable, match="does not answer"),
    ):
        dispatch.submit_run(waiting)
