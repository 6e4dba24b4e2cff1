"""Automations on a real server: an accepted alert is planned, a plan that fails and a listener that stalls reach the operators."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.events import emit_event
from support import prefect_server, tally

from deployments.listening import daemon
from deployments.server import automations
from tasks import registry

pytestmark = [pytest.mark.gate, pytest.mark.server]

PATIENCE_S = 240.0


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("alarms")


@pytest.fixture(scope="module")
def server(home: Path) -> Iterator[prefect_server.Server]:
    with prefect_server.running(home, pools=("alerts",), only=("plan", "reconcile")) as running:
        yield running


def until(server: prefect_server.Server, condition: Callable[[], object]) -> float:
    began = time.monotonic()
    while not condition():
        server.system.check_runs()
        assert time.monotonic() - began < PATIENCE_S, "waited in vain"
        time.sleep(0.5)
    return time.monotonic() - began


def runs(name: str) -> list[FlowRun]:
    with get_client(sync_client=True) as client:
        deployment = client.read_deployment_by_name(name).id
        return [run for run in client.read_flow_runs() if run.deployment_id == deployment]


def said(home: Path) -> str:
    """Return all that was rendered for Slack."""
    return "\n".join(path.read_text() for path in home.rglob("outbox/**/*") if path.is_file())


def test_an_accepted_alert_is_planned_and_its_failure_reaches_the_operators(
    server: prefect_server.Server, home: Path
) -> None:
    payload = {"event_id": "S260115zz", "alert_type": "UPDATE", "telescopes": ["TCH"], "test": False}
    emit_event(event="gw.alert.accepted", resource={"prefect.resource.id": "siren.event.S260115zz"}, payload=payload)

    until(server, lambda: runs("plan/prod"))
    [run] = runs("plan/prod")
    assert run.parameters["event_id"] == "S260115zz"
    assert server.wait(run).state.is_failed(), "the registry does not know the event"
    until(server, lambda: "The run plan-S260115zz has failed" in said(home))


def test_a_listener_that_hears_nothing_reaches_the_operators_within_a_minute_and_a_half(
    server: prefect_server.Server, home: Path
) -> None:
    book = registry.open(f"sqlite:///{home / 'registry.sqlite'}")
    began = time.monotonic()
    daemon.Alarm("brightsiren", book)("nothing received for 25 s: reconnecting")
    book.close()
    until(server, lambda: "The listener brightsiren receives nothing from its broker" in said(home))
    tally.count("silent listener", seconds_from_alarm_to_operators=round(time.monotonic() - began))


def test_a_listener_that_beats_no_more_reaches_the_operators(server: prefect_server.Server, home: Path) -> None:
    emit_event(
        event=automations.LISTENER_HEARTBEAT, resource={"prefect.resource.id": "siren.listener.gone"}, payload={}
    )
    until(server, lambda: "siren.listener.gone sends no heartbeat" in said(home))
