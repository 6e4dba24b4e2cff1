"""Parsing of notices: bytes → :class:`ParsedNotice`.

The format is detected from the bytes; the topic only helps to identify mission and tests. Bytes that are no notice
raise :class:`UnusableData`. Smaller faults (an unknown word, a field of the wrong type, a broken map) become remarks on
the notice, so that an unusual event is announced rather than lost.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, NoReturn

import orjson

from tasks.errors import UnusableData
from tasks.io.notices import classic_text, gcn_unified, lvk, voevents
from tasks.io.notices.untrusted_fields import Fields
from tasks.records import ParsedNotice

SIZE_LIMIT = 4 * 1024 * 1024
"""Largest notice in bytes: the broker's limit."""

DEPTH_LIMIT = 64
EXPONENT_LIMIT = 1023
"""Largest exponent of a float: a longer integer is not a finite number."""

GCN_KEYS = frozenset({"$schema", "mission", "instrument", "id", "event_name", "trigger_time", "alert_datetime"})


def read(path: Path) -> bytes:
    """Read a notice's bytes, at most one over the limit; raises ``UnusableData`` if the file cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(SIZE_LIMIT + 1)
    except OSError as error:
        raise UnusableData(f"the notice {path} cannot be read: {error.strerror}") from error


def parse(payload: bytes, *, topic: str | None = None) -> ParsedNotice:
    """Parse one notice.

    Raises
    ------
    UnusableData
        If the bytes are no notice: neither JSON, VOEvent nor GCN's classic text, over the limits, without id, or a heartbeat.
    """
    if len(payload) > SIZE_LIMIT:
        raise UnusableData(f"a notice of {len(payload)} bytes; at most {SIZE_LIMIT} are allowed")
    start = payload.removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith(b"<"):
        return voevents.parse(start, topic=topic)
    if start.startswith(b"{"):
        return _parse_json(start, topic=topic)
    if start.startswith(classic_text.START):
        return classic_text.parse(start, topic=topic)
    raise UnusableData(f"neither a JSON object, XML nor a text of GCN: the notice starts with {start[:20]!r}")


def _parse_json(payload: bytes, *, topic: str | None) -> ParsedNotice:
    document = Fields(content=load_json(payload))
    if "superevent_id" in document:
        return lvk.parse(document, topic=topic)
    if gcn_unified.is_heartbeat(document, topic=topic):
        raise UnusableData("heartbeat, not an alert")
    if GCN_KEYS & document.content.keys():
        return gcn_unified.parse(document, topic=topic)
    raise UnusableData("a JSON object with neither superevent_id nor any key of GCN's schema")


def load_json(payload: bytes) -> dict[str, Any]:
    """Read a JSON object within the limits on depth and numbers.

    Raises
    ------
    UnusableData
        If it is not JSON in UTF-8, not an object, nested too deeply, or holds a number that is not finite.
    """
    try:
        document = _parse_strictly(payload)
    except RecursionError as error:
        raise UnusableData(f"JSON nested deeper than {DEPTH_LIMIT} levels") from error
    except ValueError as error:
        raise UnusableData(f"not JSON: {str(error)[:200]}") from error
    if not isinstance(document, dict):
        raise UnusableData(f"JSON of type {type(document).__name__}, expected an object")
    _check(document)
    return document


def _parse_strictly(payload: bytes) -> Any:
    """Read JSON with orjson; what it refuses, such as lone surrogates, is read by the standard library."""
    try:
        return orjson.loads(payload)
    except ValueError:
        return json.loads(payload.decode("utf-8"), parse_constant=_refuse_constant)


def _refuse_constant(word: str) -> NoReturn:
    raise UnusableData(f"the number {word} is not finite")


def _check(document: dict[str, Any]) -> None:
    """Check a document level by level; refuse deep nesting and numbers that are not finite."""
    level: list[Any] = [document]
    for _ in range(DEPTH_LIMIT):
        inner: list[Any] = []
        for container in level:
            for value in container.values() if isinstance(container, dict) else container:
                if isinstance(value, dict | list):
                    inner.append(value)
                elif not _is_finite(value):
                    raise UnusableData("a number in the notice is not finite")
        if not inner:
            return
        level = inner
    raise UnusableData(f"JSON nested deeper than {DEPTH_LIMIT} levels")


def _is_finite(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return not isinstance(value, int) or value.bit_length() <= EXPONENT_LIMIT
