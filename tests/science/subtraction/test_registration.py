"""Alignment: the oracle is the map that the stars were placed with."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from astropy.io import fits
from scipy import ndimage
from support import pairs

from tasks.errors import UnusableData
from tasks.science.astrometry import field_grids
from tasks.science.sources import stars
from tasks.science.sources.stars import Stars
from tasks.science.subtraction import registration

SHAPE = (500, 600)


def listed(x, y, flux):
    ones = np.ones(len(x))
    order = np.argsort(-flux)
    everything = Stars(
        x=x, y=y, flux=flux, peak=flux, fwhm=3 * ones, ellipticity=0 * ones, clean=np.ones(len(x), dtype=bool)
    )
    return everything.where(order)


def moved_field(rng, *, shift, turn_deg=0.0, scale=1.0, noise=0.05, number=400):
    """Stars of a large sky seen by two cameras; return both lists and the map from the first to the second."""
    x, y = rng.uniform(-400, 1000, number), rng.uniform(-400, 900, number)
    flux = 10 ** rng.uniform(2, 5, number)
    angle, centre = np.radians(turn_deg), (299.5, 249.5)
    matrix = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])

    def there(px, py):
        u, v = matrix @ np.array([px - centre[0], py - centre[1]])
        return u + centre[0] + shift[0], v + centre[1] + shift[1]

    u, v = there(x, y)
    here = (x > 0) & (x < 599) & (y > 0) & (y < 499)
    other = (u > 0) & (u < 599) & (v > 0) & (v < 499)
    jitter = rng.normal(0, noise, (4, number))
    first = listed(x[here] + jitter[0][here], y[here] + jitter[1][here], flux[here])
    second = listed(u[other] + jitter[2][other], v[other] + jitter[3][other], 0.7 * flux[other])
    return first, second, there


@pytest.mark.parametrize(
    ("shift", "turn_deg", "scale"),
    [
        ((0.0, 0.0), 0.0, 1.0),
        ((-16.3, 9.4), 0.1, 1.0002),
        ((205.0, -170.0), 0.0, 1.0),
        ((-120.5, 60.2), 1.5, 1.005),
        ((10.0, -20.0), 180.4, 1.0),
    ],
)
def test_stars_alone_find_shift_turn_and_scale(rng, shift, turn_deg, scale):
    first, second, truth = moved_field(rng, shift=shift, turn_deg=turn_deg, scale=scale, number=900)
    mapping = registration.by_stars(first, second, SHAPE)
    x, y = np.array([50.0, 300.0, 550.0]), np.array([60.0, 250.0, 450.0])
    found, wanted = np.array(mapping(x, y)), np.array(truth(x, y))
    assert np.abs(found - wanted).max() < 0.15
    assert mapping.rms_px < 0.2


def test_fields_without_common_stars_are_refused(rng):
    first = moved_field(rng, shift=(0, 0))[0]
    second = moved_field(rng, shift=(0, 0))[1]
    with pytest.raises(UnusableData, match="align"):
        registration.by_stars(first, second, SHAPE)


def test_the_map_of_two_wcs_is_theirs_to_a_hundredth_of_a_pixel():
    science = field_grids.field_wcs(110.0, -30.0, shape=SHAPE, scale_arcsec=0.505)
    reference = field_grids.field_wcs(110.02, -29.99, shape=(520, 640), scale_arcsec=0.51)
    mapping = registration.by_wcs(science, reference, SHAPE)
    x, y = np.array([0.0, 250.3, 599.0]), np.array([499.0, 100.7, 0.0])
    wanted = reference.all_world2pix(*science.all_pix2world(x, y, 0), 0)
    assert np.abs(np.array(mapping(x, y)) - wanted).max() < 0.01


def test_equal_wcs_leave_the_pixels_alone():
    wcs = field_grids.field_wcs(110.0, -30.0, shape=SHAPE, scale_arcsec=0.505)
    assert registration.by_wcs(wcs, wcs, SHAPE).is_identity(SHAPE)


def test_a_wcs_that_disagrees_with_the_stars_is_mended(rng):
    first, second, truth = moved_field(rng, shift=(1.2, -0.8))
    wcs = field_grids.field_wcs(110.0, -30.0, shape=SHAPE, scale_arcsec=0.505)
    mapping = registration.choose("auto", wcs=(wcs, wcs), found=(first, second), shapes=(SHAPE, SHAPE))
    assert np.abs(np.array(mapping(300.0, 200.0)) - truth(300.0, 200.0)).max() < 0.1


def test_a_wcs_that_agrees_with_the_stars_is_kept(rng):
    first, second, _ = moved_field(rng, shift=(0.0, 0.0))
    wcs = field_grids.field_wcs(110.0, -30.0, shape=SHAPE, scale_arcsec=0.505)
    mapping = registration.choose("auto", wcs=(wcs, wcs), found=(first, second), shapes=(SHAPE, SHAPE))
    assert mapping.is_identity(SHAPE)


@pytest.mark.parametrize("mode", ["none", "wcs"])
def test_modes_that_cannot_work_say_so(rng, mode):
    first, second, _ = moved_field(rng, shift=(0.0, 0.0))
    with pytest.raises(UnusableData):
        registration.choose(mode, wcs=(None, None), found=(first, second), shapes=(SHAPE, (10, 10)))


def test_resampling_follows_a_spline(xp, rng):
    x, y = rng.uniform(20, 180, 40), rng.uniform(20, 130, 40)
    image = pairs.draw((150, 200), x, y, np.full(40, 1e4), 1.6)
    mapping = registration.identity((150, 200))
    shifted = registration.PixelMap(
        degree=1,
        centre=mapping.centre,
        scale=mapping.scale,
        x=mapping.x + np.array([3.3, 0, 0]),
        y=mapping.y + np.array([-2.6, 0, 0]),
    )
    moved = registration.resample(xp.asarray(image, dtype=xp.float32), shifted, (150, 200))
    wanted = ndimage.shift(image, (2.6, -3.3), order=5)
    inner = np.s_[10:-10, 10:-10]
    found = np.asarray(moved.get() if hasattr(moved, "get") else moved)
    assert np.abs(found - wanted)[inner].max() < 0.01 * image.max()
    assert np.isnan(found[:, -3:]).all()


def gaussian(x, y, fwhm):
    """A star of peak 1 on a square of 61 px: the profile's value at the middle of each pixel."""
    rows, columns = np.mgrid[:61, :61]
    return np.exp(-4 * np.log(2) * ((columns - x) ** 2 + (rows - y) ** 2) / fwhm**2)


@pytest.mark.parametrize(("fwhm", "residual"), [(3.0, 0.011), (4.0, 0.007), (6.0, 0.003)])
@pytest.mark.parametrize("step", [0.1, 0.25, 0.4, 0.7])
def test_a_resampled_star_lies_where_the_analytic_one_is_drawn(xp, fwhm, residual, step):
    # weights that do not reproduce a slope, like those of a plain Lanczos kernel, move it by up to 0.02 px
    still = registration.identity((61, 61))
    moved = dataclasses.replace(still, x=still.x + np.array([step, 0, 0]), y=still.y + np.array([-step, 0, 0]))
    image = xp.asarray(gaussian(30 + step, 30 - step, fwhm), dtype=xp.float32)
    found = registration.resample(image, moved, (61, 61))
    found = np.asarray(found.get() if hasattr(found, "get") else found)[3:-3, 3:-3].astype(float)
    wanted = gaussian(30, 30, fwhm)[3:-3, 3:-3]
    assert np.abs(found - wanted).max() < residual
    assert found.sum() == pytest.approx(wanted.sum(), rel=1e-4)
    places = np.arange(-27, 28)
    assert np.abs([found.sum(axis=0) @ places, found.sum(axis=1) @ places]).max() / wanted.sum() < 1e-3


def test_a_mask_moves_with_its_image(xp):
    mask = xp.zeros((60, 80), dtype=bool)
    mask[30, 40] = True
    mapping = registration.identity((60, 80))
    moved = registration.resample_mask(mask, mapping, (60, 80))
    assert bool(moved[30, 40])
    assert int(moved.sum()) == 1


@pytest.mark.parametrize(
    ("science", "reference", "shift"),
    [("0100", "0172", (-16.0, 9.3)), ("0100", "0171", (-174.5, -21.5)), ("0172", "0100", (16.0, -9.3))],
)
def test_real_frames_without_wcs_align(shared_data, science, reference, shift):
    found = []
    for name in (science, reference):
        image = fits.getdata(shared_data / "images" / "saao" / f"AKB13475I{name}.fits").astype(np.float32)
        found.append(stars.find(image, np.zeros(image.shape, dtype=bool)))
    mapping = registration.by_stars(*found, (512, 512))
    assert np.abs(np.array(mapping.shift_px) - shift).max() < 0.5
    assert mapping.rms_px < 0.25
    assert mapping.matched > 150
