"""The recipe of a light, from raw counts to planes with masks: ``RECIPE`` lists the steps in order.

Steps that depend only on masters are computed once, as coefficients, for all lights that share them; one compiled pass
then applies the coefficients to the counts. The next steps run on the device for a few lights together, the last ones
on the host for each light while the device works on the next. ``lights`` runs the list.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

from tasks.options import CalibrateOptions
from tasks.records import MaskBit
from tasks.science.arrays import Array
from tasks.science.calibration import artefacts, correction, cosmic_rays, fringes, sky_noise, star_guard
from tasks.science.calibration.correction import CorrectionTerms, LightMasters, LightPlanes
from tasks.science.calibration.fringes import Fringes
from tasks.science.calibration.star_guard import Spared
from tasks.science.images import masks

# L.A.Cosmic ignores pixels this close to saturated ones: the wings of a saturated star look sharp
SATURATED_MARGIN_PX = 4


@dataclass(frozen=True, kw_only=True, eq=False)
class HostLight:
    """A light on the host: planes, fringe frame and its scale, unevenness of the sky's noise."""

    planes: LightPlanes
    fringes: Fringes | None = None
    fringe_scale: float = 0.0
    unevenness: float = 0.0


@dataclass(frozen=True, kw_only=True)
class MasterStep:
    """A step that depends only on masters: run once for all lights that share them."""

    name: str
    run: Callable[[CorrectionTerms, LightMasters], CorrectionTerms]


@dataclass(frozen=True, kw_only=True)
class OnePass:
    """The step that applies all coefficients to the counts of some lights at once."""

    name: str
    run: Callable[..., list[LightPlanes]]


@dataclass(frozen=True, kw_only=True)
class DeviceStep:
    """A step on the planes of each light, in place on the device; without limits cosmic rays are not searched.

    The search for cosmic rays returns what it spared.
    """

    name: str
    run: Callable[[LightPlanes, cosmic_rays.CosmicRayLimits | None], Spared | None]


@dataclass(frozen=True, kw_only=True)
class HostStep:
    """A step on each light, on the host."""

    name: str
    run: Callable[[HostLight, CalibrateOptions], HostLight]


Step: TypeAlias = MasterStep | OnePass | DeviceStep | HostStep


def _fill_bad_pixels(planes: LightPlanes, limits: cosmic_rays.CosmicRayLimits | None) -> None:
    del limits
    correction.fill(planes, MaskBit.BAD | MaskBit.NO_DATA)


def _mark_cosmic_rays(planes: LightPlanes, limits: cosmic_rays.CosmicRayLimits | None) -> Spared | None:
    """Find cosmic rays, spare the stars among them, set the bit of the others and fill them, in place."""
    if limits is None:
        return None
    ignored = _ignored(planes.mask)
    found = cosmic_rays.detect(planes.image, planes.variance, ignore=ignored, limits=limits)
    hits, spared = star_guard.spare(planes.image, planes.variance, found, ignore=ignored)
    mask = planes.mask
    mask |= hits.view(mask.dtype) * mask.dtype.type(MaskBit.COSMIC_RAY)
    correction.fill(planes, MaskBit.COSMIC_RAY)
    return spared


def _ignored(mask: Array) -> Array:
    saturated = (mask & int(MaskBit.SATURATED)) != 0
    for _ in range(SATURATED_MARGIN_PX):
        saturated = masks.grow(saturated)
    return saturated | (mask != 0)


def _remove_fringes(light: HostLight, options: CalibrateOptions) -> HostLight:
    del options
    if light.fringes is None:
        return light
    planes, scale = fringes.removed(light.planes, light.fringes)
    return replace(light, planes=planes, fringe_scale=scale)


def _mark_artefacts(light: HostLight, options: CalibrateOptions) -> HostLight:
    planes = artefacts.marked(
        light.planes,
        halos=options.halos,
        trail_sigma=options.trail_sigma if options.trails else None,
        reflections=options.reflections,
    )
    return replace(light, planes=planes)


def _measure_unevenness(light: HostLight, options: CalibrateOptions) -> HostLight:
    del options
    planes = light.planes
    return replace(light, unevenness=sky_noise.sky_unevenness(planes.image, planes.variance, planes.mask))


# overscan and trim come earlier: reading applies them to lights and calibration frames (tasks/io/fits/overscan)
RECIPE: tuple[Step, ...] = (
    MasterStep(name="bias", run=correction.add_bias),
    MasterStep(name="dark, scaled to the exposure time", run=correction.add_dark),
    MasterStep(name="flat", run=correction.add_flat),
    MasterStep(name="map of bad pixels", run=correction.add_bad_pixels),
    OnePass(name="counts to image, variance and mask", run=correction.calibrate),
    DeviceStep(name="fill bad pixels", run=_fill_bad_pixels),
    DeviceStep(name="cosmic rays", run=_mark_cosmic_rays),
    HostStep(name="fringes", run=_remove_fringes),
    HostStep(name="halos, reflections and trails", run=_mark_artefacts),
    HostStep(name="unevenness of the sky's noise", run=_measure_unevenness),
)
"""The steps of calibrating a light, in the order in which they run."""
