"""What bright things do to a light beyond their own pixels: halos of stars, trails of satellites, reflections.

All is found on a small copy of the image, on the host, so that every device comes to the same mask. The small copy has
the means of square blocks; its noise is taken for 1 in what follows.
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
    """Return a light whose mask tells of halos (64), trails (32) and reflections (128); all arrays on the host.

    Parameters
    ----------
    planes
        A calibrated light.
    halos
        Whether to mark the surroundings of saturated stars.
    trail_sigma
        Significance of a trail; None: none is looked for.
    reflections
        Where light of saturated stars turns up again.
    """
    if not (halos or reflections or trail_sigma is not None):
        return planes
    small = shrunken_light.shrink(planes)
    mask = planes.mask.copy()
    stars = star_halos.saturated_stars(small)
    for star in stars if halos else ():
        star_halos.paint_disc(mask, star.x, star.y, star.halo_px, HALO_BIT)
    for star in stars:
        for each in reflections:
            x, y = star_halos.reflected(star, each, planes.image.shape)
            star_halos.paint_disc(mask, x, y, each.radius_px, GHOST_BIT)
    for trail in trails.find_trails(small, stars, sigma=trail_sigma) if trail_sigma is not None else ():
        trails.paint_band(mask, trail)
    return LightPlanes(image=planes.image, variance=planes.variance, mask=mask)
