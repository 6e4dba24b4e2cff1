"""Records of the alert river: notices, summaries of sky maps, decisions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from tasks.records.plans import PlanMode


class Kind(StrEnum):
    """The kind of notice: of a gravitational-wave event, or of any other trigger (see :class:`Transient`)."""

    GW = "gw"
    GRB = "grb"


class Transient(StrEnum):
    """The kind of transient that a notice is about, by its sender and stream."""

    GW = "gw"
    GRB = "grb"
    XRAY = "x-ray"
    NEUTRINO = "neutrino"
    SUPERNOVA_NEUTRINO = "supernova neutrino"
    FRB = "frb"
    OPTICAL = "optical"
    UNKNOWN = "unknown"


class Audience(StrEnum):
    """The audience of a message; a block maps each to a Slack channel. Messages for ``NOBODY`` are never sent."""

    GW = "gw"
    GRB = "grb"
    LOW_SIGNIFICANCE = "low-significance"
    TEST = "test"
    OPERATORS = "operators"
    NOBODY = "nobody"


class MapRole(StrEnum):
    """The role of a sky map among a notice's localisations."""

    GW = "gw"
    COMBINED = "combined"
    HEALPIX = "healpix"


@dataclass(frozen=True, kw_only=True)
class Coincidence:
    """A gravitational-wave event's coincidence with another observatory's trigger."""

    observatory: str | None = None
    search: str | None = None
    time_difference_s: float | None = None
    time_coincidence_far_hz: float | None = None
    time_sky_coincidence_far_hz: float | None = None
    gcn_notice_id: str | None = None
    ivorn: str | None = None


@dataclass(frozen=True, kw_only=True)
class Notice:
    """One parsed message about one event.

    ``event_id`` is the sender's text: never use it as a path (see ``naming.event_slug``). ``alert_type`` is the sender's
    word in upper case (EARLYWARNING, PRELIMINARY, INITIAL, UPDATE, RETRACTION, or an unknown one). ``remarks`` are
    sentences on fields that could not be parsed.
    """

    kind: Kind
    mission: str
    event_id: str
    alert_type: str
    time_created: datetime | None = None
    time: datetime | None = None
    test: bool = False
    retraction: bool = False
    significant: bool | None = None
    topic: str | None = None
    # gravitational waves
    classification: Mapping[str, float] | None = None
    properties: Mapping[str, float] | None = None
    instruments: tuple[str, ...] | None = None
    far_hz: float | None = None
    group: str | None = None
    pipeline: str | None = None
    search: str | None = None
    duration_s: float | None = None
    central_frequency_hz: float | None = None
    coincidence: Coincidence | None = None
    urls: Mapping[str, str] = field(default_factory=dict)
    # gamma-ray bursts, X-ray transients, neutrinos
    instrument: str | None = None
    ids: tuple[str, ...] = ()
    packet_type: int | None = None
    record_number: int | None = None
    subtype: str | None = None
    alert_tense: str | None = None
    role: str | None = None
    ivorn: str | None = None
    ra_deg: float | None = None
    dec_deg: float | None = None
    error_deg: float | None = None
    containment: float | None = None
    rate_snr: float | None = None
    image_snr: float | None = None
    duration_trigger_s: float | None = None
    energy_kev: tuple[float, float] | None = None
    magnitude: float | None = None
    slew_status: str | None = None
    follow_up_event: str | None = None
    flags: tuple[str, ...] = ()
    details: Mapping[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ParsedNotice:
    """A notice and the sky maps inside it: FITS bytes, decoded from base64 but not parsed."""

    notice: Notice
    maps: Mapping[MapRole, bytes] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class SkyMapSummary:
    """Summary of one sky map: areas in deg², distances in Mpc, the position of its peak."""

    role: MapRole
    area50_deg2: float
    area90_deg2: float
    distance_mpc: float | None = None
    distance_std_mpc: float | None = None
    distance_median_mpc: float | None = None
    distance_p05_mpc: float | None = None
    distance_p95_mpc: float | None = None
    peak_ra_deg: float
    peak_dec_deg: float
    rows: int
    seed_area50_deg2: float
    seed_area90_deg2: float
    seed_distance_mpc: float
    seed_distance_std_mpc: float
    creator: str | None = None
    path: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Alert:
    """A notice with summaries of its sky maps: the input of a decision."""

    notice: Notice
    sha256: str
    sky_map: SkyMapSummary | None = None
    combined: SkyMapSummary | None = None

    @property
    def best_map(self) -> SkyMapSummary | None:
        """The combined map if there is one, else the event's own."""
        return self.combined or self.sky_map


@dataclass(frozen=True, kw_only=True)
class Reason:
    """One tested condition of a policy: its rule, its text, the value, and whether it held."""

    rule: str
    condition: str
    value: str
    passed: bool


@dataclass(frozen=True, kw_only=True)
class Decision:
    """A policy's decision on an alert, with the tested conditions."""

    policy: str
    policy_sha256: str
    rule: str
    score: int | None
    action: str
    plan: PlanMode = PlanMode.NO
    telescopes: tuple[str, ...] = ()
    audience: Audience = Audience.GW
    mention: bool = False
    reasons: tuple[Reason, ...] = ()
    summary: str = ""
    priority: int = 50
