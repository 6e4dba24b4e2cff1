"""A token endpoint as GCN's: client credentials in, a short-lived bearer token out."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs

from support import stand_in


@dataclass(kw_only=True)
class Server:
    """Client credentials, lifetime of a token in s, and the requests received."""

    url: str = ""
    client_id: str = "an-id"
    client_secret: str = "a-secret"
    lifetime_s: float = 60.0
    given: list[float] = field(default_factory=list)
    refused: int = 0

    def token(self, authorization: str, body: str) -> str | None:
        """Return an unsigned token, or None if the credentials are wrong."""
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
    """Run an endpoint while the block runs."""
    held = Server()

    def answer(_target: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        token = held.token(headers.get("Authorization") or "", body.decode())
        granted = {"access_token": token, "token_type": "Bearer", "expires_in": int(held.lifetime_s)}
        return (200, json.dumps(granted).encode()) if token else (401, b'{"error": "invalid_client"}')

    with stand_in.serving(answer) as address:
        held.url = f"{address}/oauth2/token"
        yield held
