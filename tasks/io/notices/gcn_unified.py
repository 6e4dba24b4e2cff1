"""Notices in GCN's unified schema: Fermi GBM, Einstein Probe, SVOM, Swift GUANO, IceCube and other missions."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from tasks import constants
from tasks.errors import UnusableData
from tasks.io.notices import untrusted_fields
from tasks.io.notices.untrusted_fields import Fields
from tasks.records import Kind, MapRole, Notice, ParsedNotice
from tasks.records.missions import MISSIONS, SMALLEST_ERROR_DEG

TEST_TENSES = frozenset({"test", "injection"})
HEARTBEAT_KEYS = frozenset({"$schema", "alert_datetime"})
SCHEMA = re.compile(r"/notices/(.+)$")
# keys with a field of their own in the record, or too large to keep as text
TAKEN = frozenset(
    {
        "mission", "instrument", "record_number", "alert_datetime", "alert_tense", "alert_type", "id", "trigger_time",
        "ra", "dec", "containment_probability", "healpix_url", "healpix_file", "rate_snr", "image_snr", "far",
        "classification", "properties", "subtype", "slew_status", "follow_up_event", "ref_ID", "data_archive_page",
    }
)  # fmt: skip
# names as in the details of VOEvents
UNITS = {"galactic_l": "galactic_l_deg", "galactic_b": "galactic_b_deg", "sun_distance": "sun_distance_deg"}


def is_heartbeat(document: Fields, *, topic: str | None) -> bool:
    """Return whether a document is GCN's heartbeat, sent each second: only a schema and a time."""
    schema = document.content.get("$schema")
    named = isinstance(schema, str) and "heartbeat" in schema
    return named or topic == "gcn.heartbeat" or set(document.content) == HEARTBEAT_KEYS


def parse(document: Fields, *, topic: str | None) -> ParsedNotice:
    """Parse a notice in which every key is optional."""
    # an id of 0 is none
    ids = tuple(untrusted_fields.identifier(text) for text in document.texts("id") if text.strip("0"))
    tense = (document.text("alert_tense") or "current").lower()
    alert_type = (document.text("alert_type") or "initial").upper()
    sky_map = document.sky_map("healpix_file")
    notice = Notice(
        kind=Kind.GRB,
        mission=_mission(document, topic=topic),
        event_id=ids[0] if ids else _unnamed(document),
        ids=ids,
        alert_type=alert_type,
        time_created=document.moment("alert_datetime"),
        time=document.moment("trigger_time"),
        test=tense in TEST_TENSES or untrusted_fields.is_test_topic(topic),
        retraction=alert_type == "RETRACTION",
        topic=topic,
        classification=document.probabilities("classification"),
        properties=document.probabilities("properties"),
        far_hz=document.number("far", low=0),
        instrument=", ".join(document.texts("instrument")) or None,
        record_number=document.integer("record_number"),
        subtype=document.text("subtype"),
        alert_tense=tense,
        **_place(document),
        rate_snr=document.number("rate_snr"),
        image_snr=document.number("image_snr"),
        duration_trigger_s=_first(document, "rate_duration", "image_duration"),
        energy_kev=_energies(document),
        slew_status=document.text("slew_status"),
        follow_up_event=document.text("follow_up_event") or document.text("ref_ID"),
        urls=_urls(document),
        details=_details(document),
        remarks=tuple(document.remarks),
    )
    return ParsedNotice(notice=notice, maps={} if sky_map is None else {MapRole.HEALPIX: sky_map})


def _mission(document: Fields, *, topic: str | None) -> str:
    """Return the mission: as stated, else from the schema's path, else from the topic."""
    stated = document.texts("mission")
    if stated:
        return ", ".join(stated)
    schema = SCHEMA.search(document.text("$schema") or "")
    word = schema[1].split("/")[0] if schema else (topic or "").removeprefix("gcn.notices.").split(".")[0]
    name = word.removesuffix(".schema.json").lower()
    return MISSIONS.get(name, name.replace("_", " ").title()) or "unknown"


def _unnamed(document: Fields) -> str:
    """Return a name for an event without id: its name, the event it follows, or its time."""
    name = document.texts("event_name")[:1] or document.texts("ref_ID")[:1]
    if name:
        return untrusted_fields.identifier(name[0])
    time = document.moment("trigger_time") or document.moment("alert_datetime")
    if time is None:
        raise UnusableData("the notice has neither id, event_name, ref_ID nor a time to identify its event by")
    return time.strftime("%Y%m%dT%H%M%S")


def _place(document: Fields) -> dict[str, Any]:
    """Return the fields of the position and its error."""
    (ra_deg, dec_deg), (error_deg, containment) = _position(document), _error(document)
    return {"ra_deg": ra_deg, "dec_deg": dec_deg, "error_deg": error_deg, "containment": containment}


def _position(document: Fields) -> tuple[float | None, float | None]:
    """Return right ascension and declination, both or neither."""
    ra_deg = document.number("ra", low=-360, high=360)
    dec_deg = document.number("dec", low=-90, high=90)
    if ra_deg is None or dec_deg is None:
        return None, None
    return ra_deg % 360, dec_deg


def _error(document: Fields) -> tuple[float | None, float | None]:
    """Return error radius and the probability inside.

    For an ellipse (two axes and an angle) it is the longer axis, for a box the distance of its farthest corner: the circle
    then holds at least the stated probability.
    """
    numbers = [number for number in document.numbers("ra_dec_error")[:2] if number >= 0]
    radius = max(numbers) if numbers else _farthest_corner(document)
    if radius is None:
        return None, None
    if radius == 0:
        document.remark("ra_dec_error", "0, taken as 1 arcsec")
    containment = document.number("containment_probability", low=0, high=1) or constants.USUAL_CONTAINMENT
    return max(radius, SMALLEST_ERROR_DEG), containment


def _farthest_corner(document: Fields) -> float | None:
    """Return the distance of the farthest corner of an error box from the position, in degrees."""
    (ra_deg, dec_deg), corners = _position(document), document.content.get("rectangular_error_corners")
    if ra_deg is None or dec_deg is None or corners is None:
        return None
    pairs = [untrusted_fields.as_pair(corner) for corner in corners] if isinstance(corners, list) else []
    good = [pair for pair in pairs if pair is not None]
    if not good or len(good) < len(pairs):
        document.remark("rectangular_error_corners", "not a list of right ascensions and declinations")
        return None
    from astropy.coordinates import angular_separation  # noqa: PLC0415 - slow start-up, and few notices have a box

    return max(math.degrees(angular_separation(*map(math.radians, (ra_deg, dec_deg, *pair)))) for pair in good)


def _first(document: Fields, *keys: str) -> float | None:
    numbers = (document.number(key) for key in keys)
    return next((number for number in numbers if number is not None), None)


def _energies(document: Fields) -> tuple[float, float] | None:
    for key in ("rate_energy_range", "image_energy_range"):
        bounds = document.numbers(key)
        if len(bounds) == 2:
            return bounds[0], bounds[1]
    return None


def _urls(document: Fields) -> dict[str, str]:
    addresses = {
        key.removesuffix("_url"): document.text(key)
        for key in document.content
        if key.endswith("_url") or key == "data_archive_page"
    }
    return {name: address for name, address in addresses.items() if address is not None}


def _details(document: Fields) -> dict[str, str]:
    """Return every other key as text, for display."""
    rest = {key: value for key, value in document.content.items() if key not in TAKEN and not key.endswith("_url")}
    if "ra_dec_error" in document:
        rest.setdefault("systematic_included", False)
    return {
        UNITS.get(key, untrusted_fields.clean(key)[:80]): _as_text(value)
        for key, value in rest.items()
        if value is not None
    }


def _as_text(value: object) -> str:
    text = json.dumps(value) if isinstance(value, list | Mapping | bool) else str(value)
    return untrusted_fields.clean(text)[: untrusted_fields.TEXT_LIMIT]
