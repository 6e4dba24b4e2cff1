"""The Treasure Map's interface: completed pointings of observatories for an event, with their footprints.

``pointings`` returns a list of objects with ``position`` (``POINT (ra dec)``, degrees), ``instrumentid``, ``pos_angle``
(degrees, north to east), ``status``; ``footprints`` returns the polygons of an instrument around its pointing
(``POLYGON ((x y, ...))``, degrees); ``instruments`` its name. (https://treasuremap.space/documentation)
"""

from __future__ import annotations

import json
import logging
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import requests

from tasks.errors import Unavailable, UnusableData
from tasks.io.notices import untrusted_fields
from tasks.records.plans import Corners, Observed

log = logging.getLogger(__name__)

TIMEOUT_S = 20.0
SIZE_LIMIT = 32 * 1024 * 1024
POINTINGS_LIMIT = 20_000
NUMBER = r"([-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)"
POINT = re.compile(rf"POINT\s*\(\s*{NUMBER}\s+{NUMBER}\s*\)", re.IGNORECASE)
PAIR = re.compile(rf"{NUMBER}\s+{NUMBER}")
POLYGON = re.compile(r"POLYGON\s*\(\(([^()]*)\)", re.IGNORECASE)


def completed(session: requests.Session, url: str, event_id: str) -> tuple[Observed, ...]:
    """Return the completed pointings of an event, by instrument and position angle; those without footprint are left out.

    Parameters
    ----------
    session
        A session that sends the token.
    url
        Address of the interface.
    event_id
        LVK's name of the event.

    Raises
    ------
    Unavailable
        If the Treasure Map does not answer.
    UnusableData
        If it refuses, or its answer does not follow its documentation.
    """
    groups: dict[tuple[str, float], list[tuple[float, float]]] = {}
    listed = _get(session, f"{url}/pointings", graceid=event_id, status="completed")
    for pointing in listed[:POINTINGS_LIMIT]:
        if (place := _place(pointing.get("position"))) is not None and pointing.get("instrumentid") is not None:
            turn_deg = untrusted_fields.as_number(pointing.get("pos_angle")) or 0.0
            groups.setdefault((str(pointing["instrumentid"]), turn_deg), []).append(place)
    shapes = {instrument: _footprint(session, url, instrument) for instrument, _ in groups}
    names = {instrument: _name(session, url, instrument) for instrument in shapes}
    observed = [
        Observed(
            by=f"{names[instrument]} (Treasure Map)",
            centres_deg=tuple(places),
            footprint=tuple(_turned(corners, turn_deg) for corners in shapes[instrument]),
        )
        for (instrument, turn_deg), places in groups.items()
    ]
    for group in observed:
        if not group.footprint:
            log.warning("%s: no footprint, %d pointings left out", group.by, len(group.centres_deg))
    return tuple(group for group in observed if group.footprint)


def _get(session: requests.Session, address: str, **words: str) -> list[Mapping[str, Any]]:
    try:
        with session.get(address, params=words, timeout=TIMEOUT_S, stream=True) as answer:
            if answer.status_code >= 500 or answer.status_code == 429:
                raise Unavailable(f"the Treasure Map answers {answer.status_code}")
            if not answer.ok:
                raise UnusableData(f"the Treasure Map refuses: {answer.status_code}")
            content = answer.raw.read(SIZE_LIMIT + 1, decode_content=True)
    except requests.RequestException as error:
        # the error's text contains the address, and the address the token
        raise Unavailable(f"the Treasure Map does not answer: {type(error).__name__}") from None
    return _listed(content)


def _listed(content: bytes) -> list[Mapping[str, Any]]:
    """Parse a list of objects; older answers are a JSON text that contains it."""
    try:
        document = json.loads(content)
        document = json.loads(document) if isinstance(document, str) else document
    except ValueError as error:
        raise UnusableData("the Treasure Map's answer is no JSON") from error
    if not isinstance(document, list):
        raise UnusableData(f"the Treasure Map answers a {type(document).__name__}, expected a list")
    return [json.loads(each) if isinstance(each, str) else each for each in document]


def _footprint(session: requests.Session, url: str, instrument: str) -> tuple[Corners, ...]:
    texts = [str(each.get("footprint")) for each in _get(session, f"{url}/footprints", id=instrument)]
    return tuple(corners for text in texts for corners in _polygons(text))


def _polygons(text: str) -> Iterator[Corners]:
    for ring in POLYGON.findall(text):
        corners = tuple((float(x), float(y)) for x, y in PAIR.findall(ring))
        # the last corner repeats the first
        corners = corners[:-1] if len(corners) > 1 and corners[0] == corners[-1] else corners
        if len(corners) >= 3:
            yield corners


def _name(session: requests.Session, url: str, instrument: str) -> str:
    listed = _get(session, f"{url}/instruments", id=instrument)
    named = [str(each.get("nickname") or each.get("instrument_name") or "") for each in listed]
    return untrusted_fields.clean(next(filter(None, named), f"instrument {instrument}"))[:40]


def _place(text: Any) -> tuple[float, float] | None:
    match = POINT.search(str(text))
    if match is None or abs(float(match[2])) > 90:
        return None
    return float(match[1]) % 360, float(match[2])


def _turned(corners: Corners, angle_deg: float) -> Corners:
    """Rotate a footprint from north towards east; x is east."""
    sine, cosine = math.sin(math.radians(angle_deg)), math.cos(math.radians(angle_deg))
    return tuple((x * cosine + y * sine, y * cosine - x * sine) for x, y in corners)
