"""Masks of artefacts of bright objects: halos of stars, trails of satellites, reflections.

The search runs on the host, on a binned copy of the image, so that the mask does not depend on the device. The copy
holds the means of square blocks, in units of its noise.
"""

from __future__ import annotations

from collections.abc import Sequence

from tasks.options import Reflection
from tasks.science.calibration import halos as star_halos
from tasks.science.calibration import shrunken_light, trails
from tasks.science.calibration.correction import LightPlanes
from tasks.science.calibration.halos import GHOST_BIT, HALO_BIT


def marked(
    planes: LightPlanes, *, halos: bool, trail_sigma: float | None, reflections: Sequence[Reflection] = ()
) -> LightPlanes:
    """Return a light with halos (64), trails (32) and reflections (128) in its mask; all arrays on the host.

    Parameters
    ----------
    planes
        A calibrated light.
    halos
        Whether to mark the surroundings of saturated stars.
    trail_sigma
        Least significance of a trail; None: no search.
    reflections
        Rules for the positions of reflections of saturated stars.
    """
    if not (halos or reflections or trail_sigma is not None):
        return planes
    small = shrunken_light.shrink(planes)
    mask = planes.mask.copy()
    stars = star_halos.saturated_stars(small)
    for star in stars if halos else ():
        star_halos.paint_disc(mask, star.x, star.y, star.halo_px, HALO_BIT)
    for star in stars:
        for reflection in reflections:
            x, y = star_halos.reflected(star, reflection, planes.image.shape)
            star_halos.paint_disc(mask, x, y, reflection.radius_px, GHOST_BIT)
    for trail in trails.find_trails(small, stars, sigma=trail_sigma) if trail_sigma is not None else ():
        trails.paint_band(mask, trail)
    return LightPlanes(image=planes.image, variance=planes.variance, mask=mask)
