"""Receive presses over Socket Mode, a connection opened from here, for a machine that Slack cannot reach."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.socket_mode import SocketModeClient
from slack_sdk.socket_mode.client import BaseSocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.socket_mode.response import SocketModeResponse

from tasks.errors import MissingPart, Unavailable, UnusableData

log = logging.getLogger(__name__)

FIRST_DELAY_S, LONGEST_DELAY_S = 1.0, 60.0
# refusals that a retry cannot change: https://docs.slack.dev/reference/methods/apps.connections.open
HOPELESS = frozenset({"invalid_auth", "not_authed", "account_inactive", "token_revoked", "not_allowed_token_type"})


def run(app_token: str, web: WebClient, take: Callable[[Mapping[str, Any]], object], stop: threading.Event) -> None:
    """Receive presses until stopped; the client reopens a lost connection.

    Raises
    ------
    MissingPart
        If the token is empty or Slack refuses it.
    """
    if not app_token.strip():
        raise MissingPart("set SIREN_SLACK_APP_TOKEN: the app token (xapp-…) of Socket Mode")
    client = SocketModeClient(app_token=app_token, web_client=web, concurrency=4)
    client.socket_mode_request_listeners.append(listener(take))
    try:
        _connect(client, stop)
        stop.wait()
    finally:
        client.close()


def listener(
    take: Callable[[Mapping[str, Any]], object],
) -> Callable[[BaseSocketModeClient, SocketModeRequest], None]:
    """Return a listener that answers an envelope first and then passes on its payload."""

    def receive(client: BaseSocketModeClient, request: SocketModeRequest) -> None:
        client.send_socket_mode_response(SocketModeResponse(envelope_id=request.envelope_id))
        if request.type != "interactive":
            return
        try:
            take(request.payload)
        except UnusableData as error:
            log.warning("unusable envelope: %s", error)

    return receive


def _connect(client: SocketModeClient, stop: threading.Event) -> None:
    """Open the first connection; wait longer after each failed attempt."""
    delay = FIRST_DELAY_S
    while not stop.is_set():
        try:
            client.connect()
        except (Unavailable, OSError, SlackApiError) as error:
            code = str(error.response.get("error", "")) if isinstance(error, SlackApiError) else type(error).__name__
            if code in HOPELESS:
                raise MissingPart(f"Slack refuses the app token: {code}") from None
            log.warning("Socket Mode is not available (%s); next attempt in %g s", code, delay)
            stop.wait(delay)
            delay = min(2 * delay, LONGEST_DELAY_S)
        else:
            log.info("receiving presses over Socket Mode")
            return
