"""The Slack app: its connections, its required settings, its runs on the server."""

from __future__ import annotations

import threading
import time
import urllib.request

import pytest
from click.testing import CliRunner
from slack_sdk import WebClient
from support import alerts, clicks, socket_mode
from support import slack as stand_in
from support.slack_buttons import buttons, free_port, settled, wait_for

from blocks import SlackWorkspace
from deployments.slack import app, http_endpoint
from deployments.slack import socket_mode as slack_socket
from tasks.alerts import registration
from tasks.errors import MissingPart, Unavailable
from tasks.io.messages import slack_sender
from tasks.messages import announcements
from tasks.records import Audience, Home
from tasks.registry import delivery

# ------------------------------------------------------------------------------------------------ the ways in


def test_over_http_the_answer_comes_long_before_the_work_is_done(handler, planner, store, top) -> None:
    stop, port = threading.Event(), free_port()
    app = http_endpoint.application(http_endpoint.SignatureCheck(clicks.SECRET), handler.take)
    server = threading.Thread(
        target=http_endpoint.serve, args=(app,), kwargs={"host": "127.0.0.1", "port": port, "stop": stop}
    )
    server.start()
    try:
        address = f"http://127.0.0.1:{port}"
        wait_for(lambda: urllib.request.urlopen(f"{address}/health").read() == b"ok")
        planner.hold.clear()
        content = clicks.body(clicks.press("run-plan", top))
        begun = time.monotonic()
        request = urllib.request.Request(f"{address}/slack/actions", content, clicks.signed(content, time.time()))
        with urllib.request.urlopen(request) as answer:
            assert (answer.status, answer.read()) == (200, b"")
        seconds = time.monotonic() - begun
        assert seconds < 1
        assert planner.runs == {}
        planner.hold.set()
        settled(handler)
        assert len(planner.runs) == 1
        print(f"answered in {1000 * seconds:.0f} ms")  # noqa: T201 - the figure
    finally:
        stop.set()
        server.join(20)
    assert not server.is_alive()


def test_over_socket_mode_the_same_handler_works_and_answers_first(handler, planner, workspace, top) -> None:
    with socket_mode.gateway(workspace) as gateway:
        stop = threading.Event()
        web = WebClient(base_url=workspace.url, retry_handlers=[])
        hearing = threading.Thread(target=slack_socket.run, args=("xapp-canary-app-token", web, handler.take, stop))
        hearing.start()
        try:
            planner.hold.clear()
            payload = clicks.press("run-plan", top)
            for _ in range(2):
                seconds = gateway.deliver(payload)
                assert seconds < 1
            assert planner.runs == {}
            planner.hold.set()
            wait_for(lambda: len(planner.runs) == 1)
            gateway.deliver({"type": "block_actions"})
            gateway.deliver(clicks.press("under-review", top, user="U3"))
            wait_for(lambda: "under review by <@U3>" in str(top["blocks"]))
        finally:
            stop.set()
            hearing.join(20)
        assert not hearing.is_alive()
    assert len(planner.runs) == 1


def test_an_app_token_that_slack_refuses_ends_the_process_with_a_reason(workspace) -> None:
    web = WebClient(base_url=workspace.url, retry_handlers=[])
    with pytest.raises(MissingPart, match="SIREN_SLACK_APP_TOKEN"):
        slack_socket.run("", web, lambda _: None, threading.Event())
    workspace.faults = ["error:invalid_auth"]
    with pytest.raises(MissingPart, match="invalid_auth"):
        slack_socket.run("xapp-canary-app-token", web, lambda _: None, threading.Event())


# ------------------------------------------------------------------------------------------------ starting, secrets

WHOLE = {
    "SIREN_SLACK_TOKEN": "xoxb-1",
    "SIREN_SLACK_SIGNING_SECRET": "s",
    "SIREN_SLACK_APP_TOKEN": "xapp-1",
    "SIREN_SLACK_PLANNERS": "U1, U2",
}


@pytest.mark.parametrize("missing", ["SIREN_SLACK_TOKEN", "SIREN_SLACK_SIGNING_SECRET", "SIREN_SLACK_PLANNERS"])
def test_the_process_refuses_to_start_without_what_it_needs(missing: str, monkeypatch) -> None:
    monkeypatch.setattr(app, "_saved", dict)
    for name, value in WHOLE.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("SIREN_SLACK_APP_TOKEN")
    monkeypatch.setenv(missing, "  ")
    done = CliRunner().invoke(app.main, ["--port", "0"])
    assert done.exit_code == 1
    assert missing in done.output
    assert "Traceback" not in done.output


def test_the_environment_stands_over_the_saved_block(monkeypatch) -> None:
    saved = {"token": "xoxb-saved", "signing_secret": "saved", "planners": "U8", "channel_gw": "C1"}
    monkeypatch.setattr(app, "_saved", lambda: saved)
    block = app.workspace({"SIREN_SLACK_PLANNERS": "U1"})
    assert (block.token.get_secret_value(), block.channel_gw) == ("xoxb-saved", "C1")
    assert block.allowed() == (frozenset({"U1"}), frozenset({"U1"}))
    assert app.workspace(WHOLE).channel_gw == ""


def test_messages_have_buttons_only_where_somebody_hears_them(workspace, root, store) -> None:
    assert not SlackWorkspace(token="x").hears()
    assert SlackWorkspace(token="x", app_token="y").hears()
    client = WebClient(token=stand_in.TOKEN, base_url=workspace.url, retry_handlers=[])
    announcements.announce.fn(
        alerts.gw(), None, registration.register.fn(alerts.gw(), home=Home(root=root)), home=Home(root=root)
    )
    sender = slack_sender.SlackSender(client, {Audience.OPERATORS: "C-OPS"}, interactive=False)
    delivery.drain_messages(store, sender.send)
    assert workspace.messages
    assert buttons(workspace.messages[0]) == []


@pytest.mark.server
def test_a_press_is_one_run_of_plan_on_the_server_and_can_be_stopped(prefect_api) -> None:
    from prefect import flow
    from prefect.client.orchestration import get_client

    @flow(name="plan")
    def plan(event_id: str, telescopes: tuple[str, ...] = (), asked_by: str = "") -> None:
        """Replace the real flow; its deployment has the same name."""

    planner = app.PrefectPlanner()
    with get_client(sync_client=True) as client:
        known = client.create_deployment(client.create_flow(plan), name="prod")
        first, again, other = (
            planner.start(slug, ("7DT", "TCH"), key=key, asked_by="me")
            for slug, key in (("S1", "press:1"), ("S1", "press:1"), ("S2", "press:2"))
        )
        assert first == again != other
        run = client.read_flow_run(first)
        assert run.parameters == {"event_id": "S1", "telescopes": ["7DT", "TCH"], "asked_by": "me"}
        assert planner.stop("S1") == 1
        assert planner.stop("S1") == 0
        assert client.read_flow_run(first).state.type.value in {"CANCELLING", "CANCELLED"}
        assert client.read_flow_run(other).state.is_scheduled()
        client.delete_deployment(known)
    with pytest.raises(Unavailable, match="siren bootstrap"):
        planner.start("S1", ("7DT",), key="press:3", asked_by="me")
