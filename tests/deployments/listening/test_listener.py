"""The listener with a broker (Apache Kafka if Java is installed): no notice is lost, none is stored twice."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from prefect.client.orchestration import get_client
from support import kafka
from support.listeners import RunningListener

from deployments.listening import daemon, dispatch, listener
from deployments.server import automations
from tasks import registry
from tasks.errors import Unavailable, UnusableData
from tasks.records.events import StoredNotice
from tasks.registry import Registry, models

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


def listening_to(broker: kafka.Broker, topic: str, archive: listener.Archive, **options: Any) -> RunningListener:
    return RunningListener((topic,), broker.configuration(topic), archive, **options)


def payloads(count: int, *, size: int = 1000) -> list[bytes]:
    return [f"{number:04d}".encode() + b"x" * size for number in range(count)]


def stored(root: Path) -> list[bytes]:
    """Return the files under final names; a killed writer may leave a hidden temporary file."""
    return sorted(path.read_bytes() for path in root.glob("notices/*/[!.]*"))


def test_notices_become_files_and_rows_and_only_then_offsets(
    broker: kafka.Broker, book: Registry, tmp_path: Path
) -> None:
    sent = [*payloads(5), b"\x00\xff" * 700_000]
    topic = broker.topic("durable")
    broker.send(topic, *sent)
    with listening_to(broker, topic, listener.Archive(root=tmp_path, registry=book)):
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
    with listening_to(broker, topic, archive):
        until(lambda: tried > 2)
        assert broker.committed(topic, topic) == 0
        monkeypatch.undo()
        until(lambda: broker.committed(topic, topic) == 1)
    assert [each.path.read_bytes() for each in book.undispatched()] == [b"precious"]


def test_the_same_bytes_on_many_offsets_are_one_notice(broker: kafka.Broker, book: Registry, tmp_path: Path) -> None:
    topic = broker.topic("again")
    broker.send(topic, *(b"same" for _ in range(12)))
    with listening_to(broker, topic, listener.Archive(root=tmp_path, registry=book)):
        until(lambda: broker.committed(topic, topic) == 12)
    assert len(stored(tmp_path)) == 1
    assert len(book.undispatched()) == 1


def test_a_time_is_gone_back_to_once_and_what_was_not_heard_is_not_skipped(
    broker: kafka.Broker, book: Registry, tmp_path: Path
) -> None:
    topic, noon = broker.topic("since"), datetime(2026, 1, 15, 12, tzinfo=UTC)
    producer = broker.make_producer()
    for hour in range(4):
        producer.produce(topic, f"{hour} h".encode(), timestamp=int((noon.timestamp() + 3600 * hour) * 1000))
        producer.flush(10)
    with listening_to(broker, topic, listener.Archive(root=tmp_path / "first", registry=book)):
        until(lambda: broker.committed(topic, topic) == 4)

    kept: list[bytes] = []

    class Counting(listener.Archive):
        def keep(self, *messages: Any) -> int:
            kept.extend(message.value() for message in messages)
            return super().keep(*messages)

    def back(hours: float) -> RunningListener:
        again = Counting(root=tmp_path / "again", registry=book)
        since = noon + timedelta(hours=hours)
        topics = (topic, listener.HEARTBEAT_TOPIC)
        return RunningListener(topics, broker.configuration(topic), again, silence_s=2.0, since=since)

    with back(1.5) as running:
        until(lambda: len(kept) >= 2)
        until(lambda: len(running.alarms) >= 2)
    assert kept == [b"2 h", b"3 h"], "connections that were opened anew do not go back again"
    assert len(book.undispatched()) == 4

    broker.send(topic, b"unheard")
    kept.clear()
    with back(24.0 * 3650):
        until(lambda: kept == [b"unheard"])


def test_silence_of_the_heartbeat_opens_the_connection_anew(
    broker: kafka.Broker, book: Registry, tmp_path: Path
) -> None:
    archive = listener.Archive(root=tmp_path, registry=book)
    with listening_to(broker, listener.HEARTBEAT_TOPIC, archive, silence_s=1.0) as running:
        until(lambda: len(running.alarms) >= 1)
    assert "nothing received for 1 s" in running.alarms[0]
    assert stored(tmp_path) == []


def test_the_operators_are_told_of_a_silence_at_once_and_then_once_an_hour(
    book: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[dict[str, Any]] = []
    monkeypatch.setattr(daemon, "emit_event", lambda **event: events.append(event))
    minutes = [0]
    alarm = daemon.Alarm("siren", book, clock=lambda: 60.0 * minutes[-1])
    for minute in (0, 25, 50, 61, 62):
        minutes.append(minute)
        alarm("nothing received for 25 s")
    with book.read() as session:
        messages = list(session.scalars(sa.select(models.Message)))
    assert [each.audience for each in messages] == ["operators"] * 2
    assert "nothing received for 25 s" in messages[0].text
    assert [event["event"] for event in events] == [automations.STALLED] * 5


def test_the_heartbeat_tells_how_far_behind_the_broker_the_listener_is(
    broker: kafka.Broker, book: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "LAG_S", 0.0)
    monkeypatch.setattr(listener, "BATCH", 2)
    topic, stop, beats = broker.topic("lag"), threading.Event(), list[dict[str, Any]]()
    told: list[tuple[int, dict[str, int]]] = []
    broker.send(topic, *payloads(5))
    settings = listener.ListenOptions(topics=(topic,), configuration=broker.configuration(topic))

    class Slow(listener.Archive):
        def keep(self, *messages: Any) -> int:
            told.append((len(stored(tmp_path)), ear.lag))
            return super().keep(*messages)

    ear = listener.Listener(
        settings, archive=Slow(root=tmp_path, registry=book), arrived=threading.Event(), alarm=print
    )
    thread = threading.Thread(target=ear.run, args=(stop,))
    thread.start()
    try:
        until(lambda: ear.lag == {f"{topic}[0]": 0})
        assert len(told) >= 3
        assert all(lag == {f"{topic}[0]": 5 - kept} for kept, lag in told if kept)
        monkeypatch.setattr(dispatch, "emit_event", lambda **event: beats.append(event) or stop.set())
        dispatch.beat("siren", stop, lag=lambda: ear.lag)
    finally:
        stop.set()
        thread.join(30)
    assert [each["payload"]["lag"] for each in beats] == [{f"{topic}[0]": 0}]


def test_a_listener_whose_poll_loop_is_stuck_does_not_beat(
    book: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = listener.ListenOptions(topics=(TOPIC,), configuration={})
    archive = listener.Archive(root=tmp_path, registry=book)
    ear = listener.Listener(settings, archive=archive, arrived=threading.Event(), alarm=print)
    ear.turning.clock = (moments := iter([0.0, 59.0, 61.0])).__next__
    ear.turning.reset()
    beats: list[int] = []
    monkeypatch.setattr(dispatch, "emit_event", lambda **_: beats.append(1))
    for _ in range(2):
        stop = threading.Event()
        threading.Timer(0.05, stop.set).start()
        dispatch.beat("siren", stop, every_s=10, alive=ear.is_turning)
    assert len(beats) == 1
    assert list(moments) == []


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
