"""The process that receives Slack's buttons over HTTP, Socket Mode, or both: ``python -m deployments.slack.app``.

It reads these settings from the variables ``SIREN_SLACK_*`` or the block ``slack``:

``SIREN_SLACK_TOKEN``
    bot token, with ``chat:write``, ``im:write`` and the scopes for posting messages;
``SIREN_SLACK_SIGNING_SECRET``
    for HTTP: the request address for "Interactivity" in Slack is ``https://HOST/slack/actions``, on a proxy with TLS in
    front of ``--host`` and ``--port``;
``SIREN_SLACK_APP_TOKEN``
    for Socket Mode, if Slack cannot reach this machine: an app token with ``connections:write``;
``SIREN_SLACK_PLANNERS``, ``SIREN_SLACK_REVIEWERS``
    user ids of those who may press buttons.

There are no defaults: if a setting is missing, the process names it and exits. The registry records each press and its
outcome. Planning runs as ``plan/prod``. If the process is killed between the answer to a press and its work, the press has
no effect, and the button can be pressed again.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click
import httpx
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterName,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import StateType
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.states import Cancelling, Scheduled
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from blocks import SlackWorkspace
from deployments.listening import daemon
from deployments.server import blocks_from_environment, default_paths
from deployments.slack import http_endpoint, socket_mode
from deployments.slack.actions import ButtonHandler, Permissions
from deployments.terminal import signals
from tasks import registry as registries
from tasks import resources
from tasks.errors import MissingPart, SirenError, Unavailable
from tasks.io.messages import slack_sender
from tasks.records import Alert, Audience, Home

log = logging.getLogger(__name__)

PLAN = "plan/prod"
UNDER_WAY = [StateType.SCHEDULED, StateType.PENDING, StateType.RUNNING]
HOST, PORT = "127.0.0.1", 3000


class PrefectPlanner:
    """Creates and cancels runs of ``plan`` on the Prefect server."""

    def start(self, slug: str, telescopes: tuple[str, ...], *, key: str, asked_by: str) -> str:
        """Create a run, or return the one with the same key."""
        parameters = {"event_id": slug, "telescopes": list(telescopes), "asked_by": asked_by}
        with _translated(), get_client(sync_client=True) as client:
            deployment = client.read_deployment_by_name(PLAN)
            run = client.create_flow_run_from_deployment(
                deployment.id,
                parameters=parameters,
                state=Scheduled(),
                tags=["alert", tag(slug)],
                idempotency_key=key,
            )
            return str(run.id)

    def stop(self, slug: str) -> int:
        """Cancel the waiting and running runs of an event; return their number."""
        with _translated(), get_client(sync_client=True) as client:
            runs = {run.id for wanted in _filters(slug) for run in client.read_flow_runs(flow_run_filter=wanted)}
            for run in runs:
                client.set_flow_run_state(run, Cancelling(message="its plan was cancelled in Slack"))
            return len(runs)


@dataclass(frozen=True, kw_only=True)
class SlackMessages:
    """Sends direct messages in Slack; a failure is only logged."""

    client: WebClient

    def send(self, user: str, text: str) -> None:
        """Send a direct message."""
        self._call("chat.postMessage", lambda: self.client.chat_postMessage(channel=user, text=text))

    def open_window(self, trigger: str, view: Mapping[str, Any]) -> None:
        """Open a window."""
        self._call("views.open", lambda: self.client.views_open(trigger_id=trigger, view=dict(view)))

    @staticmethod
    def _call(method: str, call: Callable[[], object]) -> None:
        try:
            call()
        except SlackApiError as error:
            log.warning("Slack refuses %s: %s", method, error.response.get("error"))
        except OSError as error:
            log.warning("Slack does not answer %s: %s", method, type(error).__name__)


def tag(slug: str) -> str:
    """Return the tag of an event's runs."""
    return f"event:{slug}"


def workspace(environment: Mapping[str, str] | None = None) -> SlackWorkspace:
    """Return the Slack block; values from the environment override saved ones."""
    environment = os.environ if environment is None else environment
    fields = [
        name
        for name in SlackWorkspace.model_fields
        if blocks_from_environment.variable(SlackWorkspace, name) in environment
    ]
    chosen = {name: environment[blocks_from_environment.variable(SlackWorkspace, name)] for name in fields}
    if {"token", "planners"} <= chosen.keys() and {"signing_secret", "app_token"} & chosen.keys():
        return SlackWorkspace.model_validate(chosen)
    return SlackWorkspace.model_validate({**_saved(), **chosen})


def check(block: SlackWorkspace, *, http: bool, socket: bool) -> None:
    """Raise ``MissingPart`` if settings are missing; the message names them."""
    wanted = {"token": True, "signing_secret": http, "app_token": socket}
    empty = [name for name, needed in wanted.items() if needed and not getattr(block, name).get_secret_value().strip()]
    if not block.allowed()[1]:
        empty.append("planners")
    if not (http or socket):
        empty += ["signing_secret", "app_token"]
    if empty:
        names = ", ".join(blocks_from_environment.variable(SlackWorkspace, name) for name in dict.fromkeys(empty))
        raise MissingPart(f"set {names}, or the same fields of the block slack: there are no defaults")


def button_handler(block: SlackWorkspace, registry: registries.Registry) -> ButtonHandler:
    """Return the button handler of a workspace."""
    client = block.client()
    if client is None:
        raise MissingPart("set SIREN_SLACK_TOKEN")
    channels = {Audience(key): channel for key, channel in block.channels().items()}
    sender = slack_sender.SlackSender(client, channels, interactive=block.hears())
    planners, reviewers = block.allowed()
    return ButtonHandler(
        registry=registry,
        permissions=Permissions(planners=planners, reviewers=reviewers),
        planner=PrefectPlanner(),
        direct_messages=SlackMessages(client=client),
        send=sender.send,
        links=public_links,
        pace_s=sender.pace_s,
    )


def public_links(alert: Alert) -> Mapping[str, str]:
    """Return an event's links from the saved blocks; without a server, those that need no block."""
    try:
        return resources.links_of(Home(root=default_paths.alert_root(), store="store"), alert)
    except (SirenError, RuntimeError, OSError, httpx.HTTPError) as error:
        log.warning("no block of links now: %s", type(error).__name__)
        return resources.links_of(Home(root=default_paths.alert_root()), alert)


def run(block: SlackWorkspace, *, host: str, port: int, stop: threading.Event) -> None:
    """Receive presses over all configured connections, until stopped or one of them ends."""
    secret, app_token = block.signing_secret.get_secret_value(), block.app_token.get_secret_value()
    check(block, http=bool(secret), socket=bool(app_token))
    # at DEBUG the client logs addresses with a ticket, and whole messages
    logging.getLogger("slack_sdk").setLevel(logging.INFO)
    registry = registries.open(default_paths.registry_url())
    handler = button_handler(block, registry)
    connections: list[Callable[[], None]] = []
    if secret:
        app = http_endpoint.application(http_endpoint.SignatureCheck(secret), handler.take)
        connections.append(lambda: http_endpoint.serve(app, host=host, port=port, stop=stop))
    if app_token:
        web = WebClient(base_url=block.url, retry_handlers=[])
        connections.append(lambda: socket_mode.run(app_token, web, handler.take, stop))
    try:
        daemon.run_together(*connections, stop=stop)
    finally:
        handler.close()
        registry.close()


@click.command("slack-app")
@click.option("--host", default=HOST, show_default=True, help="Address to listen on, behind a proxy with TLS.")
@click.option("--port", default=PORT, show_default=True, help="Port to listen on.")
def main(host: str, port: int) -> None:
    """Receive presses of Slack buttons until stopped."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    stop = threading.Event()
    try:
        with signals.stopping(stop):
            run(workspace(), host=host, port=port, stop=stop)
    except SirenError as error:
        raise click.ClickException(str(error)) from None


def _saved() -> dict[str, Any]:
    """Return the fields of the saved block, or nothing without a block or a server."""
    try:
        saved = SlackWorkspace.load(blocks_from_environment.document_name(SlackWorkspace), validate=False)
    except (ValueError, RuntimeError, OSError, httpx.HTTPError) as error:
        log.warning("no block %s: %s", blocks_from_environment.document_name(SlackWorkspace), type(error).__name__)
        return {}
    names: Sequence[str] = [name for name in SlackWorkspace.model_fields if not name.startswith("_")]
    return {name: getattr(saved, name) for name in names if hasattr(saved, name)}


def _filters(slug: str) -> tuple[FlowRunFilter, ...]:
    """Return the filters for an event's runs: by their tag, and by the name of those that an automation created."""
    state = FlowRunFilterState(type=FlowRunFilterStateType(any_=UNDER_WAY))
    return (
        FlowRunFilter(state=state, tags=FlowRunFilterTags(all_=[tag(slug)])),
        FlowRunFilter(state=state, name=FlowRunFilterName(any_=[f"plan-{slug}"])),
    )


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except ObjectNotFound as error:
        raise Unavailable(f"{PLAN} is not deployed: run siren bootstrap") from error
    except PrefectHTTPStatusError as error:
        raise Unavailable(f"the Prefect server answers {error.response.status_code}") from error
    except (httpx.HTTPError, RuntimeError, OSError) as error:
        # Prefect raises RuntimeError if the server cannot be reached
        raise Unavailable("the Prefect server does not answer") from error


if __name__ == "__main__":
    main()
