"""The process that hears Slack's buttons: over HTTP, over Socket Mode, or both. ``python -m deployments.slack.app``.

It needs of Slack's app, from the variables ``SIREN_SLACK_*`` or the block ``slack``:

``SIREN_SLACK_TOKEN``
    bot token, with ``chat:write``, ``im:write`` and what posting messages needs;
``SIREN_SLACK_SIGNING_SECRET``
    for HTTP: Slack's "Interactivity" request address is ``https://HOST/slack/actions``, a proxy with TLS before
    ``--host`` and ``--port``;
``SIREN_SLACK_APP_TOKEN``
    for Socket Mode, where Slack cannot reach this machine: an app token with ``connections:write``;
``SIREN_SLACK_PLANNERS``, ``SIREN_SLACK_REVIEWERS``
    user ids of those who may press buttons.

There are no defaults: what is missing is named, and the process does not start. Those who pressed and what came of it are
in the registry; planning runs as ``plan/prod``. A press that was answered and not yet worked on when the process is killed
does nothing: it can be pressed again.
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
from deployments.cli import signals
from deployments.listening import daemon
from deployments.server import blocks_from_environment, default_paths
from deployments.slack import http_endpoint, socket_mode
from deployments.slack.actions import ButtonHandler, Permissions
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
    """Makes and stops runs of ``plan`` on the Prefect server."""

    def start(self, slug: str, telescopes: tuple[str, ...], *, key: str, asked_by: str) -> str:
        """Make a run, or find the one made with the same key."""
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
        """Stop the runs of an event that are waiting or under way; return how many."""
        with _translated(), get_client(sync_client=True) as client:
            runs = {run.id for wanted in _filters(slug) for run in client.read_flow_runs(flow_run_filter=wanted)}
            for run in runs:
                client.set_flow_run_state(run, Cancelling(message="its plan was cancelled in Slack"))
            return len(runs)


@dataclass(frozen=True, kw_only=True)
class SlackMessages:
    """Speaks with one person in Slack, best effort: what cannot be said is logged."""

    client: WebClient

    def tell(self, user: str, text: str) -> None:
        """Send a direct message."""
        self._call("chat.postMessage", lambda: self.client.chat_postMessage(channel=user, text=text))

    def open(self, trigger: str, view: Mapping[str, Any]) -> None:
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
    """Return the Slack block with the environment's values over the saved ones."""
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
    """Raise ``MissingPart`` naming everything that must be set and is not."""
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
    """Return the desk of a workspace."""
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
    """Return an event's links by the saved blocks; those that need none where the server is away."""
    try:
        return resources.links_of(Home(root=default_paths.alert_root(), store="store"), alert)
    except (SirenError, RuntimeError, OSError, httpx.HTTPError) as error:
        log.warning("no block of links now: %s", type(error).__name__)
        return resources.links_of(Home(root=default_paths.alert_root()), alert)


def run(block: SlackWorkspace, *, host: str, port: int, stop: threading.Event) -> None:
    """Hear presses every way that is configured, until told to stop or one of the ways ends."""
    secret, app_token = block.signing_secret.get_secret_value(), block.app_token.get_secret_value()
    check(block, http=bool(secret), socket=bool(app_token))
    # at DEBUG the client writes down addresses that hold a ticket, and whole messages
    logging.getLogger("slack_sdk").setLevel(logging.INFO)
    registry = registries.open(default_paths.registry_url())
    handler = button_handler(block, registry)
    ways: list[Callable[[], None]] = []
    if secret:
        app = http_endpoint.application(http_endpoint.SignatureCheck(secret), handler.take)
        ways.append(lambda: http_endpoint.serve(app, host=host, port=port, stop=stop))
    if app_token:
        web = WebClient(base_url=block.url, retry_handlers=[])
        ways.append(lambda: socket_mode.run(app_token, web, handler.take, stop))
    try:
        daemon.run_together(*ways, stop=stop)
    finally:
        handler.close()
        registry.close()


@click.command("slack-app")
@click.option("--host", default=HOST, show_default=True, help="Address to listen on; put a proxy with TLS before it.")
@click.option("--port", default=PORT, show_default=True, help="Port to listen on.")
def main(host: str, port: int) -> None:
    """Hear the buttons of Slack until told to stop."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    stop = threading.Event()
    try:
        with signals.stopping(stop):
            run(workspace(), host=host, port=port, stop=stop)
    except SirenError as error:
        raise click.ClickException(str(error)) from None


def _saved() -> dict[str, Any]:
    """Return the fields of the saved block, or nothing where there is none or no server."""
    try:
        found = SlackWorkspace.load(blocks_from_environment.document_name(SlackWorkspace), validate=False)
    except (ValueError, RuntimeError, OSError, httpx.HTTPError) as error:
        log.warning("no block %s: %s", blocks_from_environment.document_name(SlackWorkspace), type(error).__name__)
        return {}
    names: Sequence[str] = [name for name in SlackWorkspace.model_fields if not name.startswith("_")]
    return {name: getattr(found, name) for name in names if hasattr(found, name)}


def _filters(slug: str) -> tuple[FlowRunFilter, ...]:
    """Return what finds an event's runs: by their tag, and by their name where an automation made them."""
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
        # RuntimeError: Prefect's words for a server that cannot be reached
        raise Unavailable("the Prefect server does not answer") from error


if __name__ == "__main__":
    main()
