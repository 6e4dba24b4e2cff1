"""A stand-in for Slack's Socket Mode: opens a WebSocket, delivers envelopes, times their acknowledgement."""

from __future__ import annotations

import json
import logging
import queue
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from websockets.sync.server import ServerConnection, serve

from support import slack

TICKET = "canary-ticket"


class Gateway:
    """One connection, with its envelopes and acknowledgements."""

    def __init__(self) -> None:
        self.connected: queue.Queue[ServerConnection] = queue.Queue()
        self.heard: queue.Queue[dict[str, Any]] = queue.Queue()
        self.connection: ServerConnection | None = None
        self.count = 0

    def hear(self, connection: ServerConnection) -> None:
        connection.send(json.dumps({"type": "hello"}))
        self.connected.put(connection)
        for message in connection:
            self.heard.put(json.loads(message))

    def deliver(self, payload: dict[str, Any]) -> float:
        """Deliver a payload; return the seconds until it was acknowledged."""
        if self.connection is None:
            self.connection = self.connected.get(timeout=10)
        self.count += 1
        envelope = {"type": "interactive", "envelope_id": f"envelope-{self.count}", "payload": payload}
        begun = time.monotonic()
        self.connection.send(json.dumps(envelope))
        assert self.heard.get(timeout=10)["envelope_id"] == envelope["envelope_id"]
        return time.monotonic() - begun


@contextmanager
def gateway(workspace: slack.Workspace) -> Iterator[Gateway]:
    state = Gateway()
    # the stand-in must not write into our log
    elsewhere = logging.Logger("stand-in")  # noqa: LOG001 - a logger without the handlers of the tests
    with serve(state.hear, "127.0.0.1", 0, logger=elsewhere) as server:
        port = server.socket.getsockname()[1]
        workspace.socket_url = f"ws://127.0.0.1:{port}/link?ticket={TICKET}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield state
        server.shutdown()
        thread.join()
