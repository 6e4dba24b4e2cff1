"""A stand-in for Slack that is as strict as Slack: token, content type, limits of blocks, rate limits.

Faults are queued: ``429:2`` (Retry-After 2 s), ``500``, ``html`` (an error page), ``lost`` (does the work, then drops the
connection), ``drop`` (drops the connection without doing it), ``error:channel_not_found``.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

TOKEN = "xoxb-canary-token"
CHANNELS = {"C-GW", "C-GRB", "C-TEST", "C-OPS", "C-LOW"}


@dataclass
class Workspace:
    """State of the stand-in: the messages and files it received."""

    url: str = ""
    messages: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    socket_url: str = ""
    views: list[dict[str, Any]] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    pace_s: float = 0.0
    """Time after which a channel takes one more post; ``burst`` are taken at once. Beyond: quiet for ``wait_s``."""
    burst: int = 1
    wait_s: float = 1.0
    full: dict[str, float] = field(default_factory=dict)
    refused: int = 0
    quiet_until: float = 0.0
    disobeyed: int = 0
    slow_pictures: int = 0
    """Number of messages with a picture that are refused because the picture is not processed yet."""
    counter: int = 0
    lock: Any = field(default_factory=threading.Lock)

    def thread(self, ts: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message["ts"] == ts or message.get("thread_ts") == ts]

    def texts(self, channel: str = "C-GW") -> list[str]:
        return [message["text"] for message in self.messages if message["channel"] == channel]


@contextmanager
def workspace() -> Iterator[Workspace]:
    state = Workspace()
    server = Server(("127.0.0.1", 0), Handler)
    server.state = state
    state.url = f"http://127.0.0.1:{server.server_address[1]}/api/"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Server(ThreadingHTTPServer):
    daemon_threads = True
    state: Workspace


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: object) -> None:
        pass

    def do_POST(self) -> None:
        state = self.server.state
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path.startswith("/upload/"):
            state.files[self.path.rsplit("/", 1)[1]]["content"] = raw
            self.answer(200, b"OK")
            return
        with state.lock:
            self.call(self.path.rsplit("/", 1)[1], raw)

    def call(self, method: str, raw: bytes) -> None:
        state = self.server.state
        state.calls.append(method)
        state.disobeyed += time.monotonic() < state.quiet_until
        fault = state.faults.pop(0) if state.faults else self.haste(method, raw)
        if fault.startswith("429"):
            wait_s = float(fault.partition(":")[2] or 1)
            state.quiet_until = time.monotonic() + wait_s
            state.refused += 1
            self.answer(429, b'{"ok": false, "error": "ratelimited"}', {"Retry-After": f"{wait_s:g}"})
        elif fault == "500":
            self.answer(500, b'{"ok": false, "error": "internal_error"}')
        elif fault == "html":
            self.answer(503, b"<html>upstream is away</html>", kind="text/html")
        elif fault == "drop":
            self.hang_up()
        else:
            words = fault.partition(":")[2]
            answer = {"ok": False, "error": words} if words else respond(state, method, self.body(raw), self.headers)
            if fault == "lost":
                self.hang_up()
            else:
                self.answer(200, json.dumps(answer).encode())

    def haste(self, method: str, raw: bytes) -> str:
        """Refuse a post too soon after the last one to its channel."""
        state = self.server.state
        if not state.pace_s or method != "chat.postMessage":
            return ""
        channel, moment = str((self.body(raw) or {}).get("channel")), time.monotonic()
        # the time at which the accepted posts are processed
        full = max(state.full.get(channel, moment), moment)
        if full > moment + (state.burst - 1) * state.pace_s:
            return f"429:{state.wait_s:g}"
        state.full[channel] = full + state.pace_s
        return ""

    def hang_up(self) -> None:
        self.close_connection = True
        self.connection.close()

    def body(self, raw: bytes) -> dict[str, Any] | None:
        kind = self.headers.get("Content-Type", "").split(";")[0]
        if kind == "application/json":
            return json.loads(raw or b"{}")
        if kind == "application/x-www-form-urlencoded":
            return {key: values[0] for key, values in parse_qs(raw.decode(), strict_parsing=bool(raw)).items()}
        return None

    def answer(
        self, status: int, content: bytes, headers: dict[str, str] | None = None, kind: str = "application/json"
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


def respond(state: Workspace, method: str, body: dict[str, Any] | None, headers: Any) -> dict[str, Any]:
    if method == "apps.connections.open":
        known = headers.get("Authorization", "").startswith("Bearer xapp-") and state.socket_url
        return {"ok": True, "url": state.socket_url} if known else {"ok": False, "error": "invalid_auth"}
    if headers.get("Authorization") != f"Bearer {TOKEN}":
        return {"ok": False, "error": "invalid_auth"}
    if body is None:
        return {"ok": False, "error": "invalid_post_type"}
    if trouble := block_trouble(body.get("blocks")) or picture_trouble(state, body.get("blocks")):
        return {"ok": False, "error": "invalid_blocks", "response_metadata": {"messages": [trouble]}}
    methods = {
        "chat.postMessage": _post,
        "chat.update": _update,
        "conversations.history": _history,
        "conversations.replies": _replies,
        "views.open": _open_view,
        "files.getUploadURLExternal": _upload_url,
        "files.completeUploadExternal": _complete,
    }
    return methods[method](state, body) if method in methods else {"ok": False, "error": "unknown_method"}


def block_trouble(blocks: Any) -> str:
    """Return which of Slack's documented limits a list of blocks exceeds."""
    blocks = json.loads(blocks) if isinstance(blocks, str) else blocks or []
    if len(blocks) > 50:
        return "more than 50 blocks"
    return next((block["type"] for block in blocks if not LIMITS.get(block["type"], lambda _: False)(block)), "")


def picture_trouble(state: Workspace, blocks: Any) -> str:
    """Return the picture that Slack does not have, or has not processed yet."""
    blocks = json.loads(blocks) if isinstance(blocks, str) else blocks or []
    wanted = [block["accessory"]["slack_file"]["id"] for block in blocks if "accessory" in block]
    if wanted and state.slow_pictures > 0:
        state.slow_pictures -= 1
        return "invalid slack file [json-pointer:/blocks/1/accessory/slack_file]"
    return next((f"invalid slack file {name}" for name in wanted if not state.files.get(name, {}).get("shared")), "")


def _accessory_fits(block: dict[str, Any]) -> bool:
    image = block.get("accessory")
    return image is None or (
        image["type"] == "image"
        and 1 <= len(image["alt_text"]) <= 2000
        and re.fullmatch(r"F[A-Z0-9]{8,}", image["slack_file"]["id"]) is not None
    )


def _header_fits(block: dict[str, Any]) -> bool:
    return block["text"]["type"] == "plain_text" and 1 <= len(block["text"]["text"]) <= 150


def _section_fits(block: dict[str, Any]) -> bool:
    if not _accessory_fits(block):
        return False
    if "fields" not in block:
        return 1 <= len(block["text"]["text"]) <= 3000
    return 1 <= len(block["fields"]) <= 10 and all(1 <= len(entry["text"]) <= 2000 for entry in block["fields"])


def _context_fits(block: dict[str, Any]) -> bool:
    return 1 <= len(block["elements"]) <= 10 and all(entry["text"] for entry in block["elements"])


def _actions_fit(block: dict[str, Any]) -> bool:
    return 1 <= len(block["elements"]) <= 25 and all(_button_fits(entry) for entry in block["elements"])


def _button_fits(entry: dict[str, Any]) -> bool:
    question = entry.get("confirm")
    return (
        1 <= len(entry["text"]["text"]) <= 75
        and 1 <= len(entry["action_id"]) <= 255
        and len(entry["value"]) <= 2000
        and entry.get("style", "primary") in ("primary", "danger")
        and (question is None or _question_fits(question))
    )


def _question_fits(question: dict[str, Any]) -> bool:
    limits = {"title": 100, "text": 300, "confirm": 30, "deny": 30}
    return all(1 <= len(question[key]["text"]) <= limit for key, limit in limits.items())


LIMITS = {
    "header": _header_fits,
    "section": _section_fits,
    "context": _context_fits,
    "actions": _actions_fit,
    "divider": lambda _: True,
}


def _post(state: Workspace, body: dict[str, Any]) -> dict[str, Any]:
    # a user's id is the channel of direct messages to that user
    if body.get("channel") not in CHANNELS and not str(body.get("channel")).startswith("U"):
        return {"ok": False, "error": "channel_not_found"}
    if not body.get("text") and not body.get("blocks"):
        return {"ok": False, "error": "no_text"}
    thread = body.get("thread_ts")
    if thread is not None and not any(message["ts"] == thread for message in state.messages):
        return {"ok": False, "error": "thread_not_found"}
    state.counter += 1
    blocks = body.get("blocks") or []
    message = {
        "ts": f"1700000000.{state.counter:06d}",
        "channel": body["channel"],
        "text": body.get("text", ""),
        "blocks": json.loads(blocks) if isinstance(blocks, str) else blocks,
        "metadata": body.get("metadata"),
        "thread_ts": thread,
        "broadcast": bool(body.get("reply_broadcast")),
        "edits": 0,
    }
    state.messages.append(message)
    return {"ok": True, "channel": body["channel"], "ts": message["ts"], "message": message}


def _update(state: Workspace, body: dict[str, Any]) -> dict[str, Any]:
    for message in state.messages:
        if (message["channel"], message["ts"]) == (body.get("channel"), body.get("ts")):
            blocks = body.get("blocks") or []
            message["text"] = body.get("text", "")
            message["blocks"] = json.loads(blocks) if isinstance(blocks, str) else blocks
            message["edits"] += 1
            return {"ok": True, "channel": body["channel"], "ts": body["ts"], "text": message["text"]}
    return {"ok": False, "error": "message_not_found"}


def _history(state: Workspace, body: dict[str, Any]) -> dict[str, Any]:
    found = [m for m in state.messages if m["channel"] == body["channel"] and m["thread_ts"] is None]
    return {"ok": True, "messages": [_shown(m, body) for m in reversed(found)][: int(body.get("limit", 100))]}


def _replies(state: Workspace, body: dict[str, Any]) -> dict[str, Any]:
    return {"ok": True, "messages": [_shown(message, body) for message in state.thread(body["ts"])]}


def _shown(message: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
    hidden = () if str(body.get("include_all_metadata")) in ("1", "True", "true") else ("metadata",)
    return {key: value for key, value in message.items() if key not in hidden and value is not None}


def _open_view(state: Workspace, body: dict[str, Any]) -> dict[str, Any]:
    view = json.loads(body["view"]) if isinstance(body["view"], str) else body["view"]
    if not body.get("trigger_id") or len(view["title"]["text"]) > 24 or not view["blocks"]:
        return {"ok": False, "error": "invalid_arguments"}
    state.views.append({"trigger_id": body["trigger_id"], **view})
    return {"ok": True, "view": view}


def _upload_url(state: Workspace, body: dict[str, Any]) -> dict[str, Any]:
    name = f"F{len(state.files):08d}"
    state.files[name] = {"name": body["filename"], "length": int(body["length"])}
    return {"ok": True, "upload_url": state.url.replace("/api/", f"/upload/{name}"), "file_id": name}


def _complete(state: Workspace, body: dict[str, Any]) -> dict[str, Any]:
    files = json.loads(body["files"]) if isinstance(body["files"], str) else body["files"]
    for entry in files:
        held = state.files[entry["id"]]
        if len(held.get("content", b"")) != held["length"]:
            return {"ok": False, "error": "file_upload_size_restricted"}
        posted = _post(
            state, {"channel": body["channel_id"], "text": entry["title"], "thread_ts": body.get("thread_ts")}
        )
        held["shared"] = True
        posted["message"]["files"] = [{"id": entry["id"], "name": held["name"]}]
    return {"ok": True, "files": [{"id": entry["id"], "title": entry["title"]} for entry in files]}
