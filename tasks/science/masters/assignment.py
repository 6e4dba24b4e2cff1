"""Assignment of masters to a light, with their doubts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tasks.errors import UnusableData
from tasks.options import CalibrateOptions
from tasks.records import Frame, Masters
from tasks.science.calibration import lights
from tasks.science.headers import provenance
from tasks.science.masters import selection


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """The masters of one light; ``scale`` is its exposure time over the dark's.

    ``qa`` holds the bits of ``QaBit`` of the masters and of the light, ``doubts`` their texts.
    """

    bias: Path
    dark: Path
    flat: Path
    bad_pixels: Path
    scale: float
    qa: int = 0
    doubts: tuple[str, ...] = ()


def assign(
    light: Frame, masters: Masters, options: CalibrateOptions, *, shape: tuple[int, int], gain_setting: object
) -> Assignment:
    """Choose a light's masters: the flat of its filter, the dark nearest in exposure time.

    Parameters
    ----------
    light
        The light.
    masters
        The masters of its telescope unit.
    options
        Age limits of masters.
    shape, gain_setting
        Of the masters: shape in px, and the card GAIN, whatever its type.

    Raises
    ------
    UnusableData
        If the light has another shape or gain setting, or there is no flat of its filter.
    """
    misfit = selection.misfit(light, shape=shape, gain_setting=gain_setting)
    if reason := misfit or selection.missing_flat(light, masters.flats):
        raise UnusableData(reason)
    dark_s = lights.nearest_exposure(list(masters.darks), light.exposure_s)
    dark, flat, scale = masters.darks[dark_s], masters.flats[light.filter], light.exposure_s / dark_s
    if abs(scale - 1) <= selection.EXPOSURE_TOLERANCE:
        scale = 1.0
    used = [master for master in masters.quality if master.file in (masters.bias, dark, flat)]
    limits_days = {"bias": options.bias_age_days, "dark": options.dark_age_days, "flat": options.flat_age_days}
    qa, doubts = provenance.quality(used, limits_days, scale=scale)
    return Assignment(
        bias=masters.bias,
        dark=dark,
        flat=flat,
        bad_pixels=masters.bad_pixels,
        scale=scale,
        qa=qa,
        doubts=tuple(doubts),
    )
