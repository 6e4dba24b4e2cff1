"""VOEvents as notices: Swift, SVOM, Fermi's classic ones, IceCube's, and any other in VOEvent 1.1 or 2.0.

Those of LIGO, Virgo and KAGRA are read by ``lvk_voevents``.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from tasks import constants
from tasks.errors import UnusableData
from tasks.io.notices import lvk_voevents, untrusted_fields, voevent_xml
from tasks.io.notices.untrusted_fields import Fields
from tasks.io.notices.voevent_xml import Document
from tasks.records import Kind, MapRole, Notice, ParsedNotice
from tasks.records.missions import CONTAINMENTS, GBM_CLASSES, PACKETS, SMALLEST_ERROR_DEG, UNKNOWN_PACKET, Packet

FAINTEST_MAG = 50.0
"""A larger magnitude is in hundredths, as in the classic packets; no source is that faint."""

# words of an ivorn or a topic, in the order of their precedence: AMON sends for IceCube and HAWC
MISSIONS = {
    "icecube": "IceCube",
    "hawc": "HAWC",
    "swift": "Swift",
    "fermi": "Fermi",
    "svom": "SVOM",
    "integral": "INTEGRAL",
    "maxi": "MAXI",
    "snews": "SNEWS",
    "gaia": "Gaia",
    "ogle": "OGLE",
    "moa": "MOA",
    "asassn": "ASAS-SN",
    "asas-sn": "ASAS-SN",
}
# IceCube's position errors by containment, and its false-alarm rate in 1/yr
ERROR90, RATE_PER_YEAR = "src_error_90", "FAR"
# a sky map inside, under the key of the unified schema; and by address, as IceCube and as others name it
SKY_MAP, SKY_MAP_URLS = "healpix_file", ("skymap_fits", "healpix_url", "HealPix_URL")
# names in an ivorn of those who send for other missions, which the ivorn's end names
SENDERS_FOR_OTHERS = frozenset({"AMON"})
TEST_FLAGS = frozenset({"Test_Submission", "Test", "InternalTest"})
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
    "signalness": "signalness",
    "energy": "neutrino_energy_tev",
    "Rev": "revision",
}


def parse(payload: bytes, *, topic: str | None = None) -> ParsedNotice:
    """Parse a VOEvent; raises ``UnusableData`` if it is none, or names no event."""
    event = voevent_xml.read(payload)
    if lvk_voevents.is_one(event):
        return lvk_voevents.parse(event, topic=topic)
    packet = PACKETS.get(event.top.integer("Packet_Type") or 0, UNKNOWN_PACKET)
    name, suffix = _ivorn_parts(event.ivorn)
    instrument = event.params.text("Instrument") or packet.instrument or name
    flags = event.true_params(but=GROUND_FLAGS)
    retraction = "retraction" in event.attribute("cite", "Citations", "EventIVORN") or "Retraction" in flags
    notice = Notice(
        kind=Kind.GRB,
        mission=_mission(event.ivorn, topic=topic),
        event_id=_event_id(event),
        ids=(_event_id(event),),
        alert_type="RETRACTION" if retraction else _alert_type(event, packet.alert_type),
        time_created=event.fields_at("Who").moment("Date"),
        time=_trigger_time(event),
        test=_is_test(event, packet, topic),
        retraction=retraction,
        topic=topic,
        classification=_classification(event),
        far_hz=_rate_hz(event),
        instrument=instrument,
        packet_type=event.top.integer("Packet_Type"),
        record_number=event.top.integer("Pkt_Ser_Num"),
        subtype=packet.subtype or suffix,
        role=event.role,
        ivorn=event.ivorn,
        **_place(event, instrument),
        **_significance(event.params),
        duration_trigger_s=_first(event.params, "Timescale", "Integ_Time", "Data_Timescale", "Trig_Timescale"),
        energy_kev=_energies(event.params),
        magnitude=_magnitude(event.params),
        slew_status=event.params.text("Slew_Status"),
        urls=_urls(event),
        flags=flags,
        details=_details(event),
        remarks=tuple(event.remarks),
    )
    sky_map = event.params.sky_map(SKY_MAP)
    return ParsedNotice(notice=notice, maps={} if sky_map is None else {MapRole.HEALPIX: sky_map})


def _urls(event: Document) -> dict[str, str]:
    """Return the address of the sky map, if there is one."""
    address = _first_text(event.params, *SKY_MAP_URLS)
    return {"healpix": address} if address else {}


def _first_text(params: Fields, *names: str) -> str | None:
    return next((text for name in names if (text := params.text(name)) is not None), None)


def _mission(ivorn: str | None, *, topic: str | None) -> str:
    """Return the mission from the ivorn, the end of AMON's included, else from the topic."""
    authority, _, ending = (ivorn or "").partition("#")
    authority = authority.removeprefix("ivo://")
    stream = ending.split("_")[0] if authority.rsplit("/", 1)[-1] in SENDERS_FOR_OTHERS else ""
    hints = set(re.split(r"[/._]", f"{authority}/{stream}/{topic or ''}".lower()))
    mission = next((name for word, name in MISSIONS.items() if word in hints), None)
    return mission or authority.rsplit("/", 1)[-1] or "unknown"


def _alert_type(event: Document, usual: str) -> str:
    """Return the type of a packet; a stream that counts its revisions has one packet type for all of them."""
    revision = event.top.integer("Rev") if "Rev" in event.top else None
    return usual if not revision else "UPDATE"


def _classification(event: Document) -> dict[str, float] | None:
    """Return what Fermi's flight software takes a trigger for: its two most likely classes with their probabilities."""
    classes = {}
    for name in ("Most_Likely", "Sec_Most_Likely"):
        index, percent = (event.top.integer(f"{name}_{part}") for part in ("Index", "Prob"))
        if index is not None and percent and 0 <= index < len(GBM_CLASSES) and percent <= 100:
            classes[GBM_CLASSES[index]] = percent / 100
    return classes or None


def _rate_hz(event: Document) -> float | None:
    """Return a false-alarm rate in Hz; IceCube sends it per year."""
    per_year = event.top.number(RATE_PER_YEAR, low=0)
    return None if per_year is None else per_year / constants.JULIAN_YEAR_S


def _ivorn_parts(ivorn: str | None) -> tuple[str | None, str | None]:
    """Return instrument and kind of notice from an ivorn's end: ``GBM_Flt_Pos_7451`` or ``sb251208_eclairs-wakeup``."""
    ending = (ivorn or "").partition("#")[2]
    classic = re.match(r"([A-Za-z]+)_(?:[A-Za-z_]*?_)?\d", ending)
    if classic:
        return classic[1], None
    return None, ending.partition("_")[2] or None


def _event_id(event: Document) -> str:
    """Return the id of the event, the same for all of its notices.

    IceCube's is run and event number, Swift's and Fermi's the TrigID, SVOM's the Burst_Id, AMON's the AMON_ID. Only
    without any of these is it the end of the ivorn, less the revision that ``Rev`` states. An id of 0 is none.
    """
    run, number = event.params.text("run_id"), event.params.text("event_id")
    if run and number and number.strip("0"):
        return untrusted_fields.identifier(f"{run}_{number}")
    named = (event.top.text("TrigID"), *(event.params.text(name) for name in ("TrigID", "Burst_Id", "AMON_ID")))
    found = next((name for name in named if name and name.strip("0")), None)
    ending, revision = (event.ivorn or "").partition("#")[2], event.params.text("Rev")
    found = found or (ending.removesuffix(f"_{revision}") if revision else ending)
    if not found:
        raise UnusableData("the VOEvent has neither TrigID, Burst_Id nor an ivorn to identify its event by")
    return untrusted_fields.identifier(found)


def _is_test(event: Document, packet: Packet, topic: str | None) -> bool:
    flagged = bool(TEST_FLAGS & set(event.true_params(but=GROUND_FLAGS)))
    return packet.test or event.role == "test" or flagged or untrusted_fields.is_test_topic(topic)


def _place(event: Document, instrument: str | None) -> dict[str, Any]:
    """Return the fields of the position and its error."""
    ra_deg, dec_deg, error_deg = _position(event)
    containment = CONTAINMENTS.get(instrument or "") if error_deg is not None else None
    return {"ra_deg": ra_deg, "dec_deg": dec_deg, "error_deg": error_deg, "containment": containment}


def _position(event: Document) -> tuple[float | None, float | None, float | None]:
    """Return right ascension, declination and error radius; the error may be missing."""
    place = event.fields_at("*", "Position2D", "Value2")
    ra_deg, dec_deg = place.number("C1", low=-360, high=360), place.number("C2", low=-90, high=90)
    error_deg = event.fields_at("*", "Position2D").number("Error2Radius", low=0, high=180)
    if ra_deg is None or dec_deg is None or (ra_deg == dec_deg == 0 and not error_deg):
        return None, None, None
    if error_deg == 0:
        event.top.remark("Error2Radius", "0, taken as 1 arcsec")
    error90_deg = event.top.number(ERROR90, low=0, high=180)
    return (
        ra_deg % 360,
        dec_deg,
        error90_deg or (error_deg if error_deg is None else max(error_deg, SMALLEST_ERROR_DEG)),
    )


def _trigger_time(event: Document) -> datetime | None:
    """Return the time of the event; a time in another system (TDB) is taken as UTC, with a remark."""
    time = event.fields_at("*", "TimeInstant").moment("ISOTime")
    systems = event.attribute("coord_system_id", "*", "AstroCoords")
    if time is not None and systems and "UTC" not in systems[0]:
        event.top.remark(
            "ISOTime", f"in the system {systems[0][: untrusted_fields.SHOWN]!r}, taken as UTC: up to 70 s off"
        )
    return time


def _significance(params: Fields) -> dict[str, Any]:
    """Return the significance of the rate and of the image; SVOM gives one, with its type."""
    rate, image, snr = params.number("Rate_Signif"), params.number("Image_Signif"), params.number("SNR")
    trigger = params.text("Trigger_Type")
    if snr is not None and trigger in {"CRT", "IMT"}:
        rate, image = (snr, image) if trigger == "CRT" else (rate, snr)
    return {
        "rate_snr": rate if rate is not None else _first(params, "Data_Signif", "Burst_Signif"),
        "image_snr": image,
    }


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
