"""Killed at any moment: nothing is lost, nothing is done twice.

Listener and worker are processes (see ``support.river``); the oracle is what the same notices lead to when nobody dies.
"""

from __future__ import annotations

import collections
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support import kafka, notice_bytes, river, tally
from support.stages import PARTS, Stage, bring, live, staged, the_night

from tasks.records import Audience
from tasks.records.outbox import Outgoing
from tasks.registry import outbox
from tasks.registry.store import now

# --------------------------------------------------------------------------------------------------- random moments


def killed_at_random(broker: kafka.Broker, root: Path, *, kills: int, events: int) -> None:
    notices, chance = the_night(events), random.Random(20260115)
    with staged(root / "undisturbed", broker) as calm:
        live(broker, calm, notices, lambda _: None)
        expected = calm.effects()
    died = collections.Counter[str]()
    with staged(root / "killed", broker) as stage:
        processes = {"listener": None, "worker": None}

        def strike(number: int) -> None:
            while died.total() * len(notices) < kills * (number + 1):
                victim = chance.choice(["listener", "worker", "worker"])
                time.sleep(chance.uniform(0.02, 0.9))
                river.kill(processes[victim])
                died[victim] += 1
                processes[victim] = river.start(PARTS[victim], stage.river)

        live(broker, stage, notices, strike, processes)
        assert died.total() == kills
        found, twice, unsent = stage.effects(), stage.twice(), stage.unsent()
    assert found["rows"] == expected["rows"]
    assert found["messages"] == expected["messages"]
    assert found["files"] == expected["files"]
    assert (twice, unsent) == (0, 0)
    tally.count(
        f"R3 killed at random moments ({broker.kind})",
        kills=kills,
        of_the_listener=died["listener"],
        of_the_worker=died["worker"],
        notices=len(notices),
        messages=found["messages"].total(),
        uploads=len(found["files"]),
        plans=found["rows"]["plan"],
        lost=0,
        duplicates=twice,
    )


def test_three_random_kills_lose_and_double_nothing(broker: kafka.Broker, tmp_path: Path) -> None:
    killed_at_random(broker, tmp_path, kills=3, events=1)


@pytest.mark.gate
@pytest.mark.timeout(1200)
def test_fifty_random_kills_lose_and_double_nothing(broker: kafka.Broker, tmp_path: Path) -> None:
    killed_at_random(broker, tmp_path, kills=50, events=6)


# -------------------------------------------------------------------------------------------------- every effect


SCENE = (b"not a notice", notice_bytes.gw(), notice_bytes.retraction())


def act(stage: Stage, part: Callable[..., None], play: Callable[[], bool], *, point: str, names: Path) -> int:
    """Play a scene, its process killed at a point and started again; return how often it died."""
    deaths = 0
    process = river.start(part, stage.river, point, None if point else names)
    deadline = time.monotonic() + 240
    while not play():
        assert time.monotonic() < deadline, f"killed at {point!r}: {stage.rows()}"
        if process.exitcode is not None:
            deaths += 1
            process = river.start(part, stage.river)
        time.sleep(0.02)
    river.finish(process) if process.exitcode is None else None
    return deaths


def killed_at_every_effect(
    root: Path,
    part: Callable[..., None],
    prepare: Callable[[Stage], Callable[[], bool]],
    *,
    label: str,
    every: int,
    broker: kafka.Broker | None = None,
) -> None:
    names = root / "names"
    with staged(root / "undisturbed", broker) as calm:
        assert act(calm, part, prepare(calm), point="", names=names) == 0
        expected = calm.effects()
    points = list(dict.fromkeys(names.read_text().splitlines()))[::every]
    deaths = twice = 0
    for number, point in enumerate(points):
        with staged(root / f"killed-{number}", broker) as stage:
            died = act(stage, part, prepare(stage), point=point, names=names)
            found = stage.effects()
            assert found["rows"] == expected["rows"], point
            assert found["messages"] == expected["messages"], point
            assert found["files"] == expected["files"], point
            deaths, twice = deaths + died, twice + stage.twice()
            assert stage.unsent() == 0, point
    assert deaths >= 0.9 * len(points)
    assert twice == 0
    tally.count(f"R3 {label} killed at enumerated effects", points=len(points), kills=deaths, lost=0, duplicates=twice)


def at_work(stage: Stage) -> Callable[[], bool]:
    """Have the scene dispatched before the worker begins, its retraction when all before it has come to its end."""
    stage.river.runs.mkdir(parents=True, exist_ok=True)
    *before, retraction = SCENE
    bring(stage, *before)
    waiting = [retraction]

    def play() -> bool:
        settled = river.settled(stage.river, stage.book, len(SCENE) - len(waiting))
        if settled and waiting:
            # for an event that was retracted meanwhile nothing more is planned
            bring(stage, waiting.pop())
            return False
        return settled

    return play


def test_a_worker_killed_at_some_effects_loses_and_doubles_nothing(tmp_path: Path) -> None:
    killed_at_every_effect(tmp_path, river.work, at_work, label="worker", every=40)


@pytest.mark.gate
@pytest.mark.timeout(1800)
def test_a_worker_killed_at_every_effect_loses_and_doubles_nothing(tmp_path: Path) -> None:
    killed_at_every_effect(tmp_path, river.work, at_work, label="worker", every=1)


def listened(broker: kafka.Broker, stage: Stage) -> Callable[[], bool]:
    """Have the whole scene in the topic before the listener begins; done when it is committed and has its runs."""
    topic = stage.river.topic
    broker.send(topic, *SCENE)
    return lambda: (
        stage.rows()["delivery"] == len(list(stage.river.runs.glob("notice-*"))) == len(SCENE)
        and not stage.book.undispatched()
        and broker.committed(topic, topic) == len(SCENE)
    )


@pytest.mark.parametrize("every", [8, pytest.param(1, marks=pytest.mark.gate)])
def test_a_listener_killed_at_its_effects_loses_and_doubles_nothing(
    broker: kafka.Broker, scratch: Path, every: int
) -> None:
    killed_at_every_effect(
        scratch, river.listen, lambda stage: listened(broker, stage), label="listener", every=every, broker=broker
    )


# ------------------------------------------------------------------------------------------- Slack's own window


def killed_after_acceptance(root: Path, *, times: int) -> None:
    """Kill the sender each time between Slack's acceptance and our record of it."""
    with staged(root / "window") as stage:
        with stage.book.begin() as session:
            for number in range(times):
                thread = f"event:{number // 5}"
                mode = "top" if number % 5 == 0 else "reply"
                words = {"mode": mode, "text": f"message {number}", "audience": Audience.GW}
                outbox.enqueue_message(
                    session, Outgoing(subject=thread, kind="window", key=str(number), **words), now=now()
                )
        deaths = 0
        while stage.unsent():
            process = river.start(river.work, stage.river, "after a request to Slack chat.postMessage")
            river.until(lambda process=process: process.exitcode is not None or not stage.unsent(), what="the sender")
            deaths += process.exitcode is not None
            river.kill(process)
        twice, posted = stage.twice(), len(stage.slack.messages)
    assert (deaths, posted, twice) == (times, times, 0)
    tally.count(
        "R3 killed between Slack's acceptance and our record",
        kills=deaths,
        posted=posted,
        posted_twice=twice,
        rate=f"at most 1 in {deaths // 3} (95 %)",
    )


def test_a_sender_killed_after_slack_accepted_sends_nothing_twice(tmp_path: Path) -> None:
    killed_after_acceptance(tmp_path, times=6)


@pytest.mark.gate
def test_three_hundred_senders_killed_after_slack_accepted_send_nothing_twice(tmp_path: Path) -> None:
    killed_after_acceptance(tmp_path, times=300)
