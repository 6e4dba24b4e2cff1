"""Sky maps by address: only servers that the operator named are asked, and none of them for long."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tasks.errors import Unavailable, UnusableData
from tasks.io.services import sky_map_servers

MAP = b"SIMPLE  = " + b"m" * 4000


class Server(BaseHTTPRequestHandler):
    """Sends a map, a redirection, an endless or a slow answer, by the path."""

    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if self.path.startswith("/to/"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/to/"))
            self.end_headers()
            return
        if self.path == "/missing":
            self.send_error(404)
            return
        self.send_response(200)
        self.end_headers()
        for _ in range(1 if self.path == "/map" else 10_000):
            try:
                self.wfile.write(MAP)
                time.sleep(0.1 if self.path == "/slow" else 0)
            except OSError:
                return

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def serve() -> Iterator[Callable[[], tuple[str, list[str]]]]:
    started: list[ThreadingHTTPServer] = []

    def start() -> tuple[str, list[str]]:
        handler = type("Handler", (Server,), {"asked": []})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        started.append(server)
        return f"127.0.0.1:{server.server_address[1]}", handler.asked

    yield start
    for server in started:
        server.shutdown()
        server.server_close()


def test_a_map_of_an_allowed_server_is_fetched_through_a_redirection(serve) -> None:
    server, asked = serve()
    assert sky_map_servers.fetch(f"http://{server}/map", [server]) == MAP
    assert sky_map_servers.fetch(f"http://{server}/missing", [server]) is None
    assert sky_map_servers.fetch(f"http://{server}/to//map", [server]) == MAP
    assert asked == ["/map", "/missing", "/to//map", "/map"]


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("http://127.0.0.1/map", "none of the allowed servers"),
        ("http://169.254.169.254/latest/meta-data", "none of the allowed servers"),
        ("http://[::1]:8000/map", "none of the allowed servers"),
        ("http://localhost/map", "not public"),
        ("https://localhost/map", "not public"),
        ("file:///etc/passwd", "expected http or https"),
        ("ftp://localhost/map", "expected http or https"),
        ("http://user:secret@localhost/map", "without a user"),
        ("http://localhost:6443/map", "none of the allowed servers"),
        ("no address", "expected http or https"),
        ("http://", "expected http or https"),
    ],
)
def test_no_other_address_is_asked(address: str, reason: str) -> None:
    """Kind: an address in a notice makes the machine ask its own network (localhost is allowed by name here)."""
    with pytest.raises(UnusableData, match=reason) as refused:
        sky_map_servers.fetch(address, ["localhost", "heasarc.gsfc.nasa.gov"])
    assert "secret" not in str(refused.value)


def test_a_redirection_leads_to_no_other_server(serve) -> None:
    (server, asked), (other, never) = serve(), serve()
    with pytest.raises(UnusableData, match="none of the allowed servers"):
        sky_map_servers.fetch(f"http://{server}/to/http://{other}/map", [server])
    with pytest.raises(UnusableData, match="not public"):
        sky_map_servers.fetch(f"http://{server}/to/http://localhost/map", [server, "localhost"])
    with pytest.raises(Unavailable, match="TooManyRedirects"):
        sky_map_servers.fetch(f"http://{server}/to//to//to//to//map", [server])
    assert len(asked) == 6
    assert never == []


def test_an_answer_without_end_or_a_slow_one_is_left(serve, monkeypatch) -> None:
    server, _ = serve()
    monkeypatch.setattr(sky_map_servers, "SIZE_LIMIT", 1_000_000)
    with pytest.raises(UnusableData, match="longer than 1000000 bytes"):
        sky_map_servers.fetch(f"http://{server}/endless", [server])
    started = time.monotonic()
    with pytest.raises(Unavailable, match="too slow"):
        sky_map_servers.fetch(f"http://{server}/slow", [server], time_limit_s=0.5)
    assert time.monotonic() - started < 5
    with pytest.raises(Unavailable, match="does not answer"):
        sky_map_servers.fetch("http://127.0.0.1:9/map", ["127.0.0.1:9"])


@pytest.mark.parametrize(
    ("text", "servers"),
    [("-", ("-",)), ("", ()), ("A.org, b.org:8080", ("a.org", "b.org:8080")), ("a.org b.org", ("a.org", "b.org"))],
)
def test_a_list_of_servers_is_parsed(text: str, servers: tuple[str, ...]) -> None:
    assert sky_map_servers.parse_list(text) == servers
