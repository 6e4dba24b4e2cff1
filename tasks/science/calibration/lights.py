"""Calibration of lights by the recipe: shared coefficients, then planes on the device, then host steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tasks.options import CalibrateOptions
from tasks.science.arrays import Array, array_namespace, to_host
from tasks.science.calibration import correction, cosmic_rays
from tasks.science.calibration.correction import Correction, LightMasters, LightPlanes, Master
from tasks.science.calibration.recipe import RECIPE, DeviceStep, HostLight, HostStep, MasterStep, OnePass
from tasks.science.calibration.star_guard import Spared

# bytes per pixel: counts 2, planes 9; the search for cosmic rays needs about as much again
BYTES_PER_PIXEL = 24


@dataclass(frozen=True, kw_only=True)
class Setup:
    """Values shared by all lights with the same masters, on one device; saturation in raw and in image ADU."""

    correction: Correction
    read_noise_e: float
    gain: float
    raw_saturation_adu: float
    saturation_adu: float


def nearest_exposure(exposures_s: Sequence[float], light_s: float) -> float:
    """Return the dark exposure for a light: the nearest in ratio, of two as near the longer."""
    return min(exposures_s, key=lambda dark_s: (max(dark_s / light_s, light_s / dark_s), -dark_s))


def shared_correction(
    bias: Master, dark: Master, flat: Master, bad: Array, *, scale: float, gain: float, read_noise_e: float
) -> Correction:
    """Compute the coefficients of all lights of one filter and exposure time; parameters as in ``LightMasters``."""
    masters = LightMasters(bias=bias, dark=dark, flat=flat, bad=bad, scale=scale, gain=gain, read_noise_e=read_noise_e)
    terms = correction.no_terms(masters)
    for step in RECIPE:
        if isinstance(step, MasterStep):
            terms = step.run(terms, masters)
    return correction.coefficients(terms, gain=gain)


def prepare(
    bias: Master, dark: Master, flat: Master, bad: Array, *, scale: float, gain: float, read_noise_e: float, full: float
) -> Setup:
    """Compute the shared values of lights.

    Parameters
    ----------
    bias, dark, flat
        Masters on one device.
    bad
        Map of bad pixels on that device: nonzero if bad.
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


@dataclass(frozen=True, kw_only=True, eq=False)
class ProcessedLight:
    """A light's planes on the host, and the stars that were spared from the search for cosmic rays."""

    planes: LightPlanes
    spared: Spared


def process(
    counts: Sequence[Array],
    setup: Setup,
    *,
    find_cosmic_rays: bool,
    limits: cosmic_rays.CosmicRayLimits = cosmic_rays.STANDARD,
    into: Sequence[LightPlanes] = (),
) -> list[ProcessedLight]:
    """Convert raw counts on the host to planes on the host, working on the device of the setup.

    On the CPU the planes ``into``, which must be unused, are overwritten.
    """
    xp = array_namespace(setup.correction.offset)
    raws = [xp.asarray(light) for light in counts]
    used = into if xp is np else ()
    lights: list[LightPlanes] = []
    for step in RECIPE:
        if isinstance(step, OnePass):
            lights = step.run(raws, setup.correction, saturation_adu=setup.raw_saturation_adu, into=used)
    device_steps = [step for step in RECIPE if isinstance(step, DeviceStep)]
    processed: list[ProcessedLight] = []
    for planes in lights:
        said = [step.run(planes, limits if find_cosmic_rays else None) for step in device_steps]
        host = LightPlanes(image=to_host(planes.image), variance=to_host(planes.variance), mask=to_host(planes.mask))
        processed.append(ProcessedLight(planes=host, spared=next(filter(None, said), Spared())))
    return processed


def finish(light: HostLight, options: CalibrateOptions) -> HostLight:
    """Apply the host steps of the recipe to a light.

    Raises
    ------
    UnusableData
        If fringes are to be removed, and the light has too few good pixels to measure them.
    """
    for step in RECIPE:
        if isinstance(step, HostStep):
            light = step.run(light, options)
    return light


def bytes_needed(shape: tuple[int, int]) -> int:
    """Return the approximate memory of each light of a batch, in bytes: counts, planes and work space."""
    return shape[0] * shape[1] * BYTES_PER_PIXEL
