"""The table of missions, notice types and Kafka topics that brightsiren supports."""

from __future__ import annotations

from dataclasses import dataclass

MISSIONS = {
    "einstein_probe": "Einstein Probe",
    "fermi": "Fermi",
    "icecube": "IceCube",
    "svom": "SVOM",
    "swift": "Swift",
    "burstcube": "BurstCube",
    "integral": "INTEGRAL",
    "maxi": "MAXI",
    "calet": "CALET",
    "km3net": "KM3NeT",
    "hawc": "HAWC",
}


@dataclass(frozen=True, kw_only=True)
class Packet:
    """The meaning of a packet type."""

    instrument: str | None
    alert_type: str = "UPDATE"
    subtype: str | None = None
    test: bool = False


# https://gcn.gsfc.nasa.gov/filtering.html, and SVOM's own numbers from 201
PACKETS = {
    60: Packet(instrument="BAT", alert_type="INITIAL"),
    61: Packet(instrument="BAT", alert_type="INITIAL"),
    67: Packet(instrument="XRT"),
    81: Packet(instrument="UVOT"),
    82: Packet(instrument="BAT", alert_type="INITIAL", test=True),
    84: Packet(instrument="BAT"),
    97: Packet(instrument="BAT", alert_type="INITIAL"),
    110: Packet(instrument="GBM", alert_type="INITIAL", subtype="INITIAL_ALERT"),
    111: Packet(instrument="GBM", subtype="FLIGHT_POSITION"),
    112: Packet(instrument="GBM", subtype="GROUND_POSITION"),
    115: Packet(instrument="GBM", subtype="FINAL_POSITION"),
    119: Packet(instrument="GBM", alert_type="INITIAL", test=True),
    121: Packet(instrument="LAT"),
    201: Packet(instrument="GRM", alert_type="INITIAL"),
    202: Packet(instrument="ECLAIRs", alert_type="INITIAL"),
    203: Packet(instrument="ECLAIRs"),
    204: Packet(instrument="ECLAIRs"),
    205: Packet(instrument="ECLAIRs"),
    209: Packet(instrument="MXT"),
}
UNKNOWN_PACKET = Packet(instrument=None, alert_type="UNKNOWN")
# probability inside the error radius, by instrument
CONTAINMENTS = {"BAT": 0.9, "XRT": 0.9, "UVOT": 0.9, "ECLAIRs": 0.9, "MXT": 0.9, "GBM": 0.68, "LAT": 0.9}


# both names of the LVK stream are in use; the same notice on both is one notice
TOPICS = (
    "igwn.gwalert",
    "gcn.notices.igwn.gwalert",
    "gcn.notices.swift.bat.guano",
    "gcn.classic.voevent.FERMI_GBM_ALERT",
    "gcn.classic.voevent.FERMI_GBM_FLT_POS",
    "gcn.classic.voevent.FERMI_GBM_GND_POS",
    "gcn.classic.voevent.FERMI_GBM_FIN_POS",
    "gcn.classic.voevent.SWIFT_BAT_GRB_POS_ACK",
    "gcn.classic.voevent.SWIFT_BAT_QL_POS",
    "gcn.classic.voevent.SWIFT_XRT_POSITION",
    "gcn.classic.voevent.SWIFT_UVOT_POS",
    # not available everywhere yet: a missing topic only means that nothing arrives
    "gcn.notices.fermi.gbm.trigger",
    "gcn.notices.svom",
    "gcn.notices.svom.voevent.grm",
    "gcn.notices.svom.voevent.eclairs",
    "gcn.notices.svom.voevent.mxt",
    "gcn.notices.einstein_probe.wxt.alert",
    "gcn.notices.icecube.lvk_nu_track_search",
    "gcn.heartbeat",
)
