"""Notices as bytes, as received from a broker."""

from __future__ import annotations

import base64
import functools
import json
from datetime import UTC, datetime, timedelta
from typing import Any

from support import skymap_files

T0 = datetime(2026, 1, 15, 22, 30, 15, tzinfo=UTC)


def gw(
    name: str = "S260115ab", alert_type: str = "PRELIMINARY", *, minutes: float = 1.0, order: int = 4, **changes: Any
) -> bytes:
    """Return a nearby superevent, which is planned at once; its map depends on ``minutes``."""
    document = {
        "superevent_id": name,
        "alert_type": alert_type,
        "time_created": stamp(minutes),
        "urls": {"gracedb": f"https://gracedb.ligo.org/superevents/{name}/view/"},
        "event": {
            "time": stamp(0),
            "far": 1e-10,
            "significant": True,
            "instruments": ["H1", "L1"],
            "group": "CBC",
            "pipeline": "gstlal",
            "search": "AllSky",
            "classification": {"BNS": 0.9, "NSBH": 0.05, "BBH": 0.0, "Terrestrial": 0.05},
            "properties": {"HasNS": 1.0, "HasRemnant": 0.9, "HasMassGap": 0.0},
            "duration": None,
            "central_frequency": None,
            "skymap": sky_map(int(minutes), order),
        },
        "external_coinc": None,
    }
    return json.dumps({**document, **changes}).encode()


def retraction(name: str = "S260115ab", *, minutes: float = 60) -> bytes:
    document = {"superevent_id": name, "alert_type": "RETRACTION", "time_created": stamp(minutes), "event": None}
    return json.dumps(document).encode()


def burst(number: int = 1423875, *, seconds: float = 20, packet: int = 61) -> bytes:
    """Return a Swift VOEvent: packet type 61 is BAT, 67 is XRT."""
    instrument, error = ("BAT", 0.05) if packet == 61 else ("XRT", 0.0014)
    time = (T0 + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S.00")
    return f"""<?xml version='1.0' encoding='UTF-8'?>
<voe:VOEvent ivorn="ivo://nasa.gsfc.gcn/SWIFT#{instrument}_{number}-{seconds:g}" role="observation" version="2.0"
  xmlns:voe="http://www.ivoa.net/xml/VOEvent/v2.0"><Who><Date>{time}</Date></Who>
<What><Param name="Packet_Type" value="{packet}"/><Param name="TrigID" value="{number}"/>
<Param name="Rate_Signif" value="22.0" unit="sigma"/></What>
<WhereWhen><ObsDataLocation><ObservationLocation><AstroCoordSystem id="UTC-FK5-GEO"/>
<AstroCoords coord_system_id="UTC-FK5-GEO"><Time unit="s"><TimeInstant><ISOTime>{T0:%Y-%m-%dT%H:%M:%S.00}</ISOTime></TimeInstant></Time>
<Position2D unit="deg"><Name1>RA</Name1><Name2>Dec</Name2><Value2><C1>{110 + number % 50}.2169</C1><C2>-29.1670</C2></Value2>
<Error2Radius>{error}</Error2Radius></Position2D></AstroCoords></ObservationLocation></ObsDataLocation></WhereWhen>
</voe:VOEvent>""".encode()


def mission(name: str = "fb001", **changes: Any) -> bytes:
    """Return a burst in GCN's unified schema."""
    document = {
        "mission": "Fermi",
        "instrument": "GBM",
        "id": [name],
        "alert_datetime": stamp(1),
        "trigger_time": stamp(0),
        "ra": 110.5,
        "dec": -30.25,
        "ra_dec_error": [3.2, 3.2, 0],
        "rate_snr": 9.5,
        "classification": {"GRB": 0.93},
    }
    return json.dumps({**document, **changes}).encode()


def stamp(minutes: float) -> str:
    return (T0 + timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")


@functools.cache
def sky_map(number: int, order: int = 4) -> str:
    content = skymap_files.blob(110 + number % 40, -30, sigma_deg=32 / 2**order, order=order, distance_mpc=80)
    return base64.b64encode(content).decode()
