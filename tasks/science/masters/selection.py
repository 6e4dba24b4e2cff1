"""Selection of frames for a master; rejected frames carry the reason."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

from tasks import naming
from tasks.errors import UnusableData
from tasks.options import CalibrateOptions
from tasks.records import Camera, Frame, FrameType, Rejected, Stage
from tasks.science.calibration import correction

# dark current doubles every 6 C or so: within 2 C it changes by less than a quarter
TEMPERATURE_RANGE_C = 2.0
DOUBLING_C = 6.0
"""Warming by which a sensor's dark current doubles, near the temperatures at which cooled sensors run."""

# shutters and clocks vary by less: frames of exposure times so near are of one set
EXPOSURE_TOLERANCE = 1e-3
NOMINAL_DIGITS = 4
# a bias level drifts with temperature by a few tenths of an ADU per degree
BIAS_RANGE_ADU = 2.0
SATURATION_ADU = 60000.0
"""Raw saturation of a camera whose description and options give none: most have 16 bits, less a margin."""

# below a tenth of saturation photon noise is large, above four fifths detectors are nonlinear
FLAT_LEVELS = (0.1, 0.8)


@dataclass(frozen=True, kw_only=True)
class MasterSelection:
    """The kept and the rejected frames."""

    kept: tuple[Frame, ...]
    rejected: tuple[Rejected, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Camera settings: gain setting, binning, shape of the frames."""

    gain_setting: int | None
    binning: int
    shape: tuple[int, int]


def setting(frames: Sequence[Frame]) -> Setting:
    """Return the most common setting of the lights, or of all frames if there are no lights.

    Raises
    ------
    UnusableData
        If there is no frame.
    """
    if not frames:
        raise UnusableData("the night has no frame that can be used")
    gain_setting, binning, shape = _most_common(frames)
    return Setting(gain_setting=gain_setting, binning=binning, shape=shape)


def reject(frame: Frame, reason: str) -> Rejected:
    """Return a frame as rejected from calibration, with the reason."""
    return Rejected(name=frame.path.name, stage=Stage.CALIBRATE.value, reason=reason, unit=frame.unit)


def comparable(frames: Sequence[Frame], *, temperature_range_c: float = TEMPERATURE_RANGE_C) -> MasterSelection:
    """Keep the calibration frames with the gain setting, binning, shape and temperature of the night.

    The setting is the most common one of the lights, or of all frames if there are no lights; the temperature is the
    median over the frames of that setting.
    """
    calibrations = [frame for frame in frames if frame.type is not FrameType.LIGHT]
    if not calibrations:
        return MasterSelection(kept=())
    setting, centre = _most_common(frames), temperature_c(frames)
    reasons = {
        frame: _misfit(frame, setting) or _too_warm_or_cold(frame, centre, temperature_range_c)
        for frame in calibrations
    }
    return _split(reasons)


def of_other_temperature(
    frames: Sequence[Frame], *, temperature_range_c: float = TEMPERATURE_RANGE_C
) -> tuple[Frame, ...]:
    """Return the calibration frames that ``comparable`` leaves out for their temperature alone."""
    calibrations = [frame for frame in frames if frame.type is not FrameType.LIGHT]
    if not calibrations:
        return ()
    setting, centre = _most_common(frames), temperature_c(frames)
    same = (frame for frame in calibrations if not _misfit(frame, setting))
    return tuple(frame for frame in same if _too_warm_or_cold(frame, centre, temperature_range_c))


def temperature_c(frames: Sequence[Frame]) -> float | None:
    """Return the night's sensor temperature: the median of its lights, or of all frames without lights; None if unknown."""
    lights = [frame for frame in frames if frame.type is FrameType.LIGHT]
    setting = _most_common(frames)
    known = [
        frame.temperature_c
        for frame in lights or frames
        if frame.temperature_c is not None and _setting(frame) == setting
    ]
    return median(known) if known else None


def dark_factor(from_c: float | None, to_c: float | None) -> float:
    """Return by what a dark of one sensor temperature is multiplied for another; 1 if one of them is unknown."""
    return 1.0 if from_c is None or to_c is None else 2.0 ** ((to_c - from_c) / DOUBLING_C)


def nominal_exposures(exposures_s: Collection[float]) -> dict[float, float]:
    """Return the exposure time that each of some stands for: those within 0.1 % of the shortest of their group are one."""
    nominal: dict[float, float] = {}
    group: list[float] = []
    for exposure_s in (*sorted(set(exposures_s)), math.inf):
        if group and exposure_s > group[0] * (1 + EXPOSURE_TOLERANCE):
            middle = group[0] if len(group) == 1 else float(f"{median(group):.{NOMINAL_DIGITS}g}")
            nominal |= dict.fromkeys(group, middle)
            group = []
        group.append(exposure_s)
    return nominal


def level(
    frames: Sequence[Frame], levels_adu: Sequence[float], *, kind: str, signal_adu: float = 0.0
) -> MasterSelection:
    """Keep the frames whose level agrees with their set; see ``correction.outliers``."""
    off = correction.outliers(levels_adu, signal_adu=signal_adu)
    centre = median(levels_adu) if levels_adu else 0.0
    return _split(
        {
            frame: f"level {adu:.1f} ADU is off the {centre:.1f} ADU of the {kind} frames" if far else ""
            for frame, adu, far in zip(frames, levels_adu, off, strict=True)
        }
    )


def exposed(
    frames: Sequence[Frame],
    signals_adu: Sequence[float],
    *,
    saturation_adu: float,
    parts: tuple[float, float] = FLAT_LEVELS,
) -> MasterSelection:
    """Keep the flats with a signal between two fractions of saturation, both above bias."""
    low, high = (part * saturation_adu for part in parts)
    return _split(
        {
            frame: "" if low <= adu <= high else f"flat signal {adu:.0f} ADU (allowed: {low:.0f} to {high:.0f})"
            for frame, adu in zip(frames, signals_adu, strict=True)
        }
    )


def enough(frames: Sequence[Frame], *, minimum: int, kind: str) -> MasterSelection:
    """Keep all frames, or none if they are too few for a master."""
    few = f"only {len(frames)} usable {kind} frames (at least {minimum} make a master)"
    return _split({frame: few if len(frames) < minimum else "" for frame in frames})


def wanted(frame: Frame, objects: Collection[str]) -> bool:
    """Return whether a frame is of ``objects`` (names, or tiles as ``T00123`` or 123; empty: all) or no light."""
    if not objects or frame.type is not FrameType.LIGHT:
        return True
    return naming.slug(frame.object) in naming.object_slugs(objects)


def misfit(light: Frame, *, shape: tuple[int, int], gain_setting: object) -> str:
    """Return why masters of this shape and gain setting (a card's value) do not fit a light, or the empty string."""
    if light.shape != shape:
        return f"has {light.shape[1]} x {light.shape[0]} pixels, its masters {shape[1]} x {shape[0]}"
    known = isinstance(gain_setting, int) and light.gain_setting is not None
    if known and gain_setting != light.gain_setting:
        return f"was taken at gain setting {light.gain_setting}, its masters at {gain_setting}"
    return ""


def missing_flat(light: Frame, filters: Collection[str]) -> str:
    """Return a sentence if a light's filter has no flat, else the empty string."""
    if light.filter in filters:
        return ""
    return f"there is no {light.filter} flat (there are: {', '.join(sorted(filters)) or 'none'})"


def grouped(frames: Sequence[Frame], key: Callable[[Frame], Any]) -> list[tuple[Any, list[Frame]]]:
    """Return frames in groups of equal ``key``, sorted by it; the order within a group is kept."""
    groups: dict[Any, list[Frame]] = {}
    for frame in frames:
        groups.setdefault(key(frame), []).append(frame)
    return sorted(groups.items(), key=lambda item: item[0])


def gain(frames: Sequence[Frame]) -> float:
    """Return the most common EGAIN of the frames, e-/ADU; raise ``UnusableData`` if no header has it."""
    gains = Counter(frame.egain for frame in frames if frame.egain is not None)
    if not gains:
        raise UnusableData("no frame of the night has a gain (EGAIN, e-/ADU), so the noise is unknown")
    return gains.most_common(1)[0][0]


def saturation_adu(options: CalibrateOptions, camera: Camera) -> float:
    """Return the raw saturation in ADU: of the options, else of the camera's description, else the usual one."""
    return options.saturation_adu or camera.saturation_adu or SATURATION_ADU


def for_camera(options: CalibrateOptions, camera: Camera) -> CalibrateOptions:
    """Return options in which the camera's description replaces what is not given: saturation and level of the bias."""
    level = options.bias_level_adu
    if level is None and camera.bias_adu is not None:
        level = (camera.bias_adu, camera.bias_adu + BIAS_RANGE_ADU)
    return replace(options, saturation_adu=saturation_adu(options, camera), bias_level_adu=level)


def _setting(frame: Frame) -> tuple[Any, ...]:
    return frame.gain_setting, frame.binning, frame.shape


def _most_common(frames: Sequence[Frame]) -> tuple[Any, ...]:
    """Return the most common setting of the lights, or of all frames without lights."""
    lights = [frame for frame in frames if frame.type is FrameType.LIGHT]
    return Counter(_setting(frame) for frame in lights or frames).most_common(1)[0][0]


def _misfit(frame: Frame, setting: tuple[Any, ...]) -> str:
    for word, got, wanted in zip(("gain setting", "binning", "shape"), _setting(frame), setting, strict=True):
        if got != wanted:
            return f"{word} {got} is not that of the night ({wanted})"
    return ""


def _too_warm_or_cold(frame: Frame, centre_c: float | None, range_c: float) -> str:
    if centre_c is None or frame.temperature_c is None or abs(frame.temperature_c - centre_c) <= range_c:
        return ""
    return f"sensor at {frame.temperature_c:.1f} C (allowed: within {range_c:g} C of {centre_c:.1f})"


def _split(reasons: dict[Frame, str]) -> MasterSelection:
    kept = tuple(frame for frame, reason in reasons.items() if not reason)
    return MasterSelection(kept=kept, rejected=tuple(reject(frame, why) for frame, why in reasons.items() if why))
