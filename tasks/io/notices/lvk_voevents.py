"""Gravitational-wave notices of LIGO, Virgo and KAGRA as VOEvents, the classic form of the JSON notices."""

from __future__ import annotations

from tasks.errors import UnusableData
from tasks.io.notices import lvk, untrusted_fields
from tasks.io.notices.untrusted_fields import Fields
from tasks.io.notices.voevent_xml import Document
from tasks.records import Coincidence, Kind, Notice, ParsedNotice

AUTHORITIES = ("ivo://gwnet/", "ivo://nasa.gsfc.gcn/LVC")
ID = "GraceID"
# parameters of the group that describes a coincident trigger
EXTERNAL = "External_Observatory"


def is_one(event: Document) -> bool:
    """Return whether a VOEvent is about a gravitational-wave event."""
    return ID in event.params or (event.ivorn or "").startswith(AUTHORITIES)


def parse(event: Document, *, topic: str | None) -> ParsedNotice:
    """Parse a VOEvent of a gravitational-wave event; its sky map is a link, not in the notice.

    Raises
    ------
    UnusableData
        If it does not name its event.
    """
    top, params = event.top, event.params
    name = params.text(ID)
    if not name:
        raise UnusableData(f"the VOEvent of a gravitational-wave event has no {ID} to identify its event by")
    event_id = untrusted_fields.identifier(name)
    alert_type = (top.text("AlertType") or "UNKNOWN").upper()
    retraction = alert_type == lvk.RETRACTION or "retraction" in event.attribute("cite", "Citations", "EventIVORN")
    notice = Notice(
        kind=Kind.GW,
        mission=lvk.MISSION,
        event_id=event_id,
        ids=(event_id,),
        alert_type=lvk.RETRACTION if retraction else lvk.SPELLINGS.get(alert_type, alert_type),
        time_created=event.fields_at("Who").moment("Date"),
        time=event.fields_at("*", "TimeInstant").moment("ISOTime"),
        test=lvk.is_test_id(event_id) or event.role == "test" or untrusted_fields.is_test_topic(topic),
        retraction=retraction,
        significant=None if retraction else _significant(top),
        topic=topic,
        classification=_probabilities(event, "Classification"),
        properties=_probabilities(event, "Properties"),
        instruments=lvk.codes(top.texts("Instruments")),
        far_hz=top.number("FAR", low=0),
        group=top.text("Group"),
        pipeline=top.text("Pipeline"),
        search=top.text("Search"),
        duration_s=params.number("Duration", low=0),
        central_frequency_hz=params.number("CentralFreq", low=0),
        coincidence=_coincidence(params),
        urls=_urls(params),
        packet_type=top.integer("Packet_Type"),
        record_number=top.integer("Pkt_Ser_Num"),
        role=event.role,
        ivorn=event.ivorn,
        remarks=tuple(event.remarks),
    )
    return ParsedNotice(notice=notice)


def _significant(top: Fields) -> bool | None:
    """Return whether an event is significant; before 2023 each open alert was, and said nothing of it."""
    if "Significant" in top:
        return bool(top.integer("Significant"))
    return True if top.integer("OpenAlert") == 1 else None


def _probabilities(event: Document, group: str) -> dict[str, float] | None:
    fields = event.groups.get(group)
    numbers = {} if fields is None else {name: fields.number(name, low=0, high=1) for name in fields.content}
    return {name: value for name, value in numbers.items() if value is not None} or None


def _coincidence(params: Fields) -> Coincidence | None:
    if EXTERNAL not in params:
        return None
    return Coincidence(
        observatory=params.text(EXTERNAL),
        search=params.text("External_Search"),
        time_difference_s=params.number("Time_Difference"),
        time_coincidence_far_hz=params.number("Time_Coincidence_FAR", low=0),
        time_sky_coincidence_far_hz=params.number("Time_Sky_Position_Coincidence_FAR", low=0),
        gcn_notice_id=params.text("External_GCN_Notice_Id"),
        ivorn=params.text("External_Ivorn"),
    )


def _urls(params: Fields) -> dict[str, str]:
    links = {"gracedb": params.text("EventPage"), "skymap": params.text("skymap_fits")}
    return {name: address for name, address in links.items() if address and address.startswith("https://")}
