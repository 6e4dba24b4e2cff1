"""The kinds of masters, bias, dark and flat: what differs between them, behind one interface.

The steps are the same for each kind: group the raw frames, reject outliers, combine each group, finish it with the
masters built before, judge it, name it.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, ClassVar

import numpy as np

from tasks import naming
from tasks.options import CalibrateOptions
from tasks.records import Frame, FrameType
from tasks.science.arrays import Array
from tasks.science.calibration import correction
from tasks.science.calibration.correction import Master
from tasks.science.headers.card_values import Header
from tasks.science.images.combining import Noise, Prepare
from tasks.science.masters import flats, quality, selection
from tasks.science.masters.quality import Quality
from tasks.science.masters.selection import MasterSelection

BIAS_NAME = "zero.fits"


@dataclass(frozen=True, kw_only=True)
class Detector:
    """Figures of a detector: gain in e-/ADU, read noise, level of the bias and raw saturation in ADU."""

    gain: float
    read_adu: float = 0.0
    bias_adu: float = 0.0
    saturation_adu: float = selection.SATURATION_ADU

    def measured(self, samples: Sequence[Array], levels_adu: Sequence[float]) -> Detector:
        """Return the detector with read noise and bias level measured on pixel samples of raw bias frames.

        A single frame tells no read noise: that of before stays.
        """
        noises_adu = [correction.pair_noise(*pair) for pair in itertools.pairwise(samples)]
        read_adu = float(np.median(noises_adu)) if noises_adu else self.read_adu
        return replace(self, read_adu=read_adu, bias_adu=float(np.median(levels_adu)))

    def recorded(self, cards: Mapping[str, Any], sample: Array) -> Detector:
        """Return the detector with read noise and bias level from the cards and a pixel sample of a master bias."""
        read_adu = float(cards.get("RDNOISE", 0.0)) / self.gain
        return replace(self, read_adu=read_adu, bias_adu=float(np.median(sample)))


@dataclass(frozen=True, kw_only=True, eq=False)
class MasterCombination:
    """How to combine the raw frames of one master: least noise of a value, and preparation of rows."""

    noise: Noise
    prepare: Prepare | None = None


class MasterKind(ABC):
    """What differs between kinds of masters; a ``group`` identifies a master within its kind."""

    name: ClassVar[str]
    frames: ClassVar[FrameType]
    needed: ClassVar[bool]
    """Whether lights cannot be calibrated without a master of this kind."""

    scaled: ClassVar[bool] = False
    """Whether a master of another group can replace a missing one."""

    @abstractmethod
    def group(self, frame: Frame) -> Any:
        """Return the group of a raw frame."""

    @abstractmethod
    def label(self, group: Any) -> str:
        """Return a group in words."""

    @abstractmethod
    def file_name(self, group: Any) -> str:
        """Return the name of a master's file among the night's masters."""

    @abstractmethod
    def archived_name(self, night: date, group: Any) -> str:
        """Return the name of a master's file in the archive."""

    @abstractmethod
    def fewest(self, options: CalibrateOptions) -> int:
        """Return the smallest number of raw frames for a master."""

    @abstractmethod
    def select(
        self,
        frames: Sequence[Frame],
        levels_adu: Sequence[float],
        group: Any,
        detector: Detector,
        options: CalibrateOptions,
    ) -> MasterSelection:
        """Keep the raw frames of a group with acceptable median levels."""

    def combination(self, frames: Sequence[Frame], planes: Iterable[Array], detector: Detector) -> MasterCombination:
        """Return how to combine raw frames; ``planes`` are their pixels, read only if needed."""
        del frames, planes
        noise = Noise(read_adu=detector.read_adu, gain=detector.gain, pedestal_adu=detector.bias_adu)
        return MasterCombination(noise=noise)

    @abstractmethod
    def finish(self, combined: Master) -> tuple[Master, Header]:
        """Return the finished master from combined frames, and cards on how it was finished."""

    @abstractmethod
    def judge(self, master: Master, options: CalibrateOptions) -> Quality:
        """Judge a master on its own."""

    @abstractmethod
    def assumed(self) -> tuple[float | None, str]:
        """Return the value that is taken for a master without any frame, and what that means; None if there is no such value."""

    def bad_pixels(self, master: Master, options: CalibrateOptions) -> Array | None:
        """Return the bad-pixel map of a master, None for kinds without one."""
        del master, options
        return None

    def words(self, group: Any) -> str:
        """Return the group and kind in words: ``100 s dark``."""
        return f"{self.label(group)} {self.name}".strip()

    def exposure_s(self, group: Any) -> float:
        """Return the exposure time of a group in s, 0 if it does not matter."""
        del group
        return 0.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Bias(MasterKind):
    """The bias: one per night, as combined. ``level_adu`` is taken for it where there are no bias frames."""

    level_adu: float | None = None

    name = "bias"
    frames = FrameType.BIAS
    needed = True

    def group(self, frame: Frame) -> str:
        """Return one group for all bias frames."""
        del frame
        return ""

    def label(self, group: str) -> str:
        """Return the label of the only group."""
        return group

    def file_name(self, group: str) -> str:
        """Return the name of its file."""
        del group
        return BIAS_NAME

    def archived_name(self, night: date, group: str) -> str:
        """Return the name of its file in the archive."""
        del group
        return naming.archived_bias(night)

    def fewest(self, options: CalibrateOptions) -> int:
        """Return the option's number."""
        return options.minimum_bias

    def select(
        self,
        frames: Sequence[Frame],
        levels_adu: Sequence[float],
        group: str,
        detector: Detector,
        options: CalibrateOptions,
    ) -> MasterSelection:
        """Keep the frames whose level agrees with the others."""
        del group, detector, options
        return selection.level(frames, levels_adu, kind=self.name)

    def finish(self, combined: Master) -> tuple[Master, Header]:
        """Return the combined bias unchanged."""
        return combined, {}

    def assumed(self) -> tuple[float | None, str]:
        """Return the known level of the bias: a dark of the lights' exposure time then holds its structure."""
        if self.level_adu is None:
            return None, "there are neither bias frames nor darks, and the telescope's file has no camera.bias_adu"
        return self.level_adu, f"no bias frames: taken as {self.level_adu:g} ADU everywhere"

    def judge(self, master: Master, options: CalibrateOptions) -> Quality:
        """Judge its level and structure."""
        return quality.bias(master, options)


@dataclass(frozen=True, kw_only=True, eq=False)
class Dark(MasterKind):
    """Darks: one per exposure time in s, bias subtracted; a dark of another exposure time can be scaled."""

    bias: Master
    bias_name: str

    name = "dark"
    frames = FrameType.DARK
    needed = True
    scaled = True

    def group(self, frame: Frame) -> float:
        """Return its exposure time in s."""
        return frame.exposure_s

    def label(self, group: float) -> str:
        """Return the exposure time in words."""
        return f"{group:g} s"

    def file_name(self, group: float) -> str:
        """Return the name of its file."""
        return f"dark-{naming.exposure_text(group)}.fits"

    def archived_name(self, night: date, group: float) -> str:
        """Return the name of its file in the archive."""
        return naming.archived_dark(night, group)

    def exposure_s(self, group: float) -> float:
        """Return the exposure time in s."""
        return group

    def fewest(self, options: CalibrateOptions) -> int:
        """Return the option's number."""
        return options.minimum_darks

    def select(
        self,
        frames: Sequence[Frame],
        levels_adu: Sequence[float],
        group: float,
        detector: Detector,
        options: CalibrateOptions,
    ) -> MasterSelection:
        """Keep the frames whose level agrees with the others, within the drift of the dark current."""
        del options
        signal_adu = max(float(np.median(levels_adu)) - detector.bias_adu, 0.0) if levels_adu else 0.0
        return selection.level(frames, levels_adu, kind=self.words(group), signal_adu=signal_adu)

    def finish(self, combined: Master) -> tuple[Master, Header]:
        """Subtract the bias."""
        return correction.subtract(combined, self.bias), {"BIASNAME": self.bias_name}

    def assumed(self) -> tuple[float | None, str]:
        """Return no dark current."""
        return 0.0, "no darks: the dark current is not subtracted"

    def judge(self, master: Master, options: CalibrateOptions) -> Quality:
        """Judge its uniformity."""
        return quality.dark(master, options)


@dataclass(frozen=True, kw_only=True, eq=False)
class Flat(MasterKind):
    """Flats: one per filter; each frame minus bias and dark over its level, the master over its centre."""

    bias: Master
    bias_name: str
    dark: Master
    dark_name: str
    dark_s: float

    name = "flat"
    frames = FrameType.FLAT
    needed = False

    def group(self, frame: Frame) -> str:
        """Return its filter."""
        return frame.filter

    def label(self, group: str) -> str:
        """Return the filter."""
        return group

    def file_name(self, group: str) -> str:
        """Return the name of its file."""
        return f"n{group}.fits"

    def archived_name(self, night: date, group: str) -> str:
        """Return the name of its file in the archive."""
        return naming.archived_flat(night, group)

    def fewest(self, options: CalibrateOptions) -> int:
        """Return the option's number."""
        return options.minimum_flats

    def select(
        self,
        frames: Sequence[Frame],
        levels_adu: Sequence[float],
        group: str,
        detector: Detector,
        options: CalibrateOptions,
    ) -> MasterSelection:
        """Keep the frames that are neither noisy nor near saturation."""
        del group
        signals_adu = [level - detector.bias_adu for level in levels_adu]
        full_adu = detector.saturation_adu - detector.bias_adu
        return selection.exposed(frames, signals_adu, saturation_adu=full_adu, parts=options.flat_signal)

    def combination(self, frames: Sequence[Frame], planes: Iterable[Array], detector: Detector) -> MasterCombination:
        """Divide each frame's signal by its level."""
        scales = [frame.exposure_s / self.dark_s for frame in frames]
        levels_adu = [
            flats.level_adu(plane, self.bias, self.dark, scale=scale)
            for plane, scale in zip(planes, scales, strict=True)
        ]
        return MasterCombination(
            noise=Noise(read_adu=detector.read_adu, gain=detector.gain, scale_adu=float(np.median(levels_adu))),
            prepare=flats.preparation(self.bias, self.dark, scales=scales, levels_adu=levels_adu),
        )

    def finish(self, combined: Master) -> tuple[Master, Header]:
        """Divide by the level of the centre."""
        flat, factor = correction.renormalise(combined)
        return flat, {"BIASNAME": self.bias_name, "DARKNAME": self.dark_name, "FLATFACT": factor, "BUNIT": ""}

    def assumed(self) -> tuple[float | None, str]:
        """Return the same response everywhere."""
        return 1.0, "no flats of the filter: taken as 1 everywhere"

    def judge(self, master: Master, options: CalibrateOptions) -> Quality:
        """Judge its levels, edges and noise."""
        return quality.flat(master, options)

    def bad_pixels(self, master: Master, options: CalibrateOptions) -> Array:
        """Return the pixels without a value or far from their surroundings."""
        return correction.bad_flat(master, limits=options.bad_flat)
