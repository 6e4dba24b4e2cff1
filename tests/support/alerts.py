"""Invented alerts for tests of decisions, plans and messages."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tasks.records import (
    Alert,
    Audience,
    Coincidence,
    Decision,
    EventInHand,
    Kind,
    MapRole,
    Notice,
    Plan,
    PlanMode,
    PlanRequest,
    Reason,
    SkyMapSummary,
    Tile,
)

T0 = datetime(2024, 11, 2, 12, 40, 58, 799000, tzinfo=UTC)
CREATED = datetime(2024, 11, 2, 12, 41, 27, tzinfo=UTC)


def sky_map(
    role: MapRole = MapRole.GW, *, area90_deg2: float = 165.32, distance_mpc: float | None = 464.9, **changes: Any
):
    values: dict[str, Any] = {
        "role": role,
        "area50_deg2": area90_deg2 / 5.2,
        "area90_deg2": area90_deg2,
        "distance_mpc": distance_mpc,
        "distance_std_mpc": None if distance_mpc is None else distance_mpc / 5,
        "distance_median_mpc": distance_mpc,
        "distance_p05_mpc": None if distance_mpc is None else distance_mpc * 0.67,
        "distance_p95_mpc": None if distance_mpc is None else distance_mpc * 1.33,
        "peak_ra_deg": 123.4,
        "peak_dec_deg": -30.5,
        "rows": 19200,
        "seed_area50_deg2": area90_deg2 / 5.2,
        "seed_area90_deg2": area90_deg2,
        "seed_distance_mpc": distance_mpc if distance_mpc is not None else float("inf"),
        "seed_distance_std_mpc": 1.0,
        "creator": "BAYESTAR",
    }
    return SkyMapSummary(**{**values, **changes})


def gw(
    name: str = "S241102br", alert_type: str = "PRELIMINARY", *, minutes: float = 0, maps: bool = True, **changes: Any
):
    """Return a superevent's notice, created ``minutes`` after the event's first."""
    combined = changes.pop("combined", None)
    summary = changes.pop("sky_map", sky_map() if maps else None)
    values: dict[str, Any] = {
        "kind": Kind.GW,
        "mission": "LVK",
        "event_id": name,
        "alert_type": alert_type,
        "time_created": CREATED + timedelta(minutes=minutes),
        "time": T0,
        "significant": True,
        "topic": "igwn.gwalert",
        "classification": {"BNS": 0.62, "NSBH": 0.21, "BBH": 0.11, "Terrestrial": 0.06},
        "properties": {"HasNS": 0.98, "HasRemnant": 0.81, "HasMassGap": 0.02},
        "instruments": ("H1", "L1", "V1"),
        "far_hz": 1.79286773809082e-11,
        "group": "CBC",
        "pipeline": "gstlal",
        "search": "AllSky",
        "urls": {"gracedb": f"https://gracedb.ligo.org/superevents/{name}/view/"},
    }
    notice = Notice(**{**values, **changes})
    return Alert(notice=notice, sha256=sha(notice, summary), sky_map=summary, combined=combined)


def retraction(name: str = "S241102br", *, minutes: float = 60):
    notice = Notice(
        kind=Kind.GW,
        mission="LVK",
        event_id=name,
        alert_type="RETRACTION",
        time_created=CREATED + timedelta(minutes=minutes),
        retraction=True,
    )
    return Alert(notice=notice, sha256=sha(notice))


def coincidence():
    return Coincidence(
        observatory="Fermi",
        search="GRB",
        time_difference_s=1.74,
        time_coincidence_far_hz=3.2e-9,
        time_sky_coincidence_far_hz=4.1e-10,
    )


def grb(instrument: str = "BAT", *, seconds: float = 20, error_deg: float | None = 0.05, **changes: Any):
    values: dict[str, Any] = {
        "kind": Kind.GRB,
        "mission": "Swift",
        "event_id": "1423875",
        "alert_type": "INITIAL",
        "time_created": datetime(2025, 12, 14, 9, 2, 17, tzinfo=UTC) + timedelta(seconds=seconds),
        "time": datetime(2025, 12, 14, 9, 2, 17, 540000, tzinfo=UTC),
        "instrument": instrument,
        "packet_type": {"BAT": 61, "XRT": 67, "UVOT": 81}.get(instrument),
        "ra_deg": 330.2169,
        "dec_deg": -9.1670,
        "error_deg": error_deg,
        "rate_snr": 22.0 if instrument == "BAT" else None,
        "image_snr": 8.6 if instrument == "BAT" else None,
        "duration_trigger_s": 0.256 if instrument == "BAT" else None,
    }
    notice = Notice(**{**values, **changes})
    return Alert(notice=notice, sha256=sha(notice))


def decision(action: str = "GO", *, score: int = 3, policy: str = "default", **changes: Any):
    values: dict[str, Any] = {
        "policy": policy,
        "policy_sha256": hashlib.sha256(policy.encode()).hexdigest(),
        "rule": "near-and-well-localised",
        "score": score,
        "action": action,
        "plan": PlanMode.AUTOMATIC if action == "GO" else PlanMode.NO,
        "telescopes": ("7DT", "TCH"),
        "audience": Audience.GW,
        "reasons": (
            Reason(rule="terrestrial", condition="P(Terrestrial) > 0.5", value="0.06", passed=False),
            Reason(rule="near-and-well-localised", condition="top class in BNS, NSBH", value="BNS", passed=True),
            Reason(rule="near-and-well-localised", condition="area90 < 500 deg²", value="165.3 deg²", passed=True),
        ),
        "summary": "a neutron star at 465 Mpc in 165 deg²",
    }
    return Decision(**{**values, **changes})


def plan(telescope: str = "7DT", *, event: str = "S241102br", tiles: int = 3, reason: str = ""):
    made = tuple(
        Tile(
            id=f"T{1000 + k:05d}",
            ra_deg=123.4 + k,
            dec_deg=-30.5,
            start=CREATED + timedelta(hours=12, minutes=6 * k),
            exposure_s=300.0,
            filter="r",
            probability=0.05 / (k + 1),
            airmass=1.2 + 0.01 * k,
        )
        for k in range(tiles)
    )
    return Plan(
        event_id=event,
        telescope=telescope,
        engine="siren",
        tiles=made,
        probability=sum(tile.probability for tile in made),
        area_deg2=1.2 * tiles,
        seconds=2.4,
        reason=reason,
    )


def request(alert: Any, *telescopes: str) -> PlanRequest:
    return PlanRequest(notice_sha256=alert.sha256, telescopes=telescopes or ("7DT",), parameters_sha256="p")


def in_hand(alert: Any, registered: Any) -> EventInHand:
    return EventInHand(alert=alert, registered=registered, located=alert, decision=decision())


def sha(*parts: Any) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()


NOWHERE = Path("nowhere")
