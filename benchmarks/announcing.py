"""B9b: time from a notice on the broker to the request to Slack, through a whole deployment.

A broker, a Prefect server with a worker, ``siren listen`` and Slack's stand-in, each a process of its own or a server; one
notice at a time, each of an event of its own, the next one sent when the run of the one before has ended.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterIdempotencyKey
from prefect.client.schemas.objects import FlowRun
from support import kafka, prefect_server
from support import slack as slack_stand_in

from benchmarks.harness import Gate, Report, Row, Setting
from tasks import simulation
from tasks.science.simulation.alerts import AlertRequest

REAL = Path(__file__).resolve().parents[2] / "shared" / "data" / "notices" / "S241102br-initial.json"
SLACK = {"TOKEN": slack_stand_in.TOKEN, "CHANNEL_GW": "C-GW", "CHANNEL_TEST": "C-TEST", "CHANNEL_OPERATORS": "C-OPS"}
NUMBER, QUICK_NUMBER, COLD_NUMBER = 30, 5, 5
TARGET_S = 3.0
WISHED_S = {50: 0.1, 99: 0.5}
PATIENCE_S = 60.0
READY = "the warm process is ready"
TOPIC = "igwn.gwalert"


class Clocked(list[dict[str, Any]]):
    """Messages with the time of each."""

    def append(self, message: dict[str, Any]) -> None:
        message["came"] = time.perf_counter()
        super().append(message)


@dataclass(frozen=True, kw_only=True)
class Answered:
    """A notice, the time in s from sending it to the first request to Slack, and its ended run."""

    payload: bytes
    latency_s: float
    run: FlowRun


def run(setting: Setting) -> Report:
    payload = _notice(setting.folder)
    number = QUICK_NUMBER if setting.quick else NUMBER
    rows = []
    with kafka.broker() as broker:
        for warm, count in ((True, number), (False, COLD_NUMBER)):
            with _deployed(setting.folder / ("warm" if warm else "cold"), broker, warm=warm) as place:
                answered = [place.answer(each) for each in _events(payload, count, first=0 if warm else NUMBER)]
            rows += _rows(answered, warm=warm)
    return Report(
        name="b9b",
        title="Notice on the broker to the request to Slack",
        rows=tuple(rows),
        notes=(
            (
                f"Broker: {broker.kind}. A notice of {len(payload) / 1e6:.1f} MB with its sky map; Prefect server on SQLite, "
                "everything on this machine. Slack answers at once. The notice is understood, recorded, decided and its "
                "headline posted; the picture is drawn after it."
            ),
        ),
    )


class Place:
    """A deployment that listens to its own topic."""

    def __init__(self, server: prefect_server.Server, broker: kafka.Broker, topic: str, messages: Clocked) -> None:
        self.server = server
        self.broker = broker
        self.topic = topic
        self.messages = messages

    def answer(self, payload: bytes) -> Answered:
        """Send a notice; wait for the request to Slack and the end of the run."""
        known = len(self.messages)
        sent = time.perf_counter()
        self.broker.send(self.topic, payload)
        self.until(lambda: len(self.messages) > known)
        latency_s = self.messages[known]["came"] - sent
        return Answered(payload=payload, latency_s=latency_s, run=self.server.wait(self.run_of(payload)))

    def run_of(self, payload: bytes) -> FlowRun:
        """Return the run of a notice, found by its key."""
        key = FlowRunFilterIdempotencyKey(any_=[f"notice:{hashlib.sha256(payload).hexdigest()}"])
        with get_client(sync_client=True) as client:
            self.until(lambda: bool(client.read_flow_runs(flow_run_filter=FlowRunFilter(idempotency_key=key))))
            [found] = client.read_flow_runs(flow_run_filter=FlowRunFilter(idempotency_key=key))
        return found

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            self.server.system.check_runs()
            if time.monotonic() > deadline:
                raise TimeoutError(f"waited {PATIENCE_S:g} s in vain")
            time.sleep(0.005)


@contextmanager
def _deployed(home: Path, broker: kafka.Broker, *, warm: bool) -> Iterator[Place]:
    """Run server, worker and listener; yield when they are ready."""
    topic = broker.topic(f"{TOPIC}-{home.name}")
    broker.send(topic, b"no notice: it makes the topic")
    listen = ("--bootstrap", broker.address, "--topic", topic, "--group", topic, "--warm" if warm else "--cold")
    with slack_stand_in.workspace() as slack:
        slack.messages = Clocked()
        variables = {"SIREN_HOME": str(home), "SIREN_SLACK_URL": slack.url}
        variables |= {f"SIREN_SLACK_{name}": value for name, value in SLACK.items()}
        with prefect_server.running(
            home, pools=("alerts",), only=("respond",), listen=listen, variables=variables
        ) as server:
            place = Place(server, broker, topic, slack.messages)
            place.server.wait(place.run_of(b"no notice: it makes the topic"))
            log = home / "logs" / "listener.log"
            place.until(lambda: not warm or READY in log.read_text(encoding="utf-8"))
            yield place


def _notice(folder: Path) -> bytes:
    """Return a real notice if there are any beside the checkout, else a simulated one."""
    if REAL.is_file():
        return REAL.read_bytes()
    simulation.make_alert(folder, AlertRequest(seed=1))
    return (folder / "notice.json").read_bytes()


def _events(payload: bytes, count: int, *, first: int) -> list[bytes]:
    """Yield the notice with ids of different events, each with its own thread."""
    known = json.loads(payload)["superevent_id"].encode()
    return [
        payload.replace(known, b"S25%02d%02da" % (1 + index // 28, 1 + index % 28))
        for index in range(first, first + count)
    ]


def _rows(answered: Sequence[Answered], *, warm: bool) -> list[Row]:
    latencies = [each.latency_s for each in answered]
    figures = {share: float(np.percentile(latencies, share)) for share in (50, 95, 99)}
    text = ", ".join(f"p{share} {value * 1e3:.0f} ms" for share, value in figures.items())
    gates = (
        Gate(
            what="runs of respond/prod completed", value=sum(map(_proper, answered)), limit=len(answered), at_least=True
        ),
        Gate(what="slowest in s", value=max(latencies), limit=PATIENCE_S),
    )
    if not warm:
        return [Row(what=f"{len(answered)} notices, every run by the pool's worker", figure=text, gates=gates)]
    return [
        Row(
            what=f"{len(answered)} notices, warm process: target p95 ≤ {TARGET_S:g} s",
            figure=text,
            met=figures[95] <= TARGET_S,
            gates=gates,
        ),
        Row(
            what="the same, wished: p50 ≤ 100 ms, p99 ≤ 500 ms",
            figure=text,
            met=figures[50] <= WISHED_S[50] and figures[99] <= WISHED_S[99],
        ),
    ]


def _proper(each: Answered) -> bool:
    """Return whether a run belongs to the deployment, is completed, and has the parameters of its notice."""
    run, sha256 = each.run, hashlib.sha256(each.payload).hexdigest()
    whole = run.state is not None and run.state.is_completed() and run.deployment_id is not None
    return whole and run.parameters["sha256"] == sha256 and Path(run.parameters["path"]).read_bytes() == each.payload
