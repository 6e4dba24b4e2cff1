"""Detection: sources drawn at known places with known fluxes on known noise."""

from __future__ import annotations

import numpy as np
import pytest
from support import pairs

from tasks.errors import UnusableData
from tasks.science.astrometry.field_grids import field_wcs
from tasks.science.candidates import detection, matched_filter, stamps

SHAPE = (300, 340)
SIGMA = 1.7


def made(xp, image, variance, *, mask=None, noise_seed=3):
    stamp = pairs.draw((25, 25), [12.0], [12.0], [1.0], SIGMA)
    empty = np.zeros(SHAPE, dtype=np.float32)
    bits = np.zeros(SHAPE, dtype=np.uint8) if mask is None else mask.astype(np.uint8)
    noise = np.random.default_rng(noise_seed).normal(0, np.sqrt(variance), SHAPE)
    return matched_filter.planes(
        xp.asarray((image + noise).astype(np.float32)),
        xp.asarray(empty),
        xp.asarray(np.broadcast_to(variance, SHAPE).astype(np.float32)),
        xp.asarray(bits),
        xp.asarray(empty),
        direction="reference",
        kernel_sum=1.0,
        psf=stamp / stamp.sum(),
        fwhm_px=2.3548 * SIGMA,
    )


def grid_of_sources(flux):
    x, y = (each.ravel() for each in np.meshgrid(np.linspace(40.3, 300.1, 6), np.linspace(40.8, 260.4, 5)))
    return x, y, flux * np.where(np.arange(30) % 2, -1.0, 1.0)


def test_both_signs_are_found_where_they_are_with_their_flux(xp):
    x, y, flux = grid_of_sources(2000.0)
    found, maps = detection.detect(made(xp, pairs.draw(SHAPE, x, y, flux, SIGMA), 16.0), threshold=8)
    distance = np.hypot(found.x[:, None] - x, found.y[:, None] - y)
    nearest = distance.argmin(axis=0)
    assert len(found) == 30
    assert distance.min(axis=0).max() < 0.3
    assert np.array_equal(found.sign[nearest], np.sign(flux))
    pull = (found.flux[nearest] - flux) / found.flux_error[nearest]
    assert np.abs(pull).max() < 4.5
    assert 0.6 < pull.std() < 1.5
    assert np.median(found.aperture_flux[nearest] / flux) == pytest.approx(0.99, abs=0.03)
    assert maps.scatter == pytest.approx(1.0, abs=0.08)


def test_the_signal_to_noise_is_the_optimal_one(xp):
    flux, variance = 1000.0, 16.0
    found, _ = detection.detect(made(xp, pairs.draw(SHAPE, [150.0], [140.0], [flux], SIGMA), variance), threshold=8)
    # of a Gaussian PSF on white noise: flux / (sigma 2 sqrt(pi) sigma_psf)
    wanted = flux / (np.sqrt(variance) * 2 * np.sqrt(np.pi) * SIGMA)
    assert found.snr[0] == pytest.approx(wanted, abs=3)


def test_pure_noise_has_few_detections():
    found, _ = detection.detect(made(np, np.zeros(SHAPE), 16.0), threshold=5)
    assert len(found) <= 1


def test_correlated_noise_does_not_raise_the_significance(rng):
    from scipy import ndimage

    noise = ndimage.gaussian_filter(rng.normal(0, 40, SHAPE), 1.5)
    planes = made(np, noise, float(noise.var()) / 2)
    found, maps = detection.detect(planes, threshold=5)
    assert maps.scatter > 1.5
    assert len(found) <= 2


def test_masked_sources_are_not_found_and_half_masked_ones_are_told():
    mask = np.zeros(SHAPE, dtype=bool)
    mask[90:111, 90:111] = True
    mask[200, 200] = True
    image = pairs.draw(SHAPE, [100.0, 200.0], [100.0, 200.0], [5000.0, 5000.0], SIGMA)
    found, _ = detection.detect(made(np, image, 16.0, mask=mask), threshold=8)
    assert len(found) == 1
    assert bool(found.masked_core[0])
    assert np.hypot(found.x[0] - 200, found.y[0] - 200) < 0.5


def test_a_difference_without_a_good_pixel_is_refused():
    with pytest.raises(UnusableData):
        detection.detect(made(np, np.zeros(SHAPE), 16.0, mask=np.ones(SHAPE, dtype=bool)), threshold=5)


def test_dipoles_are_paired():
    image = pairs.draw(SHAPE, [150.0, 151.2, 80.0], [150.0, 150.0, 80.0], [9000.0, -9000.0, 9000.0], SIGMA)
    found, _ = detection.detect(made(np, image, 16.0), threshold=8)
    alone = np.hypot(found.x - 80, found.y - 80) < 2
    assert (found.opposite_ratio[~alone] > 0.3).all()
    assert (found.opposite_ratio[alone] < 0.1).all()


@pytest.mark.parametrize(
    ("matrix", "north", "east"),
    [
        ([[-1, 0], [0, 1]], (0, 9), (-9, 0)),
        ([[1, 0], [0, 1]], (0, 9), (9, 0)),
        ([[0, 1], [1, 0]], (9, 0), (0, 9)),
        ([[0, -1], [1, 0]], (9, 0), (0, -9)),
        ([[1, 0], [0, -1]], (0, -9), (9, 0)),
        ([[0, 1], [-1, 0]], (-9, 0), (0, 9)),
    ],
)
def test_stamps_have_north_up_and_east_left(matrix, north, east):
    """``north`` and ``east`` are where a step to the north and to the east leads on the pixels."""
    wcs = field_wcs(110.0, -30.0, shape=SHAPE, scale_arcsec=0.5)
    wcs.wcs.cdelt = [1, 1]
    wcs.wcs.cd = np.array(matrix) * 0.5 / 3600
    image = np.zeros(SHAPE)
    x, y = 170, 150
    image[y + north[1], x + north[0]] = 1
    image[y + east[1], x + east[0]] = 2
    triplet = stamps.cut(made(np, image * 1e6, 1.0), x, y, wcs=wcs, size=31)
    assert triplet.planes[2][15 + 9, 15] == pytest.approx(1e6, rel=0.01)
    assert triplet.planes[2][15, 15 - 9] == pytest.approx(2e6, rel=0.01)


def test_stamps_beyond_the_border_are_padded_and_drawn():
    triplet = stamps.cut(made(np, np.zeros(SHAPE), 16.0), 3.0, 5.0)
    assert triplet.planes.shape == (3, 63, 63)
    assert np.isnan(triplet.planes[:, 0, 0]).all()
    assert triplet.mask[0, 0]
    assert stamps.picture(triplet, title="x").startswith(b"\x89PNG")
