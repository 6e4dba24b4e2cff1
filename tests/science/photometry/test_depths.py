"""Depth by empty apertures against the noise that was put in."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.table import Table
from scipy import ndimage
from support import starfields

from tasks.science.astrometry import field_grids
from tasks.science.photometry import depths
from tasks.science.photometry.depths import Pixels
from tasks.science.stacking import coadding

SHAPE = (1200, 1600)
DIAMETERS = (5.9, 9.9, 19.8)
NO_SOURCES = {"X_IMAGE": [], "Y_IMAGE": [], "ISOAREA_IMAGE": [], "ELONGATION": []}


def detections(places=(), area=40.0):
    rows = list(places)
    return Table(
        {
            "X_IMAGE": [x + 1.0 for x, _ in rows],
            "Y_IMAGE": [y + 1.0 for _, y in rows],
            "ISOAREA_IMAGE": [area] * len(rows),
            "ELONGATION": [1.0] * len(rows),
        }
    )


def noise(rng, sigma=40.0):
    return (250 + rng.normal(0, sigma, SHAPE)).astype(np.float32)


def nothing_bad():
    return np.zeros(SHAPE, bool)


def aperture_noise(sigma, diameter):
    return sigma * np.sqrt(np.pi) * diameter / 2


def test_white_noise_gives_the_formula(rng):
    found = depths.empty_noise_adu(Pixels(image=noise(rng), bad=nothing_bad()), Table(NO_SOURCES), DIAMETERS)

    # the scatter of 500 apertures is known to 1.17 / sqrt(500) = 5 %
    for diameter in DIAMETERS:
        assert found[diameter] == pytest.approx(aperture_noise(40.0, diameter), rel=0.16)
    ratio = np.mean([found[diameter] / aperture_noise(40.0, diameter) for diameter in DIAMETERS])
    assert ratio == pytest.approx(1, abs=0.08)


def test_correlated_noise_makes_the_formula_too_deep_and_empty_apertures_not(rng):
    kernel = np.ones((3, 3)) / 9
    image = (250 + ndimage.convolve(rng.normal(0, 120.0, SHAPE), kernel)).astype(np.float32)
    per_pixel = float(np.std(image))
    found = depths.empty_noise_adu(Pixels(image=image, bad=nothing_bad()), Table(NO_SOURCES), DIAMETERS)

    for diameter in (9.9, 19.8):
        # a kernel of unit sum leaves the noise of areas larger than itself as it was
        assert found[diameter] == pytest.approx(aperture_noise(120.0, diameter), rel=0.2)
        formula = depths.depth_mag(28.0, sky_sigma_adu=per_pixel, diameter_px=diameter, sigma=5)
        empirical = depths.limit_mag(28.0, noise_adu=found[diameter], sigma=5)
        assert formula - empirical > 0.7


def stacked(rng):
    """Six frames resampled and combined; the stack's noise of an area, per pixel, by the noise that the frames got."""
    shape = (900, 1200)
    shots, stars = starfields.dithered(6, shape, rng, stars=60)
    on_grid = field_grids.stack_shape(shape)
    grid = field_grids.field_wcs(*starfields.CENTRE_DEG, shape=on_grid, scale_arcsec=0.505)
    stack = coadding.coadd(starfields.exposures(shots), grid, shape=on_grid)
    bad = ~(stack.weight > 0.5 * np.median(stack.weight))
    places = np.column_stack(grid.all_world2pix(stars[0], stars[1], 0))
    truth = sum((shot.scale * starfields.NOISE_ADU) ** -2 for shot in shots) ** -0.5
    return Pixels(image=stack.image, bad=bad), detections(places, area=250.0), truth


def test_on_a_resampled_stack_the_formula_is_too_deep_and_empty_apertures_tell_the_truth(rng):
    by_formula, by_apertures = [], []
    for _ in range(3):
        pixels, table, truth = stacked(rng)
        good = pixels.image[~pixels.bad]
        per_pixel = 1.4826 * float(np.median(np.abs(good - np.median(good))))
        found = depths.empty_noise_adu(pixels, table, (9.9, 19.8))
        for diameter, noise_adu in found.items():
            true_depth = depths.depth_mag(28.0, sky_sigma_adu=truth, diameter_px=diameter, sigma=5)
            formula = depths.depth_mag(28.0, sky_sigma_adu=per_pixel, diameter_px=diameter, sigma=5)
            by_formula.append(formula - true_depth)
            by_apertures.append(depths.limit_mag(28.0, noise_adu=noise_adu, sigma=5) - true_depth)

    assert len(by_apertures) == 6
    # Lanczos interpolation takes a tenth off the noise of a pixel, not off that of an area
    assert np.mean(by_formula) > 0.09
    # six scatters of 500 apertures each are known to 2 %
    assert abs(np.mean(by_apertures)) < 0.07


def test_sources_bad_pixels_and_slopes_are_kept_out(rng):
    image, bad = noise(rng), nothing_bad()
    clean = depths.empty_noise_adu(Pixels(image=image, bad=bad), Table(NO_SOURCES), DIAMETERS)
    ny, nx = SHAPE
    v, u = np.mgrid[:ny, :nx].astype(np.float32)
    image = image + 0.05 * u + 0.03 * v
    places = np.column_stack([rng.uniform(20, nx - 20, 400), rng.uniform(20, ny - 20, 400)])
    for x, y in places:
        cut = np.s_[max(int(y) - 12, 0) : int(y) + 13, max(int(x) - 12, 0) : int(x) + 13]
        image[cut] += 4000 * np.exp(-((u[cut] - x) ** 2 + (v[cut] - y) ** 2) / 8)
    bad[rng.integers(0, ny, 800), rng.integers(0, nx, 800)] = True
    image[bad] = 60000
    found = depths.empty_noise_adu(Pixels(image=image.astype(np.float32), bad=bad), detections(places), DIAMETERS[:2])

    for diameter in DIAMETERS[:2]:
        assert found[diameter] == pytest.approx(clean[diameter], rel=0.16)


def test_where_nothing_is_free_nothing_is_said(rng):
    bad = nothing_bad()
    bad[::8] = True
    found = depths.empty_noise_adu(Pixels(image=noise(rng), bad=bad), Table(NO_SOURCES), DIAMETERS)

    assert set(found) == {5.9}
    bad[:] = True
    assert depths.empty_noise_adu(Pixels(image=noise(rng), bad=bad), Table(NO_SOURCES), DIAMETERS) == {}


def test_the_same_image_gives_the_same_number_and_a_tiny_one_no_error(rng):
    pixels = Pixels(image=noise(rng), bad=nothing_bad())
    first, again = (depths.empty_noise_adu(pixels, detections([(300, 300)]), DIAMETERS) for _ in range(2))
    assert first == again
    small = Pixels(image=pixels.image[:50, :60], bad=pixels.bad[:50, :60])
    assert set(depths.empty_noise_adu(small, Table(NO_SOURCES), DIAMETERS)) <= set(DIAMETERS)
