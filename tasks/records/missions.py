"""The table of missions, notice types and Kafka topics that brightsiren supports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tasks.records.alerts import Kind, Notice, Transient

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
    "chime": "CHIME",
    "dsa110": "DSA-110",
    "super_kamiokande": "Super-Kamiokande",
    "snews": "SNEWS",
    "boom": "BOOM",
}

TRANSIENTS: Mapping[str, Transient] = {
    "LVK": Transient.GW,
    "Fermi": Transient.GRB,
    "Swift": Transient.GRB,
    "SVOM": Transient.GRB,
    "INTEGRAL": Transient.GRB,
    "BurstCube": Transient.GRB,
    "CALET": Transient.GRB,
    "Einstein Probe": Transient.XRAY,
    "MAXI": Transient.XRAY,
    "IceCube": Transient.NEUTRINO,
    "KM3NeT": Transient.NEUTRINO,
    "Super-Kamiokande": Transient.SUPERNOVA_NEUTRINO,
    "SNEWS": Transient.SUPERNOVA_NEUTRINO,
    "CHIME": Transient.FRB,
    "DSA-110": Transient.FRB,
    "BOOM": Transient.OPTICAL,
    "Gaia": Transient.OPTICAL,
    "OGLE": Transient.OPTICAL,
    "MOA": Transient.OPTICAL,
    "ASAS-SN": Transient.OPTICAL,
}
"""Kind of transient by the mission that sends the notice; of every other mission it is unknown."""


def transient_of(notice: Notice) -> Transient:
    """Return the kind of transient of a notice; of several missions joined by a comma, that of the first known one."""
    if notice.kind is Kind.GW:
        return Transient.GW
    names = {name.lower(): kind for name, kind in TRANSIENTS.items()}
    found = (names.get(part.strip().lower()) for part in notice.mission.split(","))
    return next(filter(None, found), Transient.UNKNOWN)


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
    # each revision of a neutrino has the packet type of its stream
    158: Packet(instrument="IceCube", alert_type="INITIAL", subtype="HESE"),
    169: Packet(instrument="IceCube", alert_type="INITIAL", subtype="EHE"),
    173: Packet(instrument="IceCube", alert_type="INITIAL", subtype="GOLD"),
    174: Packet(instrument="IceCube", alert_type="INITIAL", subtype="BRONZE"),
    176: Packet(instrument="IceCube", alert_type="INITIAL", subtype="CASCADE"),
    201: Packet(instrument="GRM", alert_type="INITIAL"),
    202: Packet(instrument="ECLAIRs", alert_type="INITIAL"),
    203: Packet(instrument="ECLAIRs"),
    204: Packet(instrument="ECLAIRs"),
    205: Packet(instrument="ECLAIRs"),
    209: Packet(instrument="MXT"),
}
UNKNOWN_PACKET = Packet(instrument=None, alert_type="UNKNOWN")
# probability inside the error radius, by instrument
CONTAINMENTS = {
    "BAT": 0.9,
    "XRT": 0.9,
    "UVOT": 0.9,
    "ECLAIRs": 0.9,
    "MXT": 0.9,
    "GBM": 0.68,
    "LAT": 0.9,
    "IceCube": 0.9,
}

# https://gcn.gsfc.nasa.gov/sock_pkt_def_doc.html, FERMI-GBM_FLT_POS: the classes of the flight software by their numbers
GBM_CLASSES = (
    "ERROR", "UNRELIABLE_LOCATION", "LOCAL_PARTICLES", "BELOW_HORIZON", "GRB", "GENERIC_SGR", "GENERIC_TRANSIENT",
    "DISTANT_PARTICLES", "SOLAR_FLARE", "CYG_X1", "SGR_1806_20", "GRO_J0422_32", "RESERVED_1", "RESERVED_2", "RESERVED_3",
    "RESERVED_4", "RESERVED_5", "RESERVED_6", "RESERVED_7", "TGF",
)  # fmt: skip

SMALLEST_ERROR_DEG = 1 / 3600
"""Error of a position that is sent with an error of 0: no position of a burst is known better than 1 arcsec."""


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
