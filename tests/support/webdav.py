"""A real WebDAV server (wsgidav on cheroot) on a folder, with faults put between the wire and the server.

Faults are queued by method: ``("PUT", "500")``, ``"507"``, ``"401"``, ``"hang"``, ``"reset"``, ``"truncate"``, ``"flip"``.
"""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cheroot import wsgi
from cheroot.server import HTTPConnection
from wsgidav.wsgidav_app import WsgiDAVApp

USER, PASSWORD = "siren", "canary-password"


@dataclass
class Server:
    """Address and folder of the server, and the requests it received."""

    url: str
    root: Path
    faults: list[tuple[str, str]] = field(default_factory=list)
    choose: Callable[[str], str] | None = None
    calls: list[tuple[str, str]] = field(default_factory=list)
    hang_s: float = 1.0

    def fault(self, method: str) -> str:
        if self.choose is not None:
            return self.choose(method)
        for number, (on, what) in enumerate(self.faults):
            if on == method:
                del self.faults[number]
                return what
        return ""

    def files(self) -> dict[str, bytes]:
        found = (path for path in self.root.rglob("*") if path.is_file())
        return {path.relative_to(self.root).as_posix(): path.read_bytes() for path in found}


class Connection(HTTPConnection):
    """A connection that drops data it cannot send, because a killed client does not read it."""

    def close(self) -> None:
        super().close()
        self.wfile._write_buf.clear()


@contextmanager
def server(root: Path) -> Iterator[Server]:
    root.mkdir(parents=True, exist_ok=True)
    app = WsgiDAVApp(
        {
            "provider_mapping": {"/": str(root)},
            "simple_dc": {"user_mapping": {"*": {USER: {"password": PASSWORD}}}},
            "http_authenticator": {"accept_basic": True, "accept_digest": False, "default_to_digest": False},
            "verbose": 0,
            "logging": {"enable_loggers": []},
            "lock_storage": True,
            "property_manager": False,
            "dir_browser": {"enable": False},
        }
    )
    state = Server(url="", root=root)
    http = wsgi.Server(("127.0.0.1", 0), _with_faults(app, state), numthreads=4, shutdown_timeout=1)
    http.ConnectionClass = Connection
    http.error_log = lambda *_, **__: None
    http.prepare()
    state.url = f"http://127.0.0.1:{http.bind_addr[1]}"
    thread = threading.Thread(target=http.serve, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        http.stop()
        thread.join()


def _with_faults(app: Any, state: Server) -> Callable[..., Any]:
    def answer(environ: dict[str, Any], start_response: Any) -> Any:
        method = environ["REQUEST_METHOD"]
        state.calls.append((method, environ["PATH_INFO"]))
        fault = state.fault(method)
        if not fault:
            return app(environ, start_response)
        if fault in ("truncate", "flip"):
            return _spoilt(app, environ, start_response, fault)
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        if fault == "hang":
            time.sleep(state.hang_s)
        if fault in ("hang", "reset"):
            raise ConnectionResetError("the line was cut")
        start_response(f"{fault} Trouble", [("Content-Length", "0")])
        return [b""]

    return answer


def _spoilt(app: Any, environ: dict[str, Any], start_response: Any, fault: str) -> Any:
    """Corrupt the body of the request, or that of the answer if the request has none."""
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    if body:
        body = _spoil(body, fault, bit=1)
        environ["wsgi.input"], environ["CONTENT_LENGTH"] = io.BytesIO(body), str(len(body))
        return app(environ, start_response)
    answer = app(environ, start_response)
    if environ["REQUEST_METHOD"] != "GET":
        return answer
    content = b"".join(answer)
    # a different bit than in a request's body, so that the two corruptions cannot cancel
    return [_spoil(content, fault, bit=2)]


def _spoil(body: bytes, fault: str, *, bit: int) -> bytes:
    if not body:
        return body
    return body[: len(body) // 2] if fault == "truncate" else bytes([*body[:-1], body[-1] ^ bit])
