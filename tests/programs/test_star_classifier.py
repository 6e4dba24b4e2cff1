"""CLASS_STAR on simulated stars and galaxies (exponential discs) of the same seeing."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.convolution import convolve_fft
from astropy.modeling.models import Moffat2D, Sersic2D

from tasks.io.catalogues import ldac
from tasks.io.fits import fits_images
from tasks.programs import source_extractor

STEP, EACH = 50, 12
SCALE_ARCSEC, FWHM_PX, BETA = 0.505, 4.0, 3.0
SKY, GAIN = 200.0, 1.0
FLUX = 3e4
"""Light of each source in electrons: S/N about 100."""

pytestmark = pytest.mark.skipif(source_extractor.classifier() is None, reason="no star classifier is installed")


def kernel(size: int = 41) -> np.ndarray:
    gamma = FWHM_PX / 2 / np.sqrt(2 ** (1 / BETA) - 1)
    y, x = np.mgrid[:size, :size] - size // 2
    made = Moffat2D(1.0, 0.0, 0.0, gamma, BETA)(x, y)
    return made / made.sum()


def drawn(radius_px: float, rng: np.random.Generator) -> np.ndarray:
    """Draw rows of stars, then of discs with this half-light radius, on a sky with its noise."""
    side = STEP * EACH
    y, x = np.mgrid[:side, :side].astype(float)
    light = np.zeros((side, side))
    for row in range(EACH):
        for column in range(EACH):
            cx, cy = (np.array([column, row]) + 0.5) * STEP + rng.uniform(-0.5, 0.5, 2)
            near = (slice(row * STEP, (row + 1) * STEP), slice(column * STEP, (column + 1) * STEP))
            if row < EACH // 2:
                light[round(cy), round(cx)] += FLUX
            else:
                disc = Sersic2D(1.0, radius_px, 1.0, cx, cy, 0.3, rng.uniform(0, np.pi))(x[near], y[near])
                light[near] += FLUX * disc / disc.sum()
    image = convolve_fft(light, kernel(), boundary="wrap")
    return rng.poisson(np.clip(image, 0, None) + SKY).astype(np.float32)


@pytest.mark.parametrize("radius_px", [3.0, 5.0])
def test_galaxies_wider_than_the_seeing_are_told_from_stars(radius_px, tmp_path, rng):
    fits_images.write_image(tmp_path / "in.fits", drawn(radius_px, rng), {"EGAIN": GAIN, "SATURATE": 6e4})
    options = source_extractor.Options(
        seeing_arcsec=FWHM_PX * SCALE_ARCSEC,
        scale_arcsec=SCALE_ARCSEC,
        classifier=source_extractor.classifier(),
    )
    table = ldac.read(source_extractor.extract(tmp_path / "in.fits", tmp_path, options).catalogue)
    star = table["Y_IMAGE"] < STEP * EACH / 2

    assert abs(int(star.sum()) - EACH**2 // 2) <= 2
    assert abs(int((~star).sum()) - EACH**2 // 2) <= 2
    assert (table["CLASS_STAR"][star] > 0.8).mean() > 0.95
    assert (table["CLASS_STAR"][~star] < 0.2).mean() > 0.95
