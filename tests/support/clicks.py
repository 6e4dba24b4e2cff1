"""Presses of Slack's buttons: payloads, signatures, and requests to the web application without a socket."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import itertools
import json
from typing import Any
from urllib.parse import urlencode

SECRET = "canary-signing-secret"
counter = itertools.count(1)


def press(button: str, message: dict[str, Any], *, user: str = "U1", **changes: Any) -> dict[str, Any]:
    """Return the payload that Slack sends when a button under ``message`` is pressed."""
    payload = {
        "type": "block_actions",
        "token": "canary-verification-token",
        "user": {"id": user, "username": f"name-of-{user}", "team_id": "T1"},
        "trigger_id": f"{next(counter)}.trigger",
        "container": {"type": "message", "message_ts": message["ts"], "channel_id": message["channel"]},
        "channel": {"id": message["channel"], "name": "alerts"},
        "message": {"ts": message["ts"], "text": message["text"]},
        "response_url": "https://hooks.slack.com/actions/T1/2/canary-response-url",
        "actions": [{"action_id": button, "value": "S241102br", "type": "button"}],
    }
    return payload | changes


def answer(view: dict[str, Any], telescopes: tuple[str, ...], *, user: str = "U1") -> dict[str, Any]:
    """Return the payload that Slack sends when a window is submitted."""
    options = [{"text": {"type": "plain_text", "text": name}, "value": name} for name in telescopes]
    values = {"telescopes": {"telescopes": {"type": "multi_static_select", "selected_options": options}}}
    return {
        "type": "view_submission",
        "user": {"id": user, "username": f"name-of-{user}"},
        "trigger_id": f"{next(counter)}.trigger",
        "view": {**view, "state": {"values": values}},
    }


def body(payload: dict[str, Any]) -> bytes:
    return urlencode({"payload": json.dumps(payload)}).encode()


def signed(content: bytes, moment: float, *, secret: str = SECRET) -> dict[str, str]:
    """Return the headers of a request signed at a time, by the rule in Slack's documentation."""
    stamp = str(int(moment))
    digest = hmac.new(secret.encode(), b"v0:" + stamp.encode() + b":" + content, hashlib.sha256).hexdigest()
    return {
        "content-type": "application/x-www-form-urlencoded",
        "x-slack-request-timestamp": stamp,
        "x-slack-signature": f"v0={digest}",
    }


async def request(app: Any, content: bytes, headers: dict[str, str], path: str = "/slack/actions") -> tuple[int, bytes]:
    """Send one POST to an ASGI application; return status and body."""
    sent: list[dict[str, Any]] = []
    parts = iter([{"type": "http.request", "body": content, "more_body": False}])

    async def receive() -> dict[str, Any]:
        return next(parts, {"type": "http.disconnect"})

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
        "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "",
        "headers": [(name.encode(), value.encode("utf-8", "surrogateescape")) for name, value in headers.items()],
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2),
    }  # fmt: skip
    await app(scope, receive, send)
    return sent[0]["status"], b"".join(part.get("body", b"") for part in sent[1:])


def requests(app: Any, many: list[tuple[bytes, dict[str, str]]]) -> list[tuple[int, bytes]]:
    async def all_of_them() -> list[tuple[int, bytes]]:
        return [await request(app, content, headers) for content, headers in many]

    return asyncio.run(all_of_them())
