"""HTTP endpoint for Slack's requests: checks signature, age and repetition, and answers before any work is done."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs

import uvicorn
from slack_sdk.signature import Clock, SignatureVerifier
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from tasks.errors import MissingPart, UnusableData

log = logging.getLogger(__name__)

# a payload contains the message of the pressed button: at most 50 blocks of 3000 characters, percent-encoded
BODY_LIMIT = 2 * 1024 * 1024
BODY_S = 5.0
# Slack's own rule: https://docs.slack.dev/authentication/verifying-requests-from-slack
FRESH_S = 300
SIGNATURE = re.compile(r"v0=[0-9a-f]{64}")
TIMESTAMP = re.compile(r"[0-9]{1,12}")
FORM = "application/x-www-form-urlencoded"
MOST_CONNECTIONS = 64


class Refused(Exception):
    """A refused request; ``status`` is the answer, the reason goes only into our log."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class SignatureCheck:
    """Accepts a request once, if Slack signed it within the last five minutes.

    Parameters
    ----------
    secret
        The app's signing secret; it has no default and must not be empty.
    clock
        Gives the time; replaced in tests.
    """

    def __init__(self, secret: str, clock: Clock | None = None) -> None:
        if not secret.strip():
            raise MissingPart("set SIREN_SLACK_SIGNING_SECRET: without it, anybody could press the buttons")
        self.clock = clock or Clock()
        self.verifier = SignatureVerifier(secret, self.clock)
        self.seen: OrderedDict[str, float] = OrderedDict()
        self.lock = threading.Lock()

    def verify(self, body: bytes, *, timestamp: str, signature: str) -> str:
        """Return the text of a valid request.

        Raises
        ------
        Refused
            With the status of the answer; its text contains no signature.
        """
        if not TIMESTAMP.fullmatch(timestamp) or not SIGNATURE.fullmatch(signature):
            raise Refused(400, "timestamp or signature is missing or malformed")
        try:
            text = body.decode()
        except UnicodeDecodeError as error:
            raise Refused(400, "the body is not UTF-8") from error
        if not self.verifier.is_valid(body=text, timestamp=timestamp, signature=signature):
            raise Refused(401, "the signature is wrong or older than five minutes")
        if not self._is_new(signature):
            raise Refused(409, "the same request was received before")
        return text

    def _is_new(self, signature: str) -> bool:
        """Return whether a signature is new; remember it while its timestamp may be valid."""
        moment = self.clock.now()
        with self.lock:
            while self.seen and next(iter(self.seen.values())) < moment - 2 * FRESH_S:
                self.seen.popitem(last=False)
            new = signature not in self.seen
            self.seen.setdefault(signature, moment)
        return new


def application(check: SignatureCheck, take: Callable[[Mapping[str, Any]], object]) -> Starlette:
    """Return the web application: ``POST /slack/actions`` and ``GET /health``.

    Parameters
    ----------
    check
        Checks the signature of requests.
    take
        Accepts a payload and returns at once; raises ``UnusableData`` if it is not a press of a button.
    """

    async def actions(request: Request) -> Response:
        try:
            take(_payload(check.verify(await _body(request), **_signed(request))))
        except Refused as refusal:
            log.warning("request refused: %s", refusal)
            return PlainTextResponse("refused", status_code=refusal.status)
        except UnusableData as error:
            log.warning("unusable request: %s", error)
            return PlainTextResponse("refused", status_code=400)
        # an empty answer closes a window and leaves a message as it is
        return Response(status_code=200)

    async def health(_: Request) -> Response:
        return PlainTextResponse("ok")

    return Starlette(routes=[Route("/slack/actions", actions, methods=["POST"]), Route("/health", health)])


def serve(app: Starlette, *, host: str, port: int, stop: threading.Event) -> None:
    """Answer requests until stopped."""
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            host=host,
            port=port,
            log_config=None,
            access_log=False,
            ws="none",
            lifespan="off",
            server_header=False,
            limit_concurrency=MOST_CONNECTIONS,
            timeout_graceful_shutdown=5,
        )
    )
    watcher = threading.Thread(target=_stop_with, args=(server, stop), daemon=True)
    watcher.start()
    server.run()
    stop.set()
    watcher.join()


def _stop_with(server: uvicorn.Server, stop: threading.Event) -> None:
    stop.wait()
    server.should_exit = True


async def _body(request: Request) -> bytes:
    """Read a body within limits of size and time."""
    if not request.headers.get("content-type", "").startswith(FORM):
        raise Refused(415, "not a form")
    try:
        async with asyncio.timeout(BODY_S):
            return await _read(request)
    except TimeoutError as error:
        raise Refused(408, "the body was not received in time") from error
    except ClientDisconnect as error:
        raise Refused(400, "the connection broke off") from error


async def _read(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_LIMIT:
            raise Refused(413, f"a body of more than {BODY_LIMIT} bytes")
    return bytes(body)


def _signed(request: Request) -> dict[str, str]:
    headers = request.headers
    return {
        "timestamp": headers.get("x-slack-request-timestamp", ""),
        "signature": headers.get("x-slack-signature", ""),
    }


def _payload(text: str) -> Mapping[str, Any]:
    try:
        [content] = parse_qs(text, max_num_fields=10, strict_parsing=True).get("payload", [""])
        payload = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UnusableData("the form contains no JSON payload") from error
    if not isinstance(payload, dict):
        raise UnusableData("the payload is not an object")
    return payload
