"""The Treasure Map on this machine: pointings, footprints and instruments behind a token."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "a-token-of-the-treasure-map"
SQUARE = "POLYGON ((-1 -1, 1 -1, 1 1, -1 1, -1 -1))"


@dataclass(kw_only=True)
class Server:
    """What the server holds; ``status`` other than 200 is its answer to everything."""

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
    """Run a server for the length of a block."""
    held = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            held.asked.append(self.path)
            status, document = held.answer(self.path)
            content = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args: object) -> None:
            pass

    web = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    held.url = f"http://127.0.0.1:{web.server_address[1]}/api/v1"
    thread = threading.Thread(target=web.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield held
    finally:
        web.shutdown()
        web.server_close()
        thread.join()
