"""The records that travel between tasks.

Every record is a frozen, keyword-only dataclass. Units are in the names (``_deg``, ``_s``, ``_mpc``, ``_mag``,
``_px``, ``_adu``, ``_e``); times are aware ``datetime`` in UTC; files are ``Path``. ``None`` means that the source
did not say. Arrays and tables never travel: they are files, named by a record.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from pathlib import Path

# --------------------------------------------------------------------------------------------------- alert river


class Kind(StrEnum):
    """What sort of event a notice speaks of."""

    GW = "gw"
    GRB = "grb"


class Audience(StrEnum):
    """Where a message belongs; a block maps each to a channel."""

    GW = "gw"
    GRB = "grb"
    LOW_SIGNIFICANCE = "low-significance"
    TEST = "test"
    OPERATORS = "operators"


class MapRole(StrEnum):
    """Which of a notice's localisations a sky map is."""

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
    """One message about one event, understood.

    ``event_id`` is what the sender wrote: never use it as a path (see ``naming.event_slug``). ``alert_type`` keeps
    the sender's word, upper-case (EARLYWARNING, PRELIMINARY, INITIAL, UPDATE, RETRACTION, or an unknown one).
    ``remarks`` are sentences on what could not be understood; they degrade the message, never refuse it.
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
class SkyMapSummary:
    """What one sky map says: areas in deg², distances in Mpc, the position of its peak."""

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
    """A notice with its sky maps reduced to numbers: all that a decision may look at."""

    notice: Notice
    sha256: str
    sky_map: SkyMapSummary | None = None
    combined: SkyMapSummary | None = None

    @property
    def best_map(self) -> SkyMapSummary | None:
        """The combined map when there is one, else the event's own."""
        return self.combined or self.sky_map


@dataclass(frozen=True, kw_only=True)
class Reason:
    """One condition of a policy: what it looked at, what it found, what it wanted, whether that held."""

    rule: str
    condition: str
    value: str
    passed: bool


class PlanMode(StrEnum):
    """Whether a plan starts: never, when somebody presses the button, or by itself."""

    NO = "no"
    BUTTON = "button"
    AUTOMATIC = "automatic"


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What a policy says of an alert, with its reasons in words."""

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


@dataclass(frozen=True, kw_only=True)
class Tile:
    """One pointing of a plan. ``probability`` is the map's probability inside the footprint (0 to 1)."""

    id: str
    ra_deg: float
    dec_deg: float
    start: datetime | None = None
    exposure_s: float = 0.0
    filter: str = ""
    probability: float = 0.0
    airmass: float | None = None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What one telescope should observe for one event.

    ``probability`` is the map's probability over the union of the footprints, ``area_deg2`` the union's area,
    ``seconds`` the time spent on planning; ``reason`` says why there are no tiles, or is empty.
    """

    event_id: str
    telescope: str
    engine: str
    tiles: tuple[Tile, ...] = ()
    probability: float = 0.0
    area_deg2: float = 0.0
    seconds: float = 0.0
    reason: str = ""
    start: datetime | None = None
    end: datetime | None = None


# --------------------------------------------------------------------------------------------------- night river


class FrameType(StrEnum):
    """What a raw frame is, after normalisation of its header."""

    BIAS = "bias"
    DARK = "dark"
    FLAT = "flat"
    LIGHT = "object"


class Stage(StrEnum):
    """The stages of the night river, in order."""

    CALIBRATE = "calibrate"
    REDUCE = "reduce"
    STACK = "stack"
    SEARCH = "search"


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One raw frame, its header normalised. ``gain_setting`` is the camera's, never e-/ADU (that is ``egain``)."""

    path: Path
    type: FrameType
    unit: str
    date_obs: datetime
    exposure_s: float
    filter: str = ""
    object: str = ""
    ra_deg: float | None = None
    dec_deg: float | None = None
    gain_setting: int | None = None
    egain: float | None = None
    binning: int = 1
    temperature_c: float | None = None
    shape: tuple[int, int] = (0, 0)
    changes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Rejected:
    """A frame, stack or notice that was left out: which, at what stage, and why in an observer's words."""

    name: str
    stage: str
    reason: str
    unit: str = ""


@dataclass(frozen=True, kw_only=True)
class Inventory:
    """The frames of one unit's night folder, sorted by type and time, and those that could not be used."""

    night: date
    unit: str
    folder: Path
    frames: tuple[Frame, ...]
    rejected: tuple[Rejected, ...] = ()

    def of(self, type_: FrameType) -> tuple[Frame, ...]:
        """Return the frames of one type."""
        return tuple(frame for frame in self.frames if frame.type is type_)


@dataclass(frozen=True, kw_only=True)
class Masters:
    """The master frames of one unit, as files; dark by exposure time in s, flat by filter."""

    unit: str
    bias: Path
    darks: Mapping[float, Path]
    flats: Mapping[str, Path]
    bad_pixels: Path
    rejected: tuple[Rejected, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Calibrated:
    """One light after bias, dark, flat and masks: image with its variance and mask planes in files beside it."""

    frame: Frame
    image: Path
    variance: Path
    mask: Path
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class CalibratedBatch:
    """What became of a batch of lights in calibration."""

    calibrated: tuple[Calibrated, ...]
    rejected: tuple[Rejected, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Astrometry:
    """How well a frame's WCS fits the reference: rms and median offset in arcsec of ``matched`` stars."""

    matched: int
    rms_ra_arcsec: float
    rms_dec_arcsec: float
    offset_arcsec: float
    scale_arcsec: float
    ra_deg: float
    dec_deg: float


@dataclass(frozen=True, kw_only=True)
class Solved:
    """One light with a WCS that was checked against the reference."""

    frame: Frame
    image: Path
    variance: Path
    mask: Path
    astrometry: Astrometry
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class SolvedBatch:
    """What became of a batch of lights in astrometry."""

    solved: tuple[Solved, ...]
    rejected: tuple[Rejected, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Photometry:
    """A frame's zero points and quality, for the aperture named ``AUTO`` and the six others (0 to 5).

    ``zero_point_mag``, ``scatter_mag`` (MAD), ``error_mag`` and ``depth5_mag`` map the aperture's key to its value.
    """

    catalogue: Path
    stars: int
    seeing_arcsec: float
    ellipticity: float
    elongation: float
    sky_adu: float
    sky_sigma_adu: float
    zero_point_mag: Mapping[str, float]
    scatter_mag: Mapping[str, float]
    error_mag: Mapping[str, float]
    depth3_mag: Mapping[str, float]
    depth5_mag: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Reduced:
    """One light with a WCS and a zero point."""

    frame: Frame
    image: Path
    variance: Path
    mask: Path
    astrometry: Astrometry
    photometry: Photometry
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class ReducedBatch:
    """What became of a batch of lights in photometry."""

    reduced: tuple[Reduced, ...]
    rejected: tuple[Rejected, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Stack:
    """Frames of one object and filter, combined. ``image`` has ``variance`` and ``mask`` beside it."""

    object: str
    unit: str
    filter: str
    date_obs: datetime
    exposure_s: float
    image: Path
    variance: Path
    mask: Path
    inputs: tuple[Path, ...]
    photometry: Photometry
    astrometry: Astrometry | None = None
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A stack minus its reference. ``direction`` tells which image was convolved: ``reference`` or ``science``."""

    stack: Stack
    reference: Path
    image: Path
    convolved: Path
    variance: Path
    mask: Path
    direction: str
    engine: str
    kernel_sum: float
    chi2: float
    substamps: int
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One detection on a difference image. ``flags`` names each test that speaks against it; none means it survives."""

    id: str
    object: str
    unit: str
    filter: str
    date_obs: datetime
    x_px: float
    y_px: float
    ra_deg: float
    dec_deg: float
    snr: float
    flux_adu: float
    mag: float | None
    mag_error: float | None
    sign: int
    flags: tuple[str, ...] = ()
    score: float | None = None
    stamp: Path | None = None


@dataclass(frozen=True, kw_only=True)
class CandidateBatch:
    """All detections on one difference, flagged ones too; the survivors are those without flags."""

    difference: Difference
    candidates: tuple[Candidate, ...]
    table: Path


@dataclass(frozen=True, kw_only=True)
class StageTiming:
    """How long a stage took and what became of its items."""

    stage: str
    seconds: float
    done: int
    failed: int
    skipped: int = 0


@dataclass(frozen=True, kw_only=True)
class NightReport:
    """The result of a night, complete: what was made, what was left out and why."""

    night: date
    units: tuple[str, ...]
    frames_ok: int
    rejected: tuple[Rejected, ...]
    reduced: tuple[Reduced, ...]
    stacks: tuple[Stack, ...]
    differences: tuple[Difference, ...]
    candidates: tuple[Candidate, ...]
    timings: tuple[StageTiming, ...]
    seconds: float
    page: Path | None = None
