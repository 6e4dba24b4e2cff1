"""VOEvents as notices: Swift, SVOM, Fermi's classic ones, and any other in VOEvent 2.0."""

from __future__ import annotations

import re
from datetime import datetime

from tasks.errors import UnusableData
from tasks.io.notices import untrusted_fields, voevent_xml
from tasks.io.notices.untrusted_fields import Fields
from tasks.io.notices.voevent_xml import Document
from tasks.records import Kind, Notice, ParsedNotice
from tasks.records.missions import CONTAINMENTS, PACKETS, UNKNOWN_PACKET

FAINTEST_MAG = 50.0
"""A larger magnitude is in hundredths, as in the classic packets; no source is that faint."""

MISSIONS = {"swift": "Swift", "fermi": "Fermi", "svom": "SVOM", "integral": "INTEGRAL", "maxi": "MAXI"}
GROUND_FLAGS = "Misc_Flags"
"""Group of flags on the processing of a Swift notice, not on the source."""


DETAILS = {
    "Galactic_Long": "galactic_l_deg",
    "Galactic_Lon": "galactic_l_deg",
    "Galactic_Lat": "galactic_b_deg",
    "Sun_Distance": "sun_distance_deg",
    "Sun_Angle": "sun_distance_deg",
    "MOON_Distance": "moon_distance_deg",
    "Moon_Angle": "moon_distance_deg",
    "Moon_Illum": "moon_illumination_percent",
    "Notice_Level": "notice_level",
    "Trigger_Type": "trigger_type",
    "Time_Window_Start": "time_window_start",
    "Time_Window_End": "time_window_end",
    "Mean_Flux": "mean_flux",
    "Quality_Factor": "quality_factor",
    "Slew_Reason": "slew_reason",
    "Hardness_Ratio": "hardness_ratio",
    "Most_Likely_Index": "most_likely_index",
    "Most_Likely_Prob": "most_likely_probability",
}


def parse(payload: bytes, *, topic: str | None = None) -> ParsedNotice:
    """Parse a VOEvent; raises ``UnusableData`` if it is none, or names no event."""
    event = voevent_xml.read(payload)
    packet = PACKETS.get(event.top.integer("Packet_Type") or 0, UNKNOWN_PACKET)
    name, suffix = _ivorn_parts(event.ivorn)
    instrument = event.params.text("Instrument") or packet.instrument or name
    ra_deg, dec_deg, error_deg = _position(event)
    rate_snr, image_snr = _significance(event.params)
    retraction = "retraction" in event.attribute("cite", "Citations", "EventIVORN")
    flags = event.true_params(but=GROUND_FLAGS)
    notice = Notice(
        kind=Kind.GRB,
        mission=_mission(event.ivorn, topic=topic),
        event_id=_event_id(event),
        ids=(_event_id(event),),
        alert_type="RETRACTION" if retraction else packet.alert_type,
        time_created=event.fields_at("Who").moment("Date"),
        time=_trigger_time(event),
        test=packet.test or event.role == "test" or "Test_Submission" in flags or untrusted_fields.is_test_topic(topic),
        retraction=retraction,
        topic=topic,
        instrument=instrument,
        packet_type=event.top.integer("Packet_Type"),
        record_number=event.top.integer("Pkt_Ser_Num"),
        subtype=packet.subtype or suffix,
        role=event.role,
        ivorn=event.ivorn,
        ra_deg=ra_deg,
        dec_deg=dec_deg,
        error_deg=error_deg,
        containment=CONTAINMENTS.get(instrument or "") if error_deg is not None else None,
        rate_snr=rate_snr,
        image_snr=image_snr,
        duration_trigger_s=_first(event.params, "Timescale", "Integ_Time", "Data_Timescale", "Trig_Timescale"),
        energy_kev=_energies(event.params),
        magnitude=_magnitude(event.params),
        slew_status=event.params.text("Slew_Status"),
        flags=flags,
        details=_details(event),
        remarks=tuple(event.remarks),
    )
    return ParsedNotice(notice=notice)


def _mission(ivorn: str | None, *, topic: str | None) -> str:
    """Return the mission from the authority and path of the ivorn, else from the topic."""
    authority = (ivorn or "").split("#")[0].removeprefix("ivo://")
    hints = re.split(r"[/._]", f"{authority}/{topic or ''}".lower())
    mission = next((MISSIONS[hint] for hint in hints if hint in MISSIONS), None)
    return mission or authority.rsplit("/", 1)[-1] or "unknown"


def _ivorn_parts(ivorn: str | None) -> tuple[str | None, str | None]:
    """Return instrument and kind of notice from an ivorn's end: ``GBM_Flt_Pos_7451`` or ``sb251208_eclairs-wakeup``."""
    ending = (ivorn or "").partition("#")[2]
    classic = re.match(r"([A-Za-z]+)_(?:[A-Za-z_]*?_)?\d", ending)
    if classic:
        return classic[1], None
    return None, ending.partition("_")[2] or None


def _event_id(event: Document) -> str:
    """Return the trigger's id: Swift's and Fermi's TrigID, SVOM's Burst_Id, else the end of the ivorn."""
    ending = (event.ivorn or "").partition("#")[2]
    named = event.top.text("TrigID") or event.params.text("TrigID") or event.params.text("Burst_Id") or ending
    if not named:
        raise UnusableData("the VOEvent has neither TrigID, Burst_Id nor an ivorn to identify its event by")
    return untrusted_fields.identifier(named)


def _position(event: Document) -> tuple[float | None, float | None, float | None]:
    """Return right ascension, declination and error radius; the error may be missing."""
    place = event.fields_at("*", "Position2D", "Value2")
    ra_deg, dec_deg = place.number("C1", low=-360, high=360), place.number("C2", low=-90, high=90)
    error_deg = event.fields_at("*", "Position2D").number("Error2Radius", low=0, high=180)
    if ra_deg is None or dec_deg is None or (ra_deg == dec_deg == 0 and not error_deg):
        return None, None, None
    return ra_deg % 360, dec_deg, error_deg or None


def _trigger_time(event: Document) -> datetime | None:
    """Return the time of the event; a time in another system (TDB) is taken as UTC, with a remark."""
    time = event.fields_at("*", "TimeInstant").moment("ISOTime")
    systems = event.attribute("coord_system_id", "*", "AstroCoords")
    if time is not None and systems and "UTC" not in systems[0]:
        event.top.remark(
            "ISOTime", f"in the system {systems[0][: untrusted_fields.SHOWN]!r}, taken as UTC: up to 70 s off"
        )
    return time


def _significance(params: Fields) -> tuple[float | None, float | None]:
    """Return the significance of the rate and of the image; SVOM gives one, with its type."""
    rate, image, snr = params.number("Rate_Signif"), params.number("Image_Signif"), params.number("SNR")
    trigger = params.text("Trigger_Type")
    if snr is not None and trigger in {"CRT", "IMT"}:
        rate, image = (snr, image) if trigger == "CRT" else (rate, snr)
    return rate if rate is not None else _first(params, "Data_Signif", "Burst_Signif"), image


def _first(params: Fields, *names: str) -> float | None:
    return next((number for name in names if (number := params.number(name)) is not None), None)


def _energies(params: Fields) -> tuple[float, float] | None:
    low, high = params.number("Lower_Energy_Bound"), params.number("Upper_Energy_Bound")
    return None if low is None or high is None else (low, high)


def _magnitude(params: Fields) -> float | None:
    magnitude = params.number("Burst_Mag")
    return magnitude / 100 if magnitude is not None and magnitude > FAINTEST_MAG else magnitude


def _details(event: Document) -> dict[str, str]:
    """Return other parameters as text, for display."""
    details = {key: text for name, key in DETAILS.items() if (text := event.params.text(name)) is not None}
    ground = event.true_params(only=GROUND_FLAGS)
    if ground:
        details["misc_flags"] = ", ".join(ground)
    name = event.fields_at("Why", "Inference").text("Name")
    return {**details, "name": name} if name else details
