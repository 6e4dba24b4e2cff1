"""Slack's buttons pressed by those who may not: nobody comes in, and what proves a signature is never told."""

from __future__ import annotations

import json
import logging
import random
import threading
from typing import Any

import pytest
import sqlalchemy as sa
from slack_sdk import WebClient
from support import clicks, socket_mode, tally
from support import slack as stand_in
from support.slack_buttons import Clock, outcomes, pressed, settled

from deployments.slack import socket_mode as slack_socket
from tasks.records.buttons import Button
from tasks.registry import models

pytestmark = pytest.mark.counted

CANARIES = (
    clicks.SECRET,
    stand_in.TOKEN,
    "canary-app-token",
    "canary-verification-token",
    "canary-response-url",
    "canary-ticket",
)


def test_of_a_thousand_bad_requests_of_each_kind_none_comes_in(
    app, handler, clock, store, planner, top, caplog
) -> None:
    caplog.set_level(logging.DEBUG)
    good = clicks.body(clicks.press("run-plan", top))
    begun = clock.time
    counts = {}
    for kind, make in {"bad": _bad, "stale": _stale, "altered": _altered, "wrong_user": _stranger}.items():
        answers = clicks.requests(app, [make(random.Random(k), clock, top) for k in range(1000)])
        wanted = {200} if kind == "wrong_user" else {400, 401}
        assert {status for status, _ in answers} <= wanted
        counts[kind] = len(answers)
    first, *again = clicks.requests(app, [(good, clicks.signed(good, clock.time))] * 1001)
    assert first[0] == 200
    assert {status for status, _ in again} == {409}
    counts["replayed"] = len(again)
    settled(handler)
    assert clock.time == begun
    assert len(planner.runs) == len(outcomes(store)) == 1
    expected = {clicks.signed(good, clock.time)["x-slack-signature"], clicks.SECRET}
    assert not any(secret in caplog.text for secret in expected)
    tally.count(
        "R21 requests of those who may not",
        accepted=0,
        **counts,
    )


def _bad(rng: random.Random, clock: Clock, top: dict[str, Any]) -> tuple[bytes, dict[str, str]]:
    content = clicks.body(clicks.press("run-plan", top))
    headers = clicks.signed(content, clock.time, secret=f"guess-{rng.random()}")
    spoiled = ["", "v0=", "v0=" + "é" * 64, "v1=" + "0" * 64, "v0=" + "0" * 64, headers["x-slack-signature"].upper()]
    times = ["", "soon", "-1", "1e9", "9" * 40, "٣", "nan", headers["x-slack-request-timestamp"]]
    if rng.random() < 0.5:
        headers["x-slack-signature"] = rng.choice(spoiled)
        headers["x-slack-request-timestamp"] = rng.choice(times)
    return (content if rng.random() < 0.9 else b"\xff\xfe" + content), headers


def _stale(rng: random.Random, clock: Clock, top: dict[str, Any]) -> tuple[bytes, dict[str, str]]:
    content = clicks.body(clicks.press("run-plan", top))
    away = rng.choice((-1, 1)) * rng.uniform(302, 1e6)
    return content, clicks.signed(content, clock.time + away)


def _altered(rng: random.Random, clock: Clock, top: dict[str, Any]) -> tuple[bytes, dict[str, str]]:
    content = clicks.body(clicks.press("run-plan", top))
    place = rng.randrange(len(content))
    changed = bytes([(content[place] + rng.randrange(1, 255)) % 256])
    return content[:place] + changed + content[place + 1 :], clicks.signed(content, clock.time)


def _stranger(rng: random.Random, clock: Clock, top: dict[str, Any]) -> tuple[bytes, dict[str, str]]:
    content = clicks.body(clicks.press("run-plan", top, user=f"U9{rng.randrange(10**6)}"))
    return content, clicks.signed(content, clock.time)


def test_no_secret_comes_out_by_any_path(app, handler, clock, store, planner, workspace, top, caplog, capfd) -> None:
    caplog.set_level(logging.DEBUG)
    said = [repr(handler), repr(app)]
    for trouble in ("", "the server does not answer"):
        planner.trouble = trouble
        for button in (*Button, "other"):
            content = clicks.body(clicks.press(button, top))
            workspace.faults = ["500", "error:invalid_auth"] if trouble else []
            good, bad = clicks.signed(content, clock.time), clicks.signed(content, clock.time, secret="wrong")
            said += [str(each) for each in clicks.requests(app, [(content, good), (content, good), (content, bad)])]
            settled(handler)
    workspace.faults = []
    broken = handler.planner
    handler.planner = None  # type: ignore[assignment] - a forced, unforeseen exception
    pressed(handler, "run-plan", top | {"ts": top["ts"]}, user="U2")
    handler.planner = broken
    logging.getLogger("slack_sdk").setLevel(logging.INFO)
    with socket_mode.gateway(workspace) as gateway:
        stop = threading.Event()
        web = WebClient(base_url=workspace.url, retry_handlers=[])
        hearing = threading.Thread(target=slack_socket.run, args=("xapp-canary-app-token", web, handler.take, stop))
        hearing.start()
        try:
            gateway.deliver(clicks.press("under-review", top))
            gateway.deliver({"type": "view_submission", "view": {}})
        finally:
            stop.set()
            hearing.join(20)
    logging.getLogger("slack_sdk").setLevel(logging.NOTSET)
    settled(handler)
    with store.read() as session:
        tables = [str(session.execute(sa.select(table)).all()) for table in models.Base.metadata.sorted_tables]
    output = capfd.readouterr()
    places = {
        "log": caplog.text,
        "output": output.out + output.err,
        "database": "".join(tables),
        "Slack": json.dumps([workspace.messages, workspace.views, workspace.calls]),
        "answers": "".join(said),
        "runs": str(planner.runs),
    }
    hits = [(place, secret) for place, text in places.items() for secret in CANARIES if secret in text]
    assert hits == []
    assert len(places["log"]) > 1000
    tally.count(
        "R22 secrets of the buttons",
        hits=len(hits),
        secrets=len(CANARIES),
        characters_searched=sum(map(len, places.values())),
    )
