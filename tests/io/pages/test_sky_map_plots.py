"""Pictures of sky maps."""

from __future__ import annotations

import io

import numpy as np
import pytest
from matplotlib import image
from support import plans

from tasks.io.pages import sky_map_plots
from tasks.records import SkyPicture
from tasks.science.skymaps import sky_pictures


def picture(*, ra_deg: float = 105.0, covered: bool = True, **changes) -> SkyPicture:
    sky_map = plans.sky_map(ra_deg=ra_deg, **changes)
    tile = plans.plan().tiles[0]
    moved = [type(tile)(id=f"{n}", ra_deg=(ra_deg + 1.5 * n) % 360, dec_deg=-30.0, probability=0.1) for n in range(3)]
    made = [plans.plan(telescope="Small", tiles=tuple(moved))] if covered else []
    return sky_pictures.picture(
        sky_map, title="S1", subtitle="words", plans=made, telescopes={"Small": plans.telescope()}
    )


def pixels(png: bytes) -> np.ndarray:
    return image.imread(io.BytesIO(png))


@pytest.mark.parametrize(("ra_deg", "error_deg"), [(105.0, 4.0), (0.1, 4.0), (250.0, 60.0), (30.0, 0.001)])
def test_the_coverage_picture_shows_the_fields_in_colour(ra_deg: float, error_deg: float) -> None:
    png = sky_map_plots.coverage(picture(ra_deg=ra_deg, error_deg=error_deg), dpi=60)
    drawn = pixels(png)[..., :3]
    blue = np.abs(drawn - np.array([0x00, 0x72, 0xB2]) / 255).max(axis=-1) < 0.08
    assert drawn.shape[1] > drawn.shape[0]
    assert blue.sum() > 20


def test_the_plain_picture_is_small_and_shows_the_region() -> None:
    png = sky_map_plots.sky_map(picture(covered=False))
    drawn = pixels(png)[..., :3]
    assert len(png) < 200_000
    assert (drawn.min(axis=-1) < 0.3).sum() > 100


def test_the_zoom_holds_the_whole_region() -> None:
    made = picture(error_deg=6.0)
    half = made.zoom.scale_deg * len(made.zoom.density) / 2
    assert 6.0 < half < 9.0
    edge = np.concatenate([made.zoom.level[0], made.zoom.level[-1], made.zoom.level[:, 0], made.zoom.level[:, -1]])
    assert edge.min() > 0.9


def test_the_all_sky_grid_holds_the_maps_probability() -> None:
    made = picture(error_deg=6.0)
    ny, nx = made.density.shape
    dec = np.radians((np.arange(ny) + 0.5) * 180 / ny - 90)
    area_deg2 = (360 / nx) * (180 / ny) * np.cos(dec)[:, None]
    assert (made.density * area_deg2).sum() == pytest.approx(1, rel=0.01)
