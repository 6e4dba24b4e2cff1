"""One light from raw counts to written planes, on one device: calibrate, fill bad pixels, find cosmic rays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tasks.records import MaskBit
from tasks.science.arrays import Array, array_namespace, to_host
from tasks.science.calibration import correction, cosmic_rays
from tasks.science.calibration.correction import Correction, Master, Planes
from tasks.science.images import masks

# the wings of a saturated star look sharp: L.A.Cosmic keeps this far from saturated pixels
SATURATED_MARGIN_PX = 4
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
        correction=correction.correction(bias, dark, flat, bad, scale=scale, gain=gain, read_noise_e=read_noise_e),
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
    limits: cosmic_rays.Limits = cosmic_rays.STANDARD,
    into: Sequence[Planes] = (),
) -> list[Planes]:
    """Turn raw counts, on the host, into planes on the host; everything between happens where the setup is.

    On the CPU planes ``into`` which nobody looks any more are written over.
    """
    xp = array_namespace(setup.correction.offset)
    raws = [xp.asarray(each) for each in counts]
    used = into if xp is np else ()
    made = correction.calibrate(raws, setup.correction, saturation_adu=setup.raw_saturation_adu, into=used)
    for planes in made:
        correction.fill(planes, MaskBit.BAD | MaskBit.NO_DATA)
        if find_cosmic_rays:
            _mark_cosmic_rays(planes, limits)
    return [
        Planes(image=to_host(each.image), variance=to_host(each.variance), mask=to_host(each.mask)) for each in made
    ]


def bytes_needed(shape: tuple[int, int]) -> int:
    """Return about how much memory each light of a batch takes, in bytes: counts, planes and work space."""
    return shape[0] * shape[1] * BYTES_PER_PIXEL


def _mark_cosmic_rays(planes: Planes, limits: cosmic_rays.Limits) -> None:
    """Find cosmic rays, set their bit and fill them, in the planes themselves."""
    hits = cosmic_rays.detect(planes.image, planes.variance, ignore=_ignored(planes.mask), limits=limits)
    mask = planes.mask
    mask |= hits.view(mask.dtype) * mask.dtype.type(MaskBit.COSMIC_RAY)
    correction.fill(planes, MaskBit.COSMIC_RAY)


def _ignored(mask: Array) -> Array:
    saturated = (mask & int(MaskBit.SATURATED)) != 0
    for _ in range(SATURATED_MARGIN_PX):
        saturated = masks.grow(saturated)
    return saturated | (mask != 0)
