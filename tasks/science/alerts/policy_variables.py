"""Operands of a policy's conditions, by name.

=====================================  ================================================================================
``kind, mission, event_id, real``      gw or grb; the sender; its id; whether a real event's (LVK: S...)
``transient``                          gw, grb, x-ray, neutrino, supernova neutrino, frb, optical, unknown: by its sender
``alert_type, retraction, test``       as sent, upper-case; true or false
``significant, far_hz``                as sent
``group, pipeline, search``            as sent
``instruments, instrument_count``      codes (a list); how many
``top_class, p.X, p_neutron_star``     most probable class; P(class X); P(BNS) + P(NSBH)
``property.X``                         HasNS, HasRemnant, HasMassGap, HasSSM
``duration_s, central_frequency_hz``   of a burst
``area50_deg2, area90_deg2``           of the combined map if there is one, else of the event's own; the same with
``distance_mpc, distance_std_mpc``     ``gw.`` or ``combined.`` in front for that map alone
``distance_{median,p05,p95}_mpc``
``seed_{area50,area90}_deg2``          the seed's definitions
``seed_distance_mpc``
``galactic_latitude_deg``              absolute, of the map's peak, or of the position
``observatory, coincidence_far_hz``    of a coincidence; the rate in time and sky, else in time alone
``instrument, subtype, role``          of a burst's notice
``alert_tense, flags``
``error_deg, error90_deg``             radius as sent; radius with 90 %, from the containment that the notice states
``rate_snr, image_snr, magnitude``
``slew_status, follow_up_event``
``latency_s, age_s``                   notice after event; now after notice
``event_age_s``                        now, or the notice if there is no clock, after the event
``p_value``                            smallest p-value of a search on another event
``previous_score, previous_action``    of the previous decision on the same event
=====================================  ================================================================================
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from astropy.coordinates import SkyCoord

from tasks import constants
from tasks.errors import UnusableData
from tasks.records import Alert, Decision, Kind, Notice, SkyMapSummary, missions

Value = bool | float | str | tuple[str, ...]
Reader = Callable[["DecisionInput"], Value | None]

PLAIN = (
    "mission", "event_id", "alert_type", "retraction", "test", "significant", "far_hz", "group", "pipeline", "search",
    "instruments", "duration_s", "central_frequency_hz", "instrument", "subtype", "role", "alert_tense", "flags",
    "error_deg", "rate_snr", "image_snr", "magnitude", "slew_status", "follow_up_event",
)  # fmt: skip
OF_MAP = (
    "area50_deg2", "area90_deg2", "distance_mpc", "distance_std_mpc", "distance_median_mpc", "distance_p05_mpc",
    "distance_p95_mpc", "seed_area50_deg2", "seed_area90_deg2", "seed_distance_mpc",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class DecisionInput:
    """The input of a decision: the alert, the previous decision on its event, and the time."""

    alert: Alert
    previous: Decision | None = None
    now: datetime | None = None

    @property
    def notice(self) -> Notice:
        """The alert's notice."""
        return self.alert.notice


def read(name: str, situation: DecisionInput) -> Value | None:
    """Return the value of an operand, None if it is unknown."""
    if name in TABLE:
        return TABLE[name](situation)
    family, _, member = name.partition(".")
    return FAMILIES[family](situation.notice).get(member)


def check(name: str) -> None:
    """Raise ``UnusableData`` for an unknown operand."""
    family, dot, member = name.partition(".")
    if name not in TABLE and not (dot and member and family in FAMILIES):
        raise UnusableData(f"policy operand {name[:60]!r} (allowed: {', '.join(TABLE)}, p.X, property.X)")


def radius(error_deg: float, *, containment: float, wanted: float) -> float:
    """Convert an error radius to another containment probability, for a Gaussian error on the sky."""
    return error_deg * math.sqrt(math.log1p(-wanted) / math.log1p(-containment))


def _classes(notice: Notice) -> Mapping[str, float]:
    return notice.classification or {}


def _properties(notice: Notice) -> Mapping[str, float]:
    return notice.properties or {}


def _top_class(situation: DecisionInput) -> str | None:
    classes = _classes(situation.notice)
    return max(classes, key=lambda name: classes[name]) if classes else None


def _neutron_star(situation: DecisionInput) -> float | None:
    values = [_classes(situation.notice).get(name) for name in ("BNS", "NSBH")]
    probabilities = [value for value in values if value is not None]
    return sum(probabilities) if probabilities else None


def _real(situation: DecisionInput) -> bool:
    notice = situation.notice
    return not notice.test and (notice.kind is not Kind.GW or notice.event_id.startswith("S"))


def _coincidence_far(situation: DecisionInput) -> float | None:
    coincidence = situation.notice.coincidence
    if coincidence is None:
        return None
    sky = coincidence.time_sky_coincidence_far_hz
    return sky if sky is not None else coincidence.time_coincidence_far_hz


def _error90(situation: DecisionInput) -> float | None:
    notice = situation.notice
    containment = notice.containment if notice.containment is not None else constants.USUAL_CONTAINMENT
    if notice.error_deg is None or not 0 < containment < 1:
        return None
    return radius(notice.error_deg, containment=containment, wanted=0.9)


def _p_value(situation: DecisionInput) -> float | None:
    values = []
    for name in ("pval_generic", "pval_bayesian"):
        with contextlib.suppress(KeyError, ValueError):
            values.append(float(situation.notice.details[name]))
    return min(values, default=None)


def _galactic_latitude(situation: DecisionInput) -> float | None:
    sky_map, notice = situation.alert.best_map, situation.notice
    if sky_map is not None:
        return abs(galactic_latitude_deg(sky_map.peak_ra_deg, sky_map.peak_dec_deg))
    if notice.ra_deg is None or notice.dec_deg is None:
        return None
    return abs(galactic_latitude_deg(notice.ra_deg, notice.dec_deg))


def galactic_latitude_deg(ra_deg: float, dec_deg: float) -> float:
    """Return the galactic latitude of an equatorial position, all in degrees."""
    return float(SkyCoord(ra_deg, dec_deg, unit="deg").galactic.b.deg)


def _seconds(later: datetime | None, earlier: datetime | None) -> float | None:
    return None if later is None or earlier is None else (later - earlier).total_seconds()


def _plain(name: str) -> Reader:
    def reader(situation: DecisionInput) -> Value | None:
        value: Value | None = getattr(situation.notice, name)
        return value

    return reader


def _of_map(name: str, which: Callable[[Alert], SkyMapSummary | None]) -> Reader:
    def reader(situation: DecisionInput) -> Value | None:
        sky_map = which(situation.alert)
        value: Value | None = None if sky_map is None else getattr(sky_map, name)
        return value

    return reader


TABLE: Mapping[str, Reader] = {
    "kind": lambda situation: situation.notice.kind.value,
    "transient": lambda situation: missions.transient_of(situation.notice).value,
    **{name: _plain(name) for name in PLAIN},
    "real": _real,
    "instrument_count": lambda s: None if s.notice.instruments is None else float(len(s.notice.instruments)),
    "top_class": _top_class,
    "p_neutron_star": _neutron_star,
    **{name: _of_map(name, lambda alert: alert.best_map) for name in OF_MAP},
    **{f"gw.{name}": _of_map(name, lambda alert: alert.sky_map) for name in OF_MAP},
    **{f"combined.{name}": _of_map(name, lambda alert: alert.combined) for name in OF_MAP},
    "galactic_latitude_deg": _galactic_latitude,
    "observatory": lambda s: s.notice.coincidence.observatory if s.notice.coincidence else None,
    "coincidence_far_hz": _coincidence_far,
    "error90_deg": _error90,
    "latency_s": lambda s: _seconds(s.notice.time_created, s.notice.time),
    "age_s": lambda s: _seconds(s.now, s.notice.time_created),
    "event_age_s": lambda s: _seconds(s.now or s.notice.time_created, s.notice.time),
    "p_value": _p_value,
    "previous_score": lambda s: s.previous.score if s.previous else None,
    "previous_action": lambda s: s.previous.action if s.previous else None,
}
FAMILIES: Mapping[str, Callable[[Notice], Mapping[str, float]]] = {"p": _classes, "property": _properties}
