"""Records of the night river: frames, masters, stacks, differences, candidates, reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import IntFlag, StrEnum
from pathlib import Path

from tasks.records.candidates import Candidate
from tasks.records.photometry import Photometry
from tasks.records.telescopes import Camera

NO_CAMERA = Camera(readout_s=0)
"""A camera of which nothing is known."""


class FrameType(StrEnum):
    """The type of a raw frame, after normalisation of its header."""

    BIAS = "bias"
    DARK = "dark"
    FLAT = "flat"
    LIGHT = "object"


class MaskBit(IntFlag):
    """Bits of a mask plane on disk (uint8); 0 is a good pixel."""

    BAD = 1
    """Hot, dead or noisy in the master frames."""

    SATURATED = 2
    """At or above saturation in the raw frame, grown by one pixel."""

    COSMIC_RAY = 4
    """Hit by a cosmic ray."""

    INTERPOLATED = 8
    """Interpolated from neighbours: never counted as data."""

    NO_DATA = 16
    """Outside the detector, or without a flat."""

    TRAIL = 32
    """Crossed by a satellite."""

    HALO = 64
    """In the halo or spike of a bright star."""

    GHOST = 128
    """Crosstalk or ghost."""


class QaBit(IntFlag):
    """Bits of the card QAFLAG of a calibrated light; 0 is a light with good masters of its own night.

    A stack has the bits of all its frames.
    """

    BIAS_DOUBTFUL = 1
    """The master bias did not pass its tests, and there was no better one."""

    DARK_DOUBTFUL = 2
    """The master dark did not pass its tests, and there was no better one."""

    FLAT_DOUBTFUL = 4
    """The master flat did not pass its tests, and there was no better one."""

    BIAS_BORROWED = 8
    """The master bias is of another night."""

    DARK_BORROWED = 16
    """The master dark is of another night."""

    FLAT_BORROWED = 32
    """The master flat is of another night."""

    BIAS_OLD = 64
    """The master bias is beyond its age limit."""

    DARK_OLD = 128
    """The master dark is beyond its age limit."""

    FLAT_OLD = 256
    """The master flat is beyond its age limit."""

    DARK_SCALED = 512
    """The master dark has another exposure time and was scaled."""

    GAIN_DISAGREES = 1024
    """The header's EGAIN is not that of the camera at its gain setting."""

    SCALE_DISAGREES = 2048
    """The pixel scale by the header's pixel size and focal length is not that of the camera."""

    SKY_UNEVEN = 4096
    """The noise of the sky varies over the frame by more than the sky level explains."""

    FILTER_DOUBTFUL = 8192
    """The stars' magnitudes fit another filter than the header's."""

    FRINGED = 16384
    """Fringes were to be corrected, but there is no fringe frame of its filter."""

    STARS_SPARED = 32768
    """Stars are so sharp that many looked like cosmic rays; they were spared, and so may be a ray."""


class Stage(StrEnum):
    """The stages of the night river, in order."""

    CALIBRATE = "calibrate"
    REDUCE = "reduce"
    STACK = "stack"
    SEARCH = "search"

    def and_before(self) -> tuple[Stage, ...]:
        """Return this stage and all before it, in order."""
        stages = tuple(Stage)
        return stages[: stages.index(self) + 1]


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
    scale_arcsec: float | None = None
    """Nominal, of one pixel as it was read; None where the telescope's file has none."""

    temperature_c: float | None = None
    shape: tuple[int, int] = (0, 0)
    changes: tuple[str, ...] = ()
    qa: int = 0
    """Bits of ``QaBit`` for inconsistent header values."""

    doubts: tuple[str, ...] = ()
    """The same as text."""


@dataclass(frozen=True, kw_only=True)
class Rejected:
    """A rejected frame, stack or notice: its name, the stage, and the reason."""

    name: str
    stage: str
    reason: str
    unit: str = ""
    passing: bool = False
    """The reason is temporary, such as a crashed program or a lost worker; the night then does not count as done."""

    @property
    def cause(self) -> str:
        """The reason without the leading name."""
        return self.reason.removeprefix(f"{self.name} ").removeprefix(f"{self.name}: ")


@dataclass(frozen=True, kw_only=True)
class Inventory:
    """The frames of one unit's night folder, sorted by type and time, and the rejected ones.

    ``needs`` are filter and exposure time in s of all lights of the night, also of objects that were not requested, since
    masters are made for the whole night.
    """

    night: date
    unit: str
    folder: Path
    frames: tuple[Frame, ...]
    rejected: tuple[Rejected, ...] = ()
    needs: tuple[tuple[str, float], ...] = ()
    camera: Camera = field(default=NO_CAMERA, hash=False)

    def of(self, type_: FrameType) -> tuple[Frame, ...]:
        """Return the frames of one type."""
        return tuple(frame for frame in self.frames if frame.type is type_)

    def batches(self, size: int) -> tuple[tuple[Frame, ...], ...]:
        """Return the lights in batches of at most ``size``, each of one object, filter and exposure time."""
        groups: dict[tuple[str, str, float], list[Frame]] = {}
        for frame in self.of(FrameType.LIGHT):
            groups.setdefault((frame.object, frame.filter, frame.exposure_s), []).append(frame)
        return tuple(
            tuple(group[start : start + size])
            for _, group in sorted(groups.items())
            for start in range(0, len(group), size)
        )


@dataclass(frozen=True, kw_only=True)
class MasterQuality:
    """Quality of one master. ``status``: ``made`` tonight, ``borrowed``, or ``doubtful`` (made, none better available).

    ``kind`` is ``bias``, ``dark`` or ``flat``, ``label`` its exposure time or filter (``100 s``, ``r``); ``figures`` are
    by header key; ``faults`` are those of tonight's own master, also if another was borrowed instead.
    """

    unit: str
    kind: str
    label: str
    file: Path
    status: str
    age_days: float = 0.0
    figures: Mapping[str, float] = field(default_factory=dict)
    faults: tuple[str, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Masters:
    """The master frames of one unit, as files; dark by exposure time in s, flat by filter."""

    unit: str
    bias: Path
    darks: Mapping[float, Path]
    flats: Mapping[str, Path]
    bad_pixels: Path
    rejected: tuple[Rejected, ...] = ()
    quality: tuple[MasterQuality, ...] = ()
    camera: Camera = field(default=NO_CAMERA, hash=False)


@dataclass(frozen=True, kw_only=True)
class Calibrated:
    """One light after bias, dark, flat and masks: image with its variance and mask planes in files beside it.

    ``qa`` holds bits of ``QaBit``.
    """

    frame: Frame
    image: Path
    variance: Path
    mask: Path
    seconds: float = 0.0
    qa: int = 0


@dataclass(frozen=True, kw_only=True)
class CalibratedBatch:
    """Results of a batch of lights in calibration."""

    calibrated: tuple[Calibrated, ...]
    rejected: tuple[Rejected, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Astrometry:
    """Quality of a frame's WCS: rms and median offset in arcsec of ``matched`` reference stars."""

    matched: int
    rms_ra_arcsec: float
    rms_dec_arcsec: float
    offset_arcsec: float
    scale_arcsec: float
    ra_deg: float
    dec_deg: float


@dataclass(frozen=True, kw_only=True)
class Solved:
    """One light with a WCS checked against the reference."""

    frame: Frame
    image: Path
    variance: Path
    mask: Path
    astrometry: Astrometry
    detections: Path | None = None
    """Table of detections with positions and shapes, from which photometry takes the seeing; None if it was not kept."""
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class SolvedBatch:
    """Results of a batch of lights in astrometry."""

    solved: tuple[Solved, ...]
    rejected: tuple[Rejected, ...] = ()


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
    qa: int = 0
    """Bits of ``QaBit`` from calibration and photometry."""


@dataclass(frozen=True, kw_only=True)
class ReducedBatch:
    """Results of a batch of lights in photometry."""

    reduced: tuple[Reduced, ...]
    rejected: tuple[Rejected, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Stack:
    """Frames of one object and filter, combined. ``image`` has ``variance`` and ``mask`` beside it.

    ``rejected`` are frames of the group left out because of clouds or seeing.
    """

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
    rejected: tuple[Rejected, ...] = ()
    qa: int = 0
    """Bits of ``QaBit`` of its frames, and its own."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A stack minus its reference. ``direction`` is the convolved image: ``reference`` or ``science``."""

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
class CandidateBatch:
    """All detections on one difference, including flagged ones."""

    difference: Difference
    candidates: tuple[Candidate, ...]
    table: Path
    seconds: float = 0.0


# mask bits that exclude a star; halos and ghosts are too faint to affect one
SPOILS = 255 & ~(MaskBit.HALO | MaskBit.GHOST).value
