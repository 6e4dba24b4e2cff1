"""Pictures of zero points."""

from __future__ import annotations

import io
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib import colors, image

from tasks.io.pages import zero_point_plots
from tasks.records import ZeroPointStars
from tasks.science.photometry import zeropoints


@pytest.fixture
def stars(rng) -> ZeroPointStars:
    magnitude = rng.uniform(10.5, 19.5, 900)
    difference = 25.31 + rng.normal(0, 0.01 + 10 ** (0.35 * (magnitude - 21.5)))
    difference[::40] += rng.uniform(-0.9, 0.9, len(difference[::40]))
    inside = (magnitude > 12) & (magnitude < 18)
    kept = zeropoints.kept(np.where(inside, difference, np.nan))
    point = zeropoints.zero_point(difference[kept])
    return ZeroPointStars(
        aperture="APER_1",
        limits_mag=(12.0, 18.0),
        zero_point_mag=point.value_mag,
        mad_mag=point.mad_mag,
        magnitude=magnitude,
        difference_mag=difference,
        kept=kept,
    )


def drawn(png: bytes, colour: str) -> int:
    """Return how many pixels have a colour, or nearly."""
    picture = image.imread(io.BytesIO(png))[..., :3]
    return int((np.abs(picture - colors.to_rgb(colour)).max(axis=-1) < 0.1).sum())


def test_kept_clipped_and_unused_stars_are_told_apart_and_the_limits_shaded(stars):
    png = zero_point_plots.draw(stars, title="x.fits")
    nobody = replace(stars, kept=np.zeros(len(stars.kept), bool))

    assert drawn(png, zero_point_plots.KEPT) > 100
    assert drawn(png, zero_point_plots.CLIPPED) > 50
    assert drawn(png, zero_point_plots.SHADE) > 20000
    assert drawn(zero_point_plots.draw(nobody, title="x.fits"), zero_point_plots.KEPT) < 100


def test_the_same_stars_give_the_same_bytes_and_stars_without_a_flux_no_error(stars):
    assert zero_point_plots.draw(stars, title="x.fits") == zero_point_plots.draw(stars, title="x.fits")
    blind = replace(stars, difference_mag=np.full(len(stars.kept), np.nan), kept=np.zeros(len(stars.kept), bool))
    assert zero_point_plots.draw(blind, title="x.fits").startswith(b"\x89PNG")


def test_each_aperture_has_its_picture_beside_the_catalogue(stars):
    made = zero_point_plots.pictures([stars, replace(stars, aperture="AUTO")], Path("r/calib_x.com.fits"))

    assert list(made) == [Path("r/phot/calib_x.com.MAG_APER_1.png"), Path("r/phot/calib_x.com.MAG_AUTO.png")]


def test_measuring_without_pictures_does_not_load_what_draws_them():
    told = "import sys, tasks.reduction.photometry; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", told], check=False).returncode == 0
