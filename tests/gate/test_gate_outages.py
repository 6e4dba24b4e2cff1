"""A service is away for a while: everything arrives once it is back, once, and in order; the same topic again does nothing."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterTags
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings
from support import kafka, notice_bytes, postgres, proxies, river, tally
from support.stages import PARTS, Stage, keep, place_of, staged, the_night

from deployments.listening import dispatch
from tasks.records.events import StoredNotice
from tasks.registry import models

AWAY_S = 2.0

BEFORE = (notice_bytes.gw(), notice_bytes.burst())
MEANWHILE = (
    notice_bytes.gw(alert_type="INITIAL", minutes=20),
    notice_bytes.burst(seconds=80, packet=67),
    b"not a notice",
    notice_bytes.gw(alert_type="UPDATE", minutes=31),
)
ALL = len(BEFORE) + len(MEANWHILE)


def disorder(stage: Stage) -> int:
    """Count messages that stand before an earlier one of their thread: by the outbox's order, as Slack has them."""
    with stage.book.read() as session:
        message = models.Message
        rows = session.execute(
            sa.select(message.subject, message.ts).where(message.ts.is_not(None)).order_by(message.id)
        )
        threads: dict[str, list[str]] = {}
        for subject, ts in rows:
            threads.setdefault(subject, []).append(ts)
    return sum(one > other for times in threads.values() for one, other in itertools.pairwise(times))


def away(
    broker: kafka.Broker,
    stage: Stage,
    shut: Callable[[Stage], None],
    open_: Callable[[Stage], None],
    *,
    away_s: float,
) -> float:
    """Send notices before and during an outage; return how long after it everything was settled, in s."""
    processes = {name: river.start(part, stage.river) for name, part in PARTS.items()}
    broker.send(stage.river.topic, *BEFORE)
    river.until(lambda: river.settled(stage.river, stage.book, len(BEFORE)), patience_s=240, what="before the outage")
    shut(stage)
    if up := broker_is_up(broker):
        broker.send(stage.river.topic, *MEANWHILE)
    time.sleep(away_s)
    open_(stage)
    if not up:
        broker.send(stage.river.topic, *MEANWHILE)
    began = time.monotonic()
    river.until(lambda: river.settled(stage.river, stage.book, ALL), patience_s=240, what="after the outage")
    seconds = time.monotonic() - began
    assert [process.exitcode for process in processes.values()] == [None, None]
    for process in processes.values():
        river.finish(process)
    return seconds


def broker_is_up(broker: kafka.Broker) -> bool:
    return not isinstance(broker, kafka.Real) or broker.process.poll() is None


def judge(label: str, stage: Stage, expected: dict[str, object], *, away_s: float, seconds: float) -> None:
    found, twice, out_of_order = stage.effects(), stage.twice(), disorder(stage)
    assert found["files"] == expected["files"]
    assert found["messages"] == expected["messages"]
    assert (twice, out_of_order, stage.unsent()) == (0, 0, 0)
    tally.count(
        f"outage of {label}",
        seconds_away=away_s,
        notices_meanwhile=len(MEANWHILE),
        lost=0,
        duplicates=twice,
        out_of_order=out_of_order,
        seconds_until_all_had_arrived=round(seconds, 1),
    )


@pytest.fixture(scope="module")
def expected(broker: kafka.Broker, tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """What the notices lead to when every service stands."""
    with staged(tmp_path_factory.mktemp("calm") / "calm", broker) as stage:
        away(broker, stage, lambda _: None, lambda _: None, away_s=0)
        return stage.effects()


OUTAGES: dict[str, tuple[Callable[[Stage], None], Callable[[Stage], None]]] = {
    "Slack": (lambda stage: stage.slack_proxy.shut(), lambda stage: stage.slack_proxy.open()),
    "WebDAV": (lambda stage: stage.dav_proxy.shut(), lambda stage: stage.dav_proxy.open()),
    "Slack and WebDAV": (Stage.shut, Stage.open),
}


@pytest.mark.parametrize(
    "service",
    [
        *(pytest.param(name, marks=pytest.mark.gate) for name in ("Slack", "WebDAV")),
        pytest.param("Slack and WebDAV", marks=pytest.mark.counted),
    ],
)
def test_what_was_to_be_sent_arrives_when_a_service_is_back(
    broker: kafka.Broker, scratch: Path, expected: dict[str, object], service: str
) -> None:
    with staged(scratch / service.replace(" ", "-"), broker) as stage:
        seconds = away(broker, stage, *OUTAGES[service], away_s=AWAY_S)
        judge(service, stage, expected, away_s=AWAY_S, seconds=seconds)


@pytest.mark.gate
def test_a_broker_that_lost_its_power_is_listened_to_again(
    broker: kafka.Broker, scratch: Path, expected: dict[str, object]
) -> None:
    if not isinstance(broker, kafka.Real):
        pytest.skip("only a broker of our own may be killed")
    with staged(scratch / "broker", broker) as stage:
        seconds = away(broker, stage, lambda _: broker.kill(), lambda _: broker.start(), away_s=AWAY_S)
        judge(broker.kind, stage, expected, away_s=AWAY_S, seconds=seconds)


@pytest.fixture(scope="module")
def database() -> Iterator[tuple[str, proxies.Proxy]]:
    """A PostgreSQL server behind a proxy."""
    if postgres.binaries() is None or postgres.account() is None:
        pytest.skip("PostgreSQL's server binaries are not installed")
    with postgres.server() as folder, proxies.proxy(f"{folder}/.s.PGSQL.5432") as proxy:
        yield f"postgresql://siren@127.0.0.1:{proxy.port}/postgres", proxy


@pytest.mark.gate
@pytest.mark.postgres
def test_notices_wait_in_the_broker_while_the_database_is_away(
    broker: kafka.Broker, scratch: Path, expected: dict[str, object], database: tuple[str, proxies.Proxy]
) -> None:
    url, proxy = database
    with staged(scratch / "database", broker, database=url) as stage:
        seconds = away(broker, stage, lambda _: proxy.shut(), lambda _: proxy.open(), away_s=AWAY_S)
        judge("the database", stage, expected, away_s=AWAY_S, seconds=seconds)


@pytest.mark.server
@pytest.mark.counted
@pytest.mark.usefixtures("prefect_api")
def test_runs_are_made_when_the_prefect_server_is_back(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "FIRST_DELAY_S", 0.2)
    monkeypatch.setattr(dispatch, "LONGEST_DELAY_S", 0.5)
    monkeypatch.setattr(dispatch, "RESPOND", "outage/prod")
    with get_client(sync_client=True) as client:
        client.create_deployment(flow_id=client.create_flow_from_name("outage"), name="prod", entrypoint="x.y")
    notices, stop, arrived, tried = the_night(2), threading.Event(), threading.Event(), []
    with staged(scratch / "server") as stage, proxies.proxy(place_of(PREFECT_API_URL.value())) as proxy:

        def submit(notice: StoredNotice) -> str:
            tried.append(notice.sha256)
            address = {PREFECT_API_URL: f"http://127.0.0.1:{proxy.port}/api", PREFECT_CLIENT_MAX_RETRIES: 0}
            with temporary_settings(address):
                return dispatch.submit_run(notice)

        hand = dispatch.Dispatcher(root=stage.river.root, registry=stage.book, submit=submit, announce=lambda _: None)
        thread = threading.Thread(target=hand.run, args=(stop, arrived))
        proxy.shut()
        keep(stage, *notices)
        thread.start()
        river.until(lambda: len(tried) >= 3, what="tries against a server that is away")
        assert len(stage.book.undispatched()) == len(set(notices))
        proxy.open()
        river.until(lambda: not stage.book.undispatched(), what="the runs")
        stop.set()
        thread.join(20)
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(flow_run_filter=FlowRunFilter(tags=FlowRunFilterTags(all_=["alert"])))
    keys = [run.idempotency_key for run in runs if run.idempotency_key in {f"notice:{each}" for each in tried}]
    assert len(keys) == len(set(keys)) == len(set(notices))
    tally.count(
        "outage of the Prefect server",
        notices=len(set(notices)),
        tries_in_vain=len(tried) - len(keys),
        runs=len(keys),
        lost=0,
        duplicates=len(keys) - len(set(keys)),
    )


# ---------------------------------------------------------------------------------------------------------- replay


def replayed(broker: kafka.Broker, root: Path, *, events: int, times: int) -> None:
    """Bring a topic again and again: from its beginning, with its offsets, and as new messages."""
    notices = the_night(events)
    with staged(root / "replayed", broker) as stage:
        counts = []
        for turn in range(times):
            processes = [river.start(part, stage.river) for part in PARTS.values()]
            broker.send(stage.river.topic, *notices)
            wanted = (turn + 1) * len(notices)
            river.until(
                lambda wanted=wanted: (
                    stage.rows()["delivery"] == wanted and river.settled(stage.river, stage.book, len(set(notices)))
                ),
                patience_s=120 + 20 * len(notices),
                what=f"turn {turn}",
            )
            counts.append({**stage.effects(), "rows": {**stage.rows(), "delivery": 0}, "letters": letters(stage)})
            for process in processes:
                river.finish(process)
        assert all(count == counts[0] for count in counts)
        assert stage.twice() == 0
        tally.count(
            f"R4 topic replayed ({broker.kind})",
            turns=times,
            notices_in_each=len(notices),
            deliveries=stage.rows()["delivery"],
            notices_known=counts[-1]["rows"]["notice"],
            messages=counts[-1]["messages"].total(),
            uploads=len(counts[-1]["files"]),
            plans=counts[-1]["rows"]["plan"],
            effects_beyond_the_first_turn=0,
        )


def letters(stage: Stage) -> list[str]:
    return sorted(path.name for path in (stage.river.root / "dead-letter").glob("*"))


def test_a_topic_twice_has_the_effects_of_once(broker: kafka.Broker, scratch: Path) -> None:
    replayed(broker, scratch, events=1, times=2)


@pytest.mark.gate
def test_a_topic_three_times_has_the_effects_of_once(broker: kafka.Broker, scratch: Path) -> None:
    replayed(broker, scratch, events=3, times=3)
