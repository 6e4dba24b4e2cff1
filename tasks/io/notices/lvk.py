"""Gravitational-wave notices of LIGO, Virgo and KAGRA in JSON."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tasks.errors import UnusableData
from tasks.io.notices import untrusted_fields
from tasks.io.notices.untrusted_fields import Fields
from tasks.records import Coincidence, Kind, MapRole, Notice, ParsedNotice

MISSION = "LVK"
RETRACTION = "RETRACTION"
KNOWN_TYPES = frozenset({"EARLYWARNING", "PRELIMINARY", "INITIAL", "UPDATE", RETRACTION})
# the schema's text and its examples use different spellings
SPELLINGS = {"EARLY_WARNING": "EARLYWARNING", "EARLY-WARNING": "EARLYWARNING", "EARLY WARNING": "EARLYWARNING"}
REAL_ID = re.compile(r"S\d")
TEST_ID = re.compile(r"(?:MS|TS|M|T)\d")


def parse(document: Fields, *, topic: str | None) -> ParsedNotice:
    """Parse a notice with a ``superevent_id``; ``event`` may be null, as in every retraction."""
    event = document.object("event") or Fields(content={}, remarks=document.remarks, path="event.")
    coincidence = document.object("external_coinc")
    maps = _maps(event, coincidence)
    event_id = _event_id(document)
    alert_type = _alert_type(document)
    if alert_type != RETRACTION and not event.content:
        document.remark("event", "absent, so nothing is known of the event")
    notice = Notice(
        kind=Kind.GW,
        mission=MISSION,
        event_id=event_id,
        ids=(event_id,),
        alert_type=alert_type,
        time_created=document.moment("time_created"),
        time=event.moment("time"),
        test=is_test_id(event_id) or untrusted_fields.is_test_topic(topic),
        retraction=alert_type == RETRACTION,
        significant=event.flag("significant"),
        topic=topic,
        classification=event.probabilities("classification"),
        properties=event.probabilities("properties"),
        instruments=codes(event.texts("instruments")),
        far_hz=event.number("far", low=0),
        group=event.text("group"),
        pipeline=event.text("pipeline"),
        search=event.text("search"),
        duration_s=event.number("duration", low=0),
        central_frequency_hz=event.number("central_frequency", low=0),
        coincidence=_coincidence(coincidence),
        urls=_urls(document),
        remarks=tuple(document.remarks),
    )
    return ParsedNotice(notice=notice, maps=maps)


def _event_id(document: Fields) -> str:
    value = document.content["superevent_id"]
    if not isinstance(value, str) or not value.strip():
        raise UnusableData("superevent_id is not a text, so the notice cannot be assigned to an event")
    event_id = untrusted_fields.identifier(value)
    if not REAL_ID.match(event_id) and not TEST_ID.match(event_id):
        document.remark(
            "superevent_id",
            f"{event_id[: untrusted_fields.SHOWN]!r} is neither real (S), mock (MS, M) nor test (TS, T)",
        )
    return event_id


def _alert_type(document: Fields) -> str:
    word = (document.text("alert_type") or "UNKNOWN").upper()
    word = SPELLINGS.get(word, word)
    if word not in KNOWN_TYPES:
        document.remark("alert_type", f"{word[: untrusted_fields.SHOWN]!r} is an unknown type")
    return word


def is_test_id(event_id: str) -> bool:
    """Return whether an id is that of a mock or test event."""
    return bool(TEST_ID.match(event_id))


def codes(texts: Sequence[str]) -> tuple[str, ...] | None:
    """Return the detectors' codes, known or not; a text with several is split at commas."""
    found = [code.strip() for text in texts for code in text.split(",")]
    return tuple(code for code in found if code) or None


def _coincidence(section: Fields | None) -> Coincidence | None:
    if section is None:
        return None
    return Coincidence(
        observatory=section.text("observatory"),
        search=section.text("search"),
        time_difference_s=section.number("time_difference"),
        time_coincidence_far_hz=section.number("time_coincidence_far", low=0),
        time_sky_coincidence_far_hz=section.number("time_sky_position_coincidence_far", low=0),
        gcn_notice_id=section.text("gcn_notice_id"),
        ivorn=section.text("ivorn"),
    )


def _urls(document: Fields) -> dict[str, str]:
    section = document.object("urls")
    if section is None:
        return {}
    urls = {untrusted_fields.clean(name): section.text(name) for name in section.content}
    return {name: address for name, address in urls.items() if address is not None}


def _maps(event: Fields, coincidence: Fields | None) -> dict[MapRole, bytes]:
    maps = {
        MapRole.GW: event.sky_map("skymap"),
        MapRole.COMBINED: coincidence.sky_map("combined_skymap") if coincidence else None,
    }
    return {role: content for role, content in maps.items() if content is not None}
