"""A token endpoint as GCN's: client credentials in, a short-lived bearer token out."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs


@dataclass(kw_only=True)
class Server:
    """Who may have a token, how long it lives, and what was asked."""

    url: str = ""
    client_id: str = "an-id"
    client_secret: str = "a-secret"
    lifetime_s: float = 60.0
    given: list[float] = field(default_factory=list)
    refused: int = 0

    def token(self, authorization: str, body: str) -> str | None:
        """Return an unsigned token, or None for who does not prove to be the client."""
        kind, _, secret = authorization.partition(" ")
        expected = f"{self.client_id}:{self.client_secret}"
        known = kind == "Basic" and base64.b64decode(secret).decode() == expected
        if not known or parse_qs(body).get("grant_type") != ["client_credentials"]:
            self.refused += 1
            return None
        now = time.time()
        self.given.append(now)
        claims = {"sub": self.client_id, "iat": int(now), "exp": int(now + self.lifetime_s)}
        return f"{_part({'alg': 'none'})}.{_part(claims)}."


def _part(content: dict[str, object]) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


@contextmanager
def server() -> Iterator[Server]:
    """Run an endpoint for the length of a block."""
    held = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            token = held.token(self.headers.get("Authorization") or "", body)
            answer = {"access_token": token, "token_type": "Bearer", "expires_in": int(held.lifetime_s)}
            content = json.dumps(answer if token else {"error": "invalid_client"}).encode()
            self.send_response(200 if token else 401)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args: object) -> None:
            pass

    web = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    held.url = f"http://127.0.0.1:{web.server_address[1]}/oauth2/token"
    thread = threading.Thread(target=web.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield held
    finally:
        web.shutdown()
        web.server_close()
        thread.join()
