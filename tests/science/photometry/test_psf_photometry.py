"""Fluxes by the PSF against the stars that were drawn: lone ones, and pairs whose apertures hold both."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from astropy.table import Table
from scipy.spatial import cKDTree

from tasks.science.arrays import nmad
from tasks.science.photometry import psf_photometry
from tasks.science.photometry.depths import Pixels
from tasks.science.simulation import optics
from tasks.science.sources import apertures

SHAPE = (900, 1200)
SEEING_PX, SKY_E, READ_NOISE_E = 4.0, 300.0, 3.0
APERTURE_PX = 2 * SEEING_PX
LONE, PAIRS = 120, 60


@dataclass(frozen=True, kw_only=True)
class Field:
    """Lone stars on a grid, and among them pairs: true fluxes of the detections that are one of them each."""

    pixels: Pixels
    table: Table
    stars: Table
    truth: np.ndarray
    paired: np.ndarray


@pytest.fixture(scope="module")
def field() -> Field:
    rng = np.random.default_rng(8)
    rows, columns = np.mgrid[50 : SHAPE[0] - 49 : 66, 45 : SHAPE[1] - 44 : 85]
    place = np.stack([columns.ravel(), rows.ravel()], axis=1)[: LONE + PAIRS] + rng.uniform(-4, 4, (LONE + PAIRS, 2))
    place, flux = rng.permutation(place), 10 ** rng.uniform(4.0, 5.5, LONE + PAIRS)
    apart, angle = SEEING_PX * rng.uniform(1.4, 2.2, PAIRS), rng.uniform(0, 2 * np.pi, PAIRS)
    other = place[:PAIRS] + np.stack([apart * np.cos(angle), apart * np.sin(angle)], axis=1)
    place = np.concatenate([place, other])
    flux = np.concatenate([flux, flux[:PAIRS] * rng.uniform(0.4, 1, PAIRS)])
    light = np.full(SHAPE, SKY_E, np.float32)
    optics.add_stars(light, place[:, 0], place[:, 1], flux, optics.round_psf(SEEING_PX * optics.SCALE_ARCSEC, SHAPE))
    image = (rng.poisson(light) + rng.normal(0, READ_NOISE_E, SHAPE)).astype(np.float32)
    found = apertures.extract(image, diameters_px=(APERTURE_PX,), gain=1.0)
    distance, index = cKDTree(place).query(np.stack([found.x, found.y], axis=1))
    paired = (index < PAIRS) | (index >= LONE + PAIRS)
    table = Table({"X_IMAGE": found.x + 1, "Y_IMAGE": found.y + 1, "FLUX_AUTO": found.flux_auto})
    table["FLUX_APER"], table["FLUXERR_APER"] = found.flux[:, 0], found.error[:, 0]
    table, truth, paired = (values[distance < 1.5] for values in (table, flux[index], paired))
    return Field(
        pixels=Pixels(image=image, bad=np.zeros(SHAPE, bool), variance=light + READ_NOISE_E**2),
        table=table,
        stars=table[np.argsort(-table["FLUX_AUTO"])],
        truth=truth,
        paired=paired,
    )


def measure(field, **changes):
    pixels = replace(field.pixels, **changes)
    noise = np.hypot(np.sqrt(SKY_E), READ_NOISE_E)
    return psf_photometry.measure(
        pixels, field.table, field.stars, seeing_px=SEEING_PX, sky_sigma_adu=float(noise), egain=1.0
    )


def calibrated(field, flux):
    """Fluxes on the scale that lone bright stars give, as a zero point does."""
    use = ~field.paired & (field.truth > 3e4)
    return flux / np.median(flux[use] / field.truth[use])


@pytest.fixture(scope="module")
def by_psf(field):
    return measure(field)


def test_fluxes_of_pairs_are_right_within_their_errors_where_apertures_are_not(field, by_psf):
    flux, error = by_psf
    pairs = field.paired
    pull = ((calibrated(field, flux) - field.truth) / error)[pairs]
    whole = calibrated(field, np.asarray(field.table["FLUX_APER"]))
    aperture = ((whole - field.truth) / field.table["FLUXERR_APER"])[pairs]

    assert pairs.sum() > 90
    assert np.isfinite(pull).all()
    assert abs(np.median(pull)) < 0.4
    assert nmad(pull) < 1.35
    assert np.mean(np.abs(pull) < 3) > 0.95
    assert np.median(aperture) > 10
    assert np.median(2.5 * np.log10(whole / field.truth)[pairs]) > 0.05


def test_lone_stars_scatter_by_their_errors_and_less_than_in_apertures(field, by_psf):
    flux, error = by_psf
    lone = ~field.paired
    residual = (calibrated(field, flux) - field.truth)[lone]
    aperture = (calibrated(field, np.asarray(field.table["FLUX_APER"])) - field.truth)[lone]

    assert nmad(residual / error[lone]) == pytest.approx(1, abs=0.25)
    assert nmad(residual / field.truth[lone]) < nmad(aperture / field.truth[lone])


def test_without_a_variance_the_noise_is_that_of_sky_and_photons(field, by_psf):
    flux, error = measure(field, variance=None)

    assert np.median(flux / by_psf[0]) == pytest.approx(1, abs=3e-3)
    assert np.median(error / by_psf[1]) == pytest.approx(1, abs=0.05)


def test_a_detection_on_bad_pixels_has_no_flux_and_the_others_theirs(field, by_psf):
    bad = field.pixels.bad.copy()
    x, y = (round(float(field.table[name][0])) - 1 for name in ("X_IMAGE", "Y_IMAGE"))
    bad[y - 15 : y + 16, x - 15 : x + 16] = True
    flux, error = measure(field, bad=bad)

    assert np.isnan([flux[0], error[0]]).all()
    assert np.isfinite(flux[1:]).sum() >= len(flux) - 5
    assert np.nanmedian(flux[1:] / by_psf[0][1:]) == pytest.approx(1, abs=2e-3)


def test_nine_lone_stars_make_no_psf(field):
    lone = field.stars[:9]
    few = replace(field, stars=lone)

    assert measure(few) is None


def test_groups_are_of_near_sources_and_never_huge():
    alone = np.array([[10.0, 10.0], [100.0, 10.0], [100.0, 21.0]])
    assert psf_photometry._groups(alone, SEEING_PX).tolist() == [1, 2, 2]
    assert psf_photometry._groups(alone[:1], SEEING_PX).tolist() == [1]
    row = np.column_stack([np.arange(40) * 9.0, np.zeros(40)])
    assert np.bincount(psf_photometry._groups(row, SEEING_PX)).max() == 1
