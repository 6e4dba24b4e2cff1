"""Arrays for pictures of a sky map: the whole sky on a grid, and a zoom on its 90 % region."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from tasks.records import Outlines, Plan, SkyMap, SkyPicture, Telescope, Zoom
from tasks.science.astrometry import directions, field_grids
from tasks.science.skymaps import credible_regions, footprints, healpix, regions

Floats = npt.NDArray[np.float64]

# a quarter of a degree each
COLUMNS = 1440
# pixels on each side of the zoom
ZOOM_PIXELS = 480
# shows most of a field of 7DT (1.34 x 0.90 deg)
SMALLEST_HALF_DEG = 0.4
# there the tangent plane stretches radii by 1.4
LARGEST_HALF_DEG = 32.0
# free space around the region
MARGIN = 1.15
# sides of a field curve in the projection
POINTS_PER_SIDE = 6


def picture(
    sky_map: SkyMap,
    *,
    title: str,
    subtitle: str = "",
    plans: Sequence[Plan] = (),
    telescopes: Mapping[str, Telescope] | None = None,
) -> SkyPicture:
    """Return the contents of a sky map's picture, with or without plans."""
    ra = (np.arange(COLUMNS) + 0.5) * 360 / COLUMNS
    dec = (np.arange(COLUMNS // 2) + 0.5) * 360 / COLUMNS - 90
    density, level = _values(sky_map, *np.meshgrid(ra, dec))
    descriptions = telescopes or {}
    return SkyPicture(
        title=title,
        subtitle=subtitle,
        density=density,
        level=level,
        zoom=_zoom(sky_map),
        fields=tuple(_outlines(plan, descriptions[plan.telescope]) for plan in plans if plan.tiles),
    )


def _values(sky_map: SkyMap, ra_deg: Floats, dec_deg: Floats) -> tuple[Floats, Floats]:
    """Return probability per deg² and credible level on a grid; 0 and 1 outside a partial map."""
    rows = credible_regions.rows_at(sky_map, ra_deg.ravel(), dec_deg.ravel())
    density = np.where(rows >= 0, sky_map.density[rows], 0.0) / healpix.SR_TO_DEG2
    level = np.where(rows >= 0, credible_regions.rank(sky_map).level[rows], 1.0)
    return density.reshape(ra_deg.shape), level.reshape(ra_deg.shape)


def _zoom(sky_map: SkyMap) -> Zoom:
    ra_deg, dec_deg, half_deg = frame(sky_map)
    scale = 2 * half_deg / ZOOM_PIXELS
    wcs = field_grids.field_wcs(ra_deg, dec_deg, shape=(ZOOM_PIXELS, ZOOM_PIXELS), scale_arcsec=3600 * scale)
    x, y = np.meshgrid(np.arange(ZOOM_PIXELS), np.arange(ZOOM_PIXELS))
    density, level = _values(sky_map, *wcs.pixel_to_world_values(x, y))
    return Zoom(ra_deg=ra_deg, dec_deg=dec_deg, scale_deg=scale, density=density, level=level)


def frame(sky_map: SkyMap) -> tuple[float, float, float]:
    """Return centre and half width in degrees of a square that contains the 90 % region, or its strongest part."""
    cells = regions.region(sky_map, 0.9)
    points = cells.points()
    centre = cells.probability @ points
    centre /= np.linalg.norm(centre)
    apart = directions.separations_deg(points, centre)
    if apart.max() > LARGEST_HALF_DEG:
        peak = points[np.argmax(cells.probability / healpix.PIXEL_SR[cells.order])]
        around = directions.separations_deg(points, peak) < LARGEST_HALF_DEG
        centre = cells.probability[around] @ points[around]
        centre /= np.linalg.norm(centre)
        apart = np.array([LARGEST_HALF_DEG])
    size = footprints.ROOT_PIXEL_DEG / 2.0 ** float(cells.order.max())
    half = float(np.clip(MARGIN * (apart.max() + size), SMALLEST_HALF_DEG, LARGEST_HALF_DEG))
    ra, dec = np.degrees(np.arctan2(centre[1], centre[0])) % 360, np.degrees(np.arcsin(centre[2]))
    return float(ra), float(dec), half


def _outlines(plan: Plan, telescope: Telescope) -> Outlines:
    view = telescope.field_of_view
    corners = [footprints.corners(tile.ra_deg, tile.dec_deg, view, per_side=POINTS_PER_SIDE) for tile in plan.tiles]
    words = f"{plan.telescope}: {len(plan.tiles)} tiles, {100 * plan.probability:.1f} %, {plan.area_deg2:.1f} deg²"
    return Outlines(label=words, corners_deg=np.stack(corners))
