"""Run the recipe of a light: coefficients once for lights that share masters, then counts to planes, then the host."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tasks.options import CalibrateOptions
from tasks.science.arrays import Array, array_namespace, to_host
from tasks.science.calibration import correction, cosmic_rays
from tasks.science.calibration.correction import Correction, LightMasters, LightPlanes, Master
from tasks.science.calibration.recipe import RECIPE, DeviceStep, HostLight, HostStep, MasterStep, OnePass

# counts 2, planes 9; the search for cosmic rays has about as much again as work space
BYTES_PER_PIXEL = 24


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What all lights with the same masters share, on one device; saturation in raw and in image ADU."""

    correction: Correction
    read_noise_e: float
    gain: float
    raw_saturation_adu: float
    saturation_adu: float


def nearest_exposure(exposures_s: Sequence[float], light_s: float) -> float:
    """Return the dark exposure for a light: the same, else the nearest in ratio; of two as near the longer."""
    return min(exposures_s, key=lambda dark_s: (max(dark_s / light_s, light_s / dark_s), -dark_s))


def shared_correction(
    bias: Master, dark: Master, flat: Master, bad: Array, *, scale: float, gain: float, read_noise_e: float
) -> Correction:
    """Work out what all lights of one filter and exposure time share; the parameters are those of ``LightMasters``."""
    masters = LightMasters(bias=bias, dark=dark, flat=flat, bad=bad, scale=scale, gain=gain, read_noise_e=read_noise_e)
    terms = correction.no_terms(masters)
    for step in RECIPE:
        if isinstance(step, MasterStep):
            terms = step.run(terms, masters)
    return correction.coefficients(terms, gain=gain)


def prepare(
    bias: Master, dark: Master, flat: Master, bad: Array, *, scale: float, gain: float, read_noise_e: float, full: float
) -> Setup:
    """Work out what lights share.

    Parameters
    ----------
    bias, dark, flat
        Masters on one device.
    bad
        Map of bad pixels there: not 0 where bad.
    scale
        Exposure of the lights over that of the dark.
    gain, read_noise_e
        In e-/ADU and e-.
    full
        Raw value from which a pixel is saturated, in ADU.
    """
    return Setup(
        correction=shared_correction(bias, dark, flat, bad, scale=scale, gain=gain, read_noise_e=read_noise_e),
        read_noise_e=read_noise_e,
        gain=gain,
        raw_saturation_adu=full,
        saturation_adu=correction.image_saturation(full, bias, dark, flat, scale=scale),
    )


def process(
    counts: Sequence[Array],
    setup: Setup,
    *,
    find_cosmic_rays: bool,
    limits: cosmic_rays.CosmicRayLimits = cosmic_rays.STANDARD,
    into: Sequence[LightPlanes] = (),
) -> list[LightPlanes]:
    """Turn raw counts, on the host, into planes on the host; everything between happens where the setup is.

    On the CPU planes ``into`` which nobody looks any more are written over.
    """
    xp = array_namespace(setup.correction.offset)
    raws = [xp.asarray(light) for light in counts]
    used = into if xp is np else ()
    lights: list[LightPlanes] = []
    for step in RECIPE:
        if isinstance(step, OnePass):
            lights = step.run(raws, setup.correction, saturation_adu=setup.raw_saturation_adu, into=used)
    device_steps = [step for step in RECIPE if isinstance(step, DeviceStep)]
    for planes in lights:
        for step in device_steps:
            step.run(planes, limits if find_cosmic_rays else None)
    return [
        LightPlanes(image=to_host(planes.image), variance=to_host(planes.variance), mask=to_host(planes.mask))
        for planes in lights
    ]


def finish(light: HostLight, options: CalibrateOptions) -> HostLight:
    """Do what the recipe does to a light on the host.

    Raises
    ------
    UnusableData
        If the light shall lose its fringes, and too few of its pixels are good to tell how strong they are.
    """
    for step in RECIPE:
        if isinstance(step, HostStep):
            light = step.run(light, options)
    return light


def bytes_needed(shape: tuple[int, int]) -> int:
    """Return about how much memory each light of a batch takes, in bytes: counts, planes and work space."""
    return shape[0] * shape[1] * BYTES_PER_PIXEL
