"""GCN's classic text notices: lines of ``KEY: value``, as sent by e-mail and on the topics ``gcn.classic.text``.

The ids are those of the same event's VOEvents, so that both roads lead to one event. Keys and units:
https://gcn.gsfc.nasa.gov/fermi.html, /swift.html and /amon.html.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from tasks import constants
from tasks.errors import UnusableData
from tasks.io.notices import untrusted_fields
from tasks.io.notices.untrusted_fields import Fields
from tasks.records import Kind, Notice, ParsedNotice
from tasks.records.missions import CONTAINMENTS, PACKETS, SMALLEST_ERROR_DEG, UNKNOWN_PACKET, Packet

START = b"TITLE:"
SIZE_LIMIT = 64 * 1024
"""Largest text in bytes; real ones have two or three thousand."""

LINE = re.compile(r"^([A-Z0-9][A-Za-z0-9_]*):[ \t]*(.*)$")
NUMBER = re.compile(r"^\s*([-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)")
UNIT = re.compile(r"\[([a-z%^*/\-0-9]+)")
DEGREES = {"deg": 1.0, "arcmin": 1 / 60, "arcsec": 1 / 3600}
PERCENT_CLASS = re.compile(r"(\d{1,3})%\s+([A-Z][A-Z0-9_]*)")
CONTAINMENT = re.compile(r"(\d{2})% containment")
CLOCK = re.compile(r"\{(\d{2}):(\d{2}):(\d{2}(?:\.\d*)?)\}")
DAY = re.compile(r"(\d{2})/(\d{2})/(\d{2})")
NOTICE_DATE = re.compile(r"^[A-Za-z]{3} (\d{1,2}) ([A-Za-z]{3}) (\d{2}) (\d{2}:\d{2}:\d{2}) UT")
MISSIONS = {
    "SWIFT": "Swift",
    "FERMI": "Fermi",
    "INTEGRAL": "INTEGRAL",
    "MAXI": "MAXI",
    "CALET": "CALET",
    "SNEWS": "SNEWS",
}
# AMON sends for those that the type names
AMON = {"icecube": "IceCube", "hawc": "HAWC"}
# words of the notice type, in the order of their precedence
TYPES = (
    ("fermi-gbm flight", 111),
    ("fermi-gbm ground", 112),
    ("fermi-gbm final", 115),
    ("fermi-gbm alert", 110),
    ("fermi-lat", 121),
    ("swift-bat", 61),
    ("swift-xrt", 67),
    ("swift-uvot", 81),
    ("icecube astrotrack gold", 173),
    ("icecube astrotrack bronze", 174),
    ("icecube cascade", 176),
    ("icecube hese", 158),
    ("icecube ehe", 169),
)
# position and time are those of a burst, of a source, or of the start of an image
PLACES, TIMES = ("GRB", "SRC", "EVENT", "LOC"), ("GRB", "DISCOVERY", "EVENT")
DETAILS = {
    "SIGNALNESS": "signalness",
    "ENERGY": "neutrino_energy_tev",
    "REVISION": "revision",
    "SUN_DIST": "sun_distance_deg",
    "MOON_DIST": "moon_distance_deg",
    "MOON_ILLUM": "moon_illumination_percent",
    "HARD_RATIO": "hardness_ratio",
}


def parse(payload: bytes, *, topic: str | None = None) -> ParsedNotice:
    """Parse a text notice; raises ``UnusableData`` if it is too large, no such text, or names no event."""
    document = Fields(content=_lines(payload))
    kind = document.text("NOTICE_TYPE") or ""
    packet = _packet(kind)
    event_id = _event_id(document)
    revision = _integer(document, "REVISION")
    retraction = "retract" in kind.lower()
    place = _place(document, packet.instrument)
    notice = Notice(
        kind=Kind.GRB,
        mission=_mission(document, kind),
        event_id=event_id,
        ids=(event_id,),
        alert_type="RETRACTION" if retraction else "UPDATE" if revision else packet.alert_type,
        time_created=_created(document),
        time=_time(document),
        test="test" in kind.lower() or packet.test or untrusted_fields.is_test_topic(topic),
        retraction=retraction,
        topic=topic,
        classification=_classification(document),
        far_hz=_rate_hz(document),
        instrument=packet.instrument,
        packet_type=next((number for number, known in PACKETS.items() if known is packet), None),
        record_number=_integer(document, "RECORD_NUM"),
        subtype=packet.subtype or kind or None,
        **place,
        rate_snr=_first(document, "DATA_SIGNIF", "TRIGGER_SIGNIF", "RATE_SIGNIF", "BURST_SIGNIF"),
        image_snr=_first(document, "IMAGE_SIGNIF"),
        magnitude=_first(document, "GRB_MAG"),
        details=_details(document),
        remarks=tuple(document.remarks),
    )
    return ParsedNotice(notice=notice)


def _lines(payload: bytes) -> dict[str, str]:
    """Return the first value of each key; a line without a key continues nothing that is used here."""
    if len(payload) > SIZE_LIMIT:
        raise UnusableData(f"a text notice of {len(payload)} bytes; at most {SIZE_LIMIT} are allowed")
    try:
        text = payload.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UnusableData("the text notice is not in UTF-8") from error
    values: dict[str, str] = {}
    for line in text.splitlines():
        found = LINE.match(line)
        if found:
            values.setdefault(found[1], untrusted_fields.clean(found[2])[: untrusted_fields.TEXT_LIMIT])
    if "NOTICE_TYPE" not in values:
        raise UnusableData("a text with TITLE but without NOTICE_TYPE is no notice of GCN")
    return values


def _packet(kind: str) -> Packet:
    number = next((number for words, number in TYPES if words in kind.lower()), 0)
    return PACKETS.get(number, UNKNOWN_PACKET)


def _event_id(document: Fields) -> str:
    """Return the id as VOEvents give it: IceCube's is run and event number, others' the trigger number. 0 is none."""
    run, number = _integer(document, "RUN_NUM"), _integer(document, "EVENT_NUM")
    if run and number:
        return untrusted_fields.identifier(f"{run}_{number}")
    trigger = next((found for key in ("TRIGGER_NUM", "EVENT_ID_NUM") if (found := _integer(document, key))), None)
    if not trigger:
        raise UnusableData("the text notice has neither TRIGGER_NUM nor RUN_NUM and EVENT_NUM to identify its event by")
    return untrusted_fields.identifier(str(trigger))


def _mission(document: Fields, kind: str) -> str:
    title = re.search(r"GCN/([A-Za-z]+)", document.text("TITLE") or "")
    sender = title[1].upper() if title else ""
    stream = next((name for word, name in AMON.items() if kind.lower().startswith(word)), None)
    return stream or MISSIONS.get(sender, sender.title()) or "unknown"


def _place(document: Fields, instrument: str | None) -> dict[str, Any]:
    """Return the fields of the J2000 position and its error radius; a position of 0, 0 without error is none."""
    nothing = dict.fromkeys(("ra_deg", "dec_deg", "error_deg", "containment"))
    prefix = next((prefix for prefix in PLACES if f"{prefix}_RA" in document), None)
    if prefix is None:
        return nothing
    ra_deg, dec_deg = (_limited(document, f"{prefix}_{axis}", limit) for axis, limit in (("RA", 360), ("DEC", 90)))
    error = document.text(f"{prefix}_ERROR") or ""
    error_deg = _in_degrees(document, f"{prefix}_ERROR", error)
    if ra_deg is None or dec_deg is None or (ra_deg == dec_deg == 0 and not error_deg):
        return nothing
    stated = CONTAINMENT.search(error)
    containment = int(stated[1]) / 100 if stated else CONTAINMENTS.get(instrument or "")
    return {
        "ra_deg": ra_deg % 360,
        "dec_deg": dec_deg,
        "error_deg": error_deg if error_deg is None else max(error_deg, SMALLEST_ERROR_DEG),
        "containment": None if error_deg is None else containment,
    }


def _limited(document: Fields, key: str, limit: float) -> float | None:
    number = _number(document, key)
    if number is None or abs(number) > limit:
        document.remark(key, f"got {(document.text(key) or '')[: untrusted_fields.SHOWN]!r}, expected degrees")
        return None
    return number


def _in_degrees(document: Fields, key: str, text: str) -> float | None:
    number, unit = _number(document, key), UNIT.search(text)
    if number is None or number < 0 or unit is None or unit[1] not in DEGREES:
        return None
    return number * DEGREES[unit[1]]


def _number(document: Fields, key: str) -> float | None:
    found = NUMBER.match(document.text(key) or "") if key in document else None
    return untrusted_fields.as_number(found[1]) if found else None


def _integer(document: Fields, key: str) -> int | None:
    number = _number(document, key)
    return None if number is None else int(number)


def _first(document: Fields, *keys: str) -> float | None:
    return next((number for key in keys if (number := _number(document, key)) is not None), None)


def _classification(document: Fields) -> Mapping[str, float] | None:
    """Return what Fermi's flight software takes a trigger for, with probabilities."""
    found = (
        PERCENT_CLASS.search(document.text(key) or "") for key in ("MOST_LIKELY", "2nd_MOST_LIKELY") if key in document
    )
    return {each[2]: int(each[1]) / 100 for each in found if each and 0 < int(each[1]) <= 100} or None


def _rate_hz(document: Fields) -> float | None:
    """Return a false-alarm rate in Hz; AMON states it per year."""
    rate = _number(document, "FAR")
    return None if rate is None or rate < 0 else rate / constants.JULIAN_YEAR_S


def _time(document: Fields) -> datetime | None:
    """Return T0 from the day, ``yy/mm/dd``, and the time of day in braces, or else the seconds of the day."""
    prefix = next((prefix for prefix in TIMES if f"{prefix}_DATE" in document), None)
    if prefix is None:
        return None
    day, time = document.text(f"{prefix}_DATE") or "", document.text(f"{prefix}_TIME") or ""
    date, clock, seconds = DAY.search(day), CLOCK.search(time), NUMBER.match(time)
    if date is None or (clock is None and seconds is None):
        document.remark(f"{prefix}_DATE", f"got {day[: untrusted_fields.SHOWN]!r}, expected yy/mm/dd and a time")
        return None
    try:
        passed = (
            timedelta(hours=int(clock[1]), minutes=int(clock[2]), seconds=float(clock[3]))
            if clock
            else timedelta(seconds=float(seconds[1]) if seconds else 0)
        )
        return datetime(2000 + int(date[1]), int(date[2]), int(date[3]), tzinfo=UTC) + passed
    except (ValueError, OverflowError):
        document.remark(f"{prefix}_DATE", f"got {day[: untrusted_fields.SHOWN]!r}, no day of the calendar")
        return None


def _created(document: Fields) -> datetime | None:
    text = document.text("NOTICE_DATE") or ""
    found = NOTICE_DATE.match(text)
    try:
        if found:
            return datetime.strptime(" ".join(found.groups()), "%d %b %y %H:%M:%S").replace(tzinfo=UTC)
    except ValueError:
        pass
    document.remark(
        "NOTICE_DATE", f"got {text[: untrusted_fields.SHOWN]!r}, expected a date such as Fri 12 Apr 24 05:34:35 UT"
    )
    return None


def _details(document: Fields) -> dict[str, str]:
    """Return other values as text, for display."""
    found = {name: NUMBER.match(document.text(key) or "") for key, name in DETAILS.items() if key in document}
    details = {name: number[1] for name, number in found.items() if number}
    comment = document.text("COMMENTS") if "COMMENTS" in document else None
    return {**details, "comment": comment} if comment else details
