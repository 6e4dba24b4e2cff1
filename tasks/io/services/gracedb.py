"""GraceDB's public interface: superevents by time of creation, their files, and their notices.

``superevents/`` lists events page by page, each page with a link to the next; ``superevents/<id>/files/`` lists files,
every version as ``<name>,<version>``. The notices sent to GCN are stored there as ``<id>-<type>.json``, byte for byte.
If an event has none, a notice is built from its record, newest sky map and probabilities.
(https://gracedb.ligo.org/documentation/rest.html)
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode, urljoin, urlsplit

import httpx
from astropy.time import Time

from tasks.errors import UnusableData
from tasks.io.notices import parsing, untrusted_fields
from tasks.io.services import http
from tasks.records.backfills import Span, Superevent

PAGE = 50
PAGES_LIMIT = 200
LISTING_LIMIT = 64 * 1024 * 1024
"""Largest page of a listing, in bytes: a record contains all single-detector triggers."""

# base64 turns three bytes into four, and the rest of the notice needs some space
MAP_LIMIT = parsing.SIZE_LIMIT * 3 // 4 - 65536
NOTICE_FILE = re.compile(r"-[A-Za-z_-]+\.json(?:,\d+)?$")
MAP_FILES = ("bilby.multiorder.fits", "bayestar.multiorder.fits", "cwb.multiorder.fits")
RETRACTED, CONFIRMED, SIGNIFICANT = "ADVNO", "ADVOK", frozenset({"SIGNIF_LOCKED", "ADVREQ", "ADVOK"})


class GraceDb:
    """A client of one GraceDB server.

    Parameters
    ----------
    url
        Address of the interface, such as https://gracedb.ligo.org/api/.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/") + "/"
        self.client = httpx.Client(headers={"Accept": "application/json"})

    def close(self) -> None:
        """Close the connections."""
        self.client.close()

    def created(self, span: Span) -> Iterator[Superevent]:
        """Yield the superevents created within a span, page by page."""
        words = {"query": f"created: {_moment(span.since)} .. {_moment(span.until)}", "count": PAGE, "format": "json"}
        address: str | None = f"{self.url}superevents/?{urlencode(words)}"
        for _ in range(PAGES_LIMIT):
            if address is None:
                return
            page = self._json(address, "GraceDB's list of events")
            for record in page.get("superevents") or []:
                if isinstance(record, dict) and isinstance(record.get("superevent_id"), str):
                    yield Superevent(event_id=record["superevent_id"], record=json.dumps(record))
            address = self._next(page)

    def notices(self, event: Superevent) -> Iterator[bytes]:
        """Yield all versions of an event's notices as sent, or the one built from its other files."""
        files = self._json(self._of(event, "files/"), f"the files of {event.event_id}")
        sent = versions(event.event_id, files)
        for name in sent:
            content = self._file(event, name, parsing.SIZE_LIMIT)
            if content is not None:
                yield content
        if not sent:
            yield self._built(event, files)

    def _built(self, event: Superevent, files: Mapping[str, Any]) -> bytes:
        """Build a notice from an event's record, newest sky map and probabilities; the same files give the same bytes."""
        name = next((name for name in MAP_FILES if name in files), None)
        sky_map = self._file(event, name, MAP_LIMIT) if name else None
        classes, properties = (self._table(event, files, name) for name in ("p_astro.json", "em_bright.json"))
        labels = self._json(self._of(event, "labels/"), f"the labels of {event.event_id}")
        document = as_notice(
            json.loads(event.record), labels=labels, sky_map=sky_map, classes=classes, properties=properties
        )
        return json.dumps(document, sort_keys=True).encode()

    def _table(self, event: Superevent, files: Mapping[str, Any], ending: str) -> dict[str, Any] | None:
        name = next((file for file in sorted(files) if file.endswith(ending)), None)
        return self._json(self._of(event, f"files/{quote(name)}"), f"{name} of {event.event_id}") if name else None

    def _file(self, event: Superevent, name: str, limit: int) -> bytes | None:
        address = self._of(event, f"files/{quote(name, safe=',')}")
        return http.fetch(address, what=f"{name} of {event.event_id}", limit=limit, client=self.client)

    def _of(self, event: Superevent, path: str) -> str:
        return f"{self.url}superevents/{quote(event.event_id, safe='')}/{path}"

    def _json(self, address: str, what: str) -> dict[str, Any]:
        content = http.fetch(address, what=what, limit=LISTING_LIMIT, client=self.client)
        try:
            document = json.loads(content or b"{}")
        except ValueError as error:
            raise UnusableData(f"{what} is no JSON") from error
        if not isinstance(document, dict):
            raise UnusableData(f"{what} is a {type(document).__name__}, expected an object")
        return document

    def _next(self, page: Mapping[str, Any]) -> str | None:
        """Return the next page's address; None for one on another server."""
        address = (page.get("links") or {}).get("next")
        if not isinstance(address, str):
            return None
        absolute = urljoin(self.url, address)
        return absolute if urlsplit(absolute).netloc == urlsplit(self.url).netloc else None


def versions(event_id: str, files: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the file names of an event's notices; if versions are listed, all of them."""
    notices = [name for name in files if name.startswith(event_id) and NOTICE_FILE.match(name[len(event_id) :])]
    numbered = {name.rpartition(",")[0] for name in notices if "," in name}
    return tuple(sorted(name for name in notices if name not in numbered))


def as_notice(
    record: Mapping[str, Any],
    *,
    labels: Mapping[str, Any],
    sky_map: bytes | None,
    classes: Mapping[str, Any] | None,
    properties: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Convert a superevent's record to a notice as LVK would send it.

    Parameters
    ----------
    record
        GraceDB's document of the superevent.
    labels
        Its labels with their times: the last one is the notice's time of creation.
    sky_map
        Its newest sky map.
    classes, properties
        Contents of ``p_astro.json`` and ``em_bright.json``.
    """
    named = frozenset(str(name) for name in record.get("labels") or ())
    best = record.get("preferred_event_data") or {}
    retracted = RETRACTED in named
    event = {
        "time": _utc(record.get("t_0")),
        "far": record.get("far"),
        "significant": bool(named & SIGNIFICANT),
        "instruments": [code for code in str(best.get("instruments") or "").split(",") if code],
        "group": best.get("group"),
        "pipeline": best.get("pipeline"),
        "search": best.get("search"),
        "classification": classes,
        "properties": properties,
        "duration": None,
        "central_frequency": None,
        "skymap": base64.b64encode(sky_map).decode() if sky_map else None,
    }
    return {
        "superevent_id": record["superevent_id"],
        "alert_type": "RETRACTION" if retracted else "INITIAL" if CONFIRMED in named else "PRELIMINARY",
        "time_created": _changed(record, labels),
        "urls": {"gracedb": f"https://gracedb.ligo.org/superevents/{record['superevent_id']}/view/"},
        "event": None if retracted else event,
        "external_coinc": None,
    }


def _utc(gps: Any) -> str | None:
    seconds = untrusted_fields.as_number(gps)
    return None if seconds is None else f"{Time(seconds, format='gps', precision=3).utc.isot}Z"


def _changed(record: Mapping[str, Any], labels: Mapping[str, Any]) -> str | None:
    """Return the time of the last label, or else of the event's creation."""
    listed = [label.get("created") for label in labels.get("labels") or () if isinstance(label, dict)]
    times = [time for text in [record.get("created"), *listed] if (time := _read(text)) is not None]
    return max(times).strftime("%Y-%m-%dT%H:%M:%SZ") if times else None


def _read(text: Any) -> datetime | None:
    try:
        return untrusted_fields.moment(str(text))
    except ValueError:
        return None


def _moment(time: datetime) -> str:
    """Format a time for GraceDB's search: to the second, rounded up."""
    return (time + timedelta(microseconds=999_999)).strftime("%Y-%m-%d %H:%M:%S")
