"""A stand-in for GraceDB's public API: paged listings, file versions, labels, and failures."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

from support import stand_in


@dataclass(kw_only=True)
class Server:
    """Contents of the server, and the requests it received."""

    url: str = ""
    page: int = 3
    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    labels: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    faults: list[int] = field(default_factory=list)
    """Statuses of the next answers, in order; 0 means no failure."""

    def add(self, name: str, *, created: str, files: dict[str, bytes] | None = None, **record: Any) -> None:
        """Add an event, in GraceDB's form."""
        self.records[name] = {
            "superevent_id": name,
            "category": "Production",
            "created": created,
            "t_0": 1452551433.5,
            "far": 1e-10,
            "labels": ["GCN_PRELIM_SENT", "SIGNIF_LOCKED"],
            "preferred_event_data": {
                "group": "CBC", "pipeline": "gstlal", "search": "AllSky", "instruments": "H1,L1",
            },
            "links": {"files": f"{self.url}superevents/{name}/files/"},
            **record,
        }  # fmt: skip
        self.files[name] = files or {}

    def answer(self, target: str) -> tuple[int, bytes]:
        if self.faults and (fault := self.faults.pop(0)):
            return fault, b"busy"
        path, query = urlsplit(target).path, parse_qs(urlsplit(target).query)
        parts = [unquote(part) for part in path.removeprefix("/api/").strip("/").split("/")]
        if parts == ["superevents"]:
            return 200, json.dumps(self._listed(query)).encode()
        if len(parts) >= 3 and parts[0] == "superevents" and parts[1] in self.records:
            return self._of(parts[1], parts[2:])
        return 404, b"{}"

    def _listed(self, query: dict[str, list[str]]) -> dict[str, Any]:
        since, until = (read(text) for text in query["query"][0].removeprefix("created: ").split(" .. "))
        found = [each for each in self.records.values() if since <= read(each["created"]) <= until]
        start = int(query.get("start", ["0"])[0])
        more = {"query": query["query"][0], "start": start + self.page, "count": self.page, "format": "json"}
        links = {"next": f"{self.url}superevents/?{urlencode(more)}"} if start + self.page < len(found) else {}
        return {"numRows": len(found), "superevents": found[start : start + self.page], "links": links}

    def _of(self, name: str, parts: list[str]) -> tuple[int, bytes]:
        files = self.files[name]
        if parts == ["files"]:
            return 200, json.dumps({each: f"{self.url}superevents/{name}/files/{each}" for each in files}).encode()
        if parts == ["labels"]:
            return 200, json.dumps({"labels": self.labels.get(name, [])}).encode()
        return (200, files[parts[1]]) if parts[0] == "files" and parts[1] in files else (404, b"{}")


def read(text: str) -> datetime:
    return datetime.fromisoformat(text.removesuffix(" UTC").strip()).replace(tzinfo=UTC)


@contextmanager
def server() -> Iterator[Server]:
    """Run a server while the block runs."""
    held = Server()

    def answer(target: str, _headers: dict[str, str], _body: bytes) -> tuple[int, bytes]:
        held.asked.append(target)
        return held.answer(target)

    with stand_in.serving(answer) as address:
        held.url = f"{address}/api/"
        yield held
