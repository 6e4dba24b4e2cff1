"""The line to the broker fails, or everything else is busy: nothing is missed, and silence is noticed.

An hour without the broker differs from a minute for us by how often the connection is opened anew: each 25 s, 144 times.
So the hour is compressed: as many openings, half a second apart.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from confluent_kafka.admin import AdminClient
from support import hostile, kafka, notice_bytes, proxies, river, tally
from support.listeners import RunningListener
from support.stages import staged

from deployments.listening import listener
from flows.alerts import plan as plan_flow
from tasks import registry
from tasks.registry import Registry, models

STALL_S, BACK_S, ENQUEUE_S = 30.0, 60.0, 0.5
OPENINGS_IN_AN_HOUR = 144

CUTS: dict[str, tuple[Callable[[proxies.Proxy], None], Callable[[proxies.Proxy], None]]] = {
    "refused": (proxies.Proxy.shut, proxies.Proxy.open),
    "silent": (proxies.Proxy.freeze, proxies.Proxy.thaw),
    # as behind a router that forgot the connection: a new one works
    "forgotten": (proxies.Proxy.strand, lambda _: None),
}


@contextmanager
def beating(broker: kafka.Broker) -> Iterator[None]:
    """Send the heartbeat as GCN does: one a second."""
    over = threading.Event()

    def beat() -> None:
        while not over.wait(1.0):
            broker.send(listener.HEARTBEAT_TOPIC, b'{"alert_datetime": "2026-01-15T22:30:00Z"}')

    broker.send(listener.HEARTBEAT_TOPIC, b"{}")
    thread = threading.Thread(target=beat)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.fixture
def real(broker: kafka.Broker) -> kafka.Real:
    if not isinstance(broker, kafka.Real):
        pytest.skip("only a broker of our own has a line that can be cut")
    return broker


def known(book: Registry) -> int:
    with book.read() as session:
        return session.scalar(sa.select(sa.func.count()).select_from(models.Notice)) or 0


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def cut(real: kafka.Real, root: Path, how: str, *, away_s: float, silence_s: float, label: str) -> None:
    """Cut the line, send what must not be lost, mend it; measure the alarm and the return."""
    shut, open_ = CUTS[how]
    topic = real.topic(f"cut-{how}-{silence_s:g}")
    with ExitStack() as stack:
        proxy = stack.enter_context(proxies.proxy(("127.0.0.1", real.inner), port=real.outer))
        book = registry.open(f"sqlite:///{root}/registry.sqlite")
        stack.callback(book.close)
        stack.enter_context(beating(real))
        real.send(topic, *(notice_bytes.mission(f"before{number}") for number in range(5)))
        archive = listener.Archive(root=root, registry=book)
        through = real.configuration(topic) | {"bootstrap.servers": f"127.0.0.1:{real.outer}"}
        ear = stack.enter_context(
            RunningListener((topic, listener.HEARTBEAT_TOPIC), through, archive, silence_s=silence_s)
        )
        river.until(lambda: known(book) == 5, what="what came before the cut")
        files, threads = open_files(), threading.active_count()

        shut(proxy)
        began = time.monotonic()
        real.send(topic, *(notice_bytes.mission(f"meanwhile{number}") for number in range(20)))
        if how == "forgotten":
            river.until(lambda: len(ear.moments) > 0, patience_s=away_s, what="the alarm")
        else:
            time.sleep(away_s)
            assert known(book) == 5, "the line was not cut"
        alarms = [moment - began for moment in ear.moments if moment > began]
        open_(proxy)
        back = time.monotonic()
        river.until(lambda: known(book) == 25, patience_s=2 * BACK_S, what="what came meanwhile")
        seconds = time.monotonic() - back
        if how != "forgotten":  # the proxy in this process keeps the lines that it has forgotten
            river.until(lambda: open_files() <= files + 4, patience_s=90, what="old connections to be closed")
            assert threading.active_count() <= threads + 4
    assert alarms[0] <= max(STALL_S, silence_s)
    assert seconds <= BACK_S
    tally.count(
        f"R5 line to the broker {label}",
        seconds_away=round(away_s),
        alarms=len(alarms),
        first_alarm_after_s=round(alarms[0], 1),
        notices_meanwhile=20,
        lost=0,
        seconds_until_all_were_there=round(seconds, 1),
    )


@pytest.mark.gate
@pytest.mark.parametrize("how", list(CUTS))
def test_a_cut_line_is_noticed_and_nothing_is_lost(real: kafka.Real, scratch: Path, how: str) -> None:
    cut(real, scratch, how, away_s=60, silence_s=listener.ListenOptions.silence_s, label=how)


@pytest.mark.gate
@pytest.mark.parametrize("how", ["refused", "silent"])
def test_as_many_new_connections_as_in_an_hour_leave_nothing_behind(real: kafka.Real, scratch: Path, how: str) -> None:
    cut(real, scratch, how, away_s=0.5 * OPENINGS_IN_AN_HOUR, silence_s=0.5, label=f"{how}, an hour compressed")


# ------------------------------------------------------------------------------------------------ beside a long plan

PLAN_S, NOTICES, EVERY_S = 30.0, 100, 0.5
SLOW = "S260115slow"


def listen_timed(places: river.River, point: str = "", names: Path | None = None) -> None:
    """Listen, and note for each notice how long after it was sent it was durable, in s."""
    assert names is not None
    keep = listener.Archive.keep

    def timed(archive: listener.Archive, *messages: Any) -> int:
        new = keep(archive, *messages)
        with names.open("a") as file:
            file.writelines(f"{time.time() - message.timestamp()[1] / 1000:.4f}\n" for message in messages)
        return new

    listener.Archive.keep = timed  # type: ignore[method-assign]
    river.listen(places, point)


def work_slowly(places: river.River, point: str = "", names: Path | None = None) -> None:
    """Work as always, but for one event's plan: it keeps a core busy for as long as it lasts."""
    assert names is not None
    plainly = river.without_prefect

    def slowly(here: river.River) -> None:
        plainly(here)
        plan = plan_flow.plan.fn

        def busy(slug: str, *words: object, **how: object) -> object:
            if slug == SLOW:
                names.write_text("began\n")
                until = time.monotonic() + PLAN_S
                while time.monotonic() < until:
                    pass
                names.write_text("ended\n")
            return plan(slug, *words, **how)

        plan_flow.plan.fn = busy

    river.without_prefect = slowly  # type: ignore[assignment]
    river.work(places, point)


def members(broker: kafka.Broker, group: str) -> set[str]:
    """Return the ids under which the group's members joined: new ones after every rebalance that cost a place."""
    admin = AdminClient({"bootstrap.servers": broker.address, "log_level": 0})
    described = admin.describe_consumer_groups([group])[group].result(20)
    return {member.member_id for member in described.members}


@pytest.mark.gate
def test_a_long_plan_delays_no_notice(real: kafka.Real, scratch: Path) -> None:
    with staged(scratch / "busy", real) as stage:
        topic, seen, plan = stage.river.topic, scratch / "seen", scratch / "plan"
        ear = river.start(listen_timed, stage.river, names=seen)
        worker = river.start(work_slowly, stage.river, names=plan)
        real.send(topic, notice_bytes.gw(SLOW, order=5))
        river.until(plan.exists, what="the plan to begin")
        joined = members(real, topic)
        for number in range(NOTICES):
            real.send(topic, notice_bytes.gw(hostile.superevent(number), minutes=number, order=5))
            time.sleep(EVERY_S)
        river.until(lambda: known(stage.book) == NOTICES + 1, patience_s=10, what="the notices")
        assert plan.read_text() == "ended\n"
        assert members(real, topic) == joined
        assert len(joined) == 1
        assert [ear.exitcode, worker.exitcode] == [None, None]
        river.finish(ear)
        river.kill(worker)
        delays = np.array([float(line) for line in seen.read_text().split()])[1:]
    p50, p99 = np.percentile(delays, [50, 99])
    assert len(delays) == NOTICES
    assert p99 <= ENQUEUE_S
    tally.count(
        "R6 notices beside a long plan",
        seconds_of_plan=PLAN_S,
        poll_intervals_in_it=round(PLAN_S / (5 * real.session_s)),
        notices=NOTICES,
        rebalances=0,
        ms_to_durable_p50=round(1000 * p50),
        ms_to_durable_p99=round(1000 * p99),
    )
