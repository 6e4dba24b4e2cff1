"""A server of the BAT team's pages that answers as a test tells it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PAGES = Path(__file__).parents[1] / "io" / "services" / "bat_pages"
COMPLETE, EARLY = (PAGES / "bat_complete.html").read_bytes(), (PAGES / "bat_early.html").read_bytes()


class Pages(BaseHTTPRequestHandler):
    """Answers in their order, a page or a status, and the paths that were asked for."""

    answers: list[bytes | int]
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        answer = self.answers.pop(0)
        content = answer if isinstance(answer, bytes) else b""
        self.send_response(200 if content else answer)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def site() -> Iterator[tuple[type[Pages], str]]:
    """Serve; give what answers, and the address of a page with ``{id}`` for the burst's number."""
    handler = type("Handler", (Pages,), {"answers": [], "asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield handler, f"http://127.0.0.1:{server.server_address[1]}/BATbursts/{{id}}/bascript/top.html"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
