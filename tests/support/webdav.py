"""A real WebDAV server (wsgidav on cheroot) on a folder, with ownCloud's refusals and with faults before it.

Faults are queued by method: ``("PUT", "500")``, ``"507"``, ``"401"``, ``"hang"``, ``"reset"``, ``"truncate"``, ``"flip"``.

Refused as ownCloud and Nextcloud do: names that end in ``.part`` or ``.filepart``, ``.htaccess``, names with spaces at an end
(400); bytes that differ from ``OC-Checksum`` (400); more bytes than ``largest`` (413) or than ``quota`` leaves (507); listings
of infinite depth (403). wsgidav itself answers 409 where a parent is missing and 423 where somebody holds a lock.
"""

from __future__ import annotations

import hashlib
import io
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from cheroot import wsgi
from cheroot.server import HTTPConnection
from wsgidav.wsgidav_app import WsgiDAVApp

USER, PASSWORD = "siren", "canary-password"
LARGEST, QUOTA = 1 << 30, 1 << 40
# owncloud/core, lib/private/Files/FileInfo and config.sample.php: names that the server keeps for itself
RESERVED_ENDINGS = (".part", ".filepart")
RESERVED_NAMES = {".htaccess"}
WRITES = {"PUT", "MKCOL", "MOVE", "COPY"}


@dataclass
class Server:
    """Address and folder of the server, and the requests it received."""

    url: str
    root: Path
    faults: list[tuple[str, str]] = field(default_factory=list)
    choose: Callable[[str], str] | None = None
    calls: list[tuple[str, str]] = field(default_factory=list)
    hang_s: float = 1.0
    users: dict[str, dict[str, str]] = field(default_factory=dict)
    largest: int = LARGEST
    quota: int = QUOTA

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
    users = {USER: {"password": PASSWORD}}
    app = WsgiDAVApp(
        {
            "provider_mapping": {"/": str(root)},
            "simple_dc": {"user_mapping": {"*": users}},
            "http_authenticator": {"accept_basic": True, "accept_digest": False, "default_to_digest": False},
            "verbose": 0,
            "logging": {"enable_loggers": []},
            "lock_storage": True,
            "property_manager": False,
            "dir_browser": {"enable": False},
        }
    )
    state = Server(url="", root=root, users=users)
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
        if not fault and (refused := _refusal(environ, state)):
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            status, why = refused
            body = f"<d:error xmlns:d='DAV:' xmlns:s='http://sabredav.org/ns'><s:message>{why}</s:message></d:error>"
            start_response(status, [("Content-Length", str(len(body))), ("Content-Type", "application/xml")])
            return [body.encode()]
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


def _refusal(environ: dict[str, Any], state: Server) -> tuple[str, str] | None:
    """Return the status and the reason with which ownCloud refuses a request, or None."""
    method, size = environ["REQUEST_METHOD"], int(environ.get("CONTENT_LENGTH") or 0)
    if method == "PROPFIND" and environ.get("HTTP_DEPTH", "infinity") == "infinity":
        return "403 Forbidden", "listings of infinite depth are not allowed"
    if method in WRITES and (why := _bad_name(_target(environ))):
        return "400 Bad Request", why
    if method != "PUT":
        return None
    if size > state.largest:
        return "413 Request Entity Too Large", f"at most {state.largest} bytes"
    if size > state.quota - sum(map(len, state.files().values())):
        return "507 Insufficient Storage", "the quota is used up"
    return _wrong_sum(environ, size)


def _target(environ: dict[str, Any]) -> str:
    where = environ.get("HTTP_DESTINATION", "")
    return unquote(urlsplit(where).path) if where else environ["PATH_INFO"].encode("latin-1").decode(errors="replace")


def _bad_name(path: str) -> str:
    for name in path.strip("/").split("/"):
        if name.strip() != name:
            return "names must not begin or end with spaces"
        if name.lower() in RESERVED_NAMES or name.lower().endswith(RESERVED_ENDINGS):
            return f"{name} is a reserved name"
    return ""


def _wrong_sum(environ: dict[str, Any], size: int) -> tuple[str, str] | None:
    kind, _, told = environ.get("HTTP_OC_CHECKSUM", "").partition(":")
    if not told:
        return None
    body = environ["wsgi.input"].read(size)
    environ["wsgi.input"] = io.BytesIO(body)
    if hashlib.new(kind, body, usedforsecurity=False).hexdigest() == told:
        return None
    return "400 Bad Request", "The computed checksum does not match the one received from the client."


def _spoilt(app: Any, environ: dict[str, Any], start_response: Any, fault: str) -> Any:
    """Corrupt the body of the request, or that of the answer if the request has none."""
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    if body:
        body = _spoil(body, fault, bit=1)
        environ["wsgi.input"], environ["CONTENT_LENGTH"] = io.BytesIO(body), str(len(body))
        # a server that checks no hash: ours has to find the difference
        environ.pop("HTTP_OC_CHECKSUM", None)
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
