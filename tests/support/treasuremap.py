"""The Treasure Map on this machine: pointings, footprints and instruments behind a token."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from support import stand_in

TOKEN = "a-token-of-the-treasure-map"
SQUARE = "POLYGON ((-1 -1, 1 -1, 1 1, -1 1, -1 -1))"


@dataclass(kw_only=True)
class Server:
    """Contents of the server; a ``status`` other than 200 is its answer to every request."""

    url: str = ""
    status: int = 200
    pointings: list[dict[str, Any]] = field(default_factory=list)
    footprints: dict[str, str] = field(default_factory=lambda: {"10": SQUARE})
    asked: list[str] = field(default_factory=list)

    def point(self, ra_deg: float, dec_deg: float, **more: Any) -> None:
        place = {"position": f"POINT ({ra_deg} {dec_deg})", "instrumentid": 10, "pos_angle": 0.0, "status": "completed"}
        self.pointings.append({**place, **more})

    def answer(self, target: str) -> tuple[int, Any]:
        query = {key: value[0] for key, value in parse_qs(urlsplit(target).query).items()}
        if query.get("api_token") != TOKEN:
            return 401, "invalid token"
        if self.status != 200:
            return self.status, []
        what = urlsplit(target).path.rsplit("/", 1)[-1]
        if what == "pointings":
            return 200, [each for each in self.pointings if each["status"] == query["status"]]
        found = self.footprints.get(query["id"])
        if what == "footprints":
            return 200, [] if found is None else [{"footprint": found, "instrumentid": int(query["id"])}]
        return 200, [{"id": int(query["id"]), "instrument_name": "A camera", "nickname": "CAM"}]


@contextmanager
def server() -> Iterator[Server]:
    """Run a server while the block runs."""
    held = Server()

    def answer(target: str, _headers: dict[str, str], _body: bytes) -> tuple[int, bytes]:
        held.asked.append(target)
        status, document = held.answer(target)
        return status, json.dumps(document).encode()

    with stand_in.serving(answer) as address:
        held.url = f"{address}/api/v1"
        yield held
