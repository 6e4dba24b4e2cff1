"""The simulated night against independent measurements: photon transfer, photutils, astropy fits, counting."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from astropy.io import fits
from astropy.modeling.fitting import TRFLSQFitter
from astropy.modeling.models import Const2D, Moffat2D
from astropy.stats import mad_std, sigma_clip
from astropy.wcs import WCS
from photutils.aperture import ApertureStats, CircularAnnulus, CircularAperture
from photutils.centroids import centroid_2dg, centroid_sources
from support import simulated
from support.simulated import Night

from tasks.errors import UnusableData
from tasks.science.astrometry import field_grids
from tasks.science.simulation import bands, frames, optics, plan, sky

READ_NOISE_E = 3.5
GAIN = 0.256190478801727


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Night:
    return simulated.make_night(tmp_path_factory.mktemp("night"), seed=3)


def pixels(path):
    return fits.getdata(path).astype(float)


def calibrated(night, light):
    """A light without bias and without the camera's unevenness, from the truth; bad pixels are filled by the median."""
    bias = np.median([pixels(path) for path in night.raw("bias-*.fits")], axis=0)
    image = (pixels(night.root / light["file"]) - bias) / night.transmission()
    image[night.bad_pixels() > 0] = np.median(image)
    return image


def isolated_stars(night, light, *, bright, faint, clear_px=22.0):
    """x, y, mag of stars inside the frame without any neighbour that matters."""
    stars = night.stars()
    x, y = night.wcs(light).all_world2pix(stars["ra"], stars["dec"], 0)
    mag = np.asarray(stars[f"mag_{light['filter']}"])
    ny, nx = night.truth["frame_shape"]
    inside = (x > 30) & (x < nx - 30) & (y > 30) & (y < ny - 30) & (mag > bright) & (mag < faint)
    alone = [
        i
        for i in np.flatnonzero(inside)
        if np.sum((np.hypot(x - x[i], y - y[i]) < clear_px) & (mag < mag[i] + 3.5)) == 1
    ]
    return x[alone], y[alone], mag[alone]


def test_photon_transfer_of_flat_pairs_gives_the_gain(night):
    good, bias = night.bad_pixels() == 0, 512.0
    flats = [pixels(path)[good] - bias for path in night.raw("flat-r-*.fits")]
    gains = []
    for one, two in pairwise(flats):
        k = one.mean() / two.mean()
        noise = sigma_clip(one - k * two, sigma=6).std()
        gains.append((one.mean() + k**2 * two.mean()) / (noise**2 - (1 + k**2) * (READ_NOISE_E / GAIN) ** 2))
    # 240 000 pixels and four pairs give the mean to 0.15 %
    assert np.mean(gains) == pytest.approx(GAIN, rel=0.02)


def test_bias_pairs_give_the_read_noise(night):
    biases = [pixels(path) for path in night.raw("bias-*.fits")]
    noise = np.mean([(one - two).std() for one, two in pairwise(biases)]) / np.sqrt(2)
    assert noise * GAIN == pytest.approx(READ_NOISE_E, rel=0.01)


def test_darks_show_the_hot_pixels_and_flats_the_dead_ones(night):
    bad = night.bad_pixels()
    dark = np.median([pixels(path) for path in night.raw("dark-*.fits")], axis=0) - 512
    flat = np.median([pixels(path) for path in night.raw("flat-r-*.fits")], axis=0) - 512
    assert np.all(dark[bad == 2] > 0.9 * 8.0 * 100 / GAIN)
    assert np.count_nonzero(dark[bad == 0] > 8.0 * 100 / GAIN) == 0
    assert np.all(flat[bad == 1] < 0.1 * np.median(flat))
    assert np.all(flat[bad == 3] < 0.4 * np.median(flat))


@pytest.mark.parametrize("filter_", ["r", "i"])
def test_aperture_photometry_finds_the_zero_point(night, filter_):
    radius, offsets = 16.0, []
    for light in night.lights(filter_=filter_):
        image = calibrated(night, light)
        x, y, mag = isolated_stars(night, light, bright=13.0, faint=16.0)
        positions = np.column_stack([x, y])
        background = ApertureStats(image, CircularAnnulus(positions, 18, 24), sigma_clip=None).median
        total = ApertureStats(image, CircularAperture(positions, radius)).sum - background * np.pi * radius**2
        alpha = light["seeing_arcsec"] / 0.505 / 2 / np.sqrt(2 ** (1 / 3) - 1)
        inside = 1 - (1 + (radius / alpha) ** 2) ** -2
        offsets += list(-2.5 * np.log10(total / inside) + light["zero_point_mag"] - mag)
    assert len(offsets) >= 20
    assert np.median(offsets) == pytest.approx(0, abs=0.01)


def test_centroids_of_bright_stars_lie_where_the_true_wcs_says(night):
    for light in night.lights():
        x, y, _ = isolated_stars(night, light, bright=13.0, faint=15.5)
        found_x, found_y = centroid_sources(calibrated(night, light), x, y, box_size=13, centroid_func=centroid_2dg)
        assert len(x) >= 3
        assert np.median(np.hypot(found_x - x, found_y - y)) < 0.05


def test_check_points_agree_with_the_stored_wcs(night):
    for light in night.truth["lights"]:
        x, y, ra, dec = np.transpose(light["check_points"])
        wcs = night.wcs(light)
        np.testing.assert_allclose(wcs.all_pix2world(x, y, 0), (ra, dec), rtol=0, atol=1e-8)
        np.testing.assert_allclose(wcs.all_world2pix(ra, dec, 0), (x, y), rtol=0, atol=1e-3)


def test_a_fitted_star_has_the_seeing_of_the_truth(night):
    ratios = []
    for light in night.lights():
        image = calibrated(night, light)
        x, y, _ = isolated_stars(night, light, bright=13.0, faint=15.0)
        for star_x, star_y in zip(x, y, strict=True):
            ratios.append(fitted_fwhm(image, star_x, star_y) * 0.505 / light["seeing_arcsec"])
    # 0.3" wider in the very corners of the frame, 0.1" on average
    assert 1.0 < np.median(ratios) < 1.10


def fitted_fwhm(image, x, y, half=10):
    i, j = round(float(x)), round(float(y))
    cut = image[j - half : j + half + 1, i - half : i + half + 1]
    yy, xx = np.mgrid[-half : half + 1, -half : half + 1]
    start = Moffat2D(cut.max(), x - i, y - j, gamma=4, alpha=3) + Const2D(np.median(cut))
    return TRFLSQFitter()(start, xx, yy, cut)[0].fwhm


def test_the_sky_is_as_bright_and_noisy_as_in_production(night):
    light = night.lights()[0]
    image = calibrated(night, light)
    ny = len(image)
    darkest = np.percentile(image, 40)
    assert darkest == pytest.approx(light["sky_adu"], rel=0.06)
    noise = np.sqrt(light["sky_adu"] / GAIN + (READ_NOISE_E / GAIN) ** 2)
    assert mad_std(np.diff(image[ny // 4 : -ny // 4], axis=1)) / np.sqrt(2) == pytest.approx(noise, rel=0.08)


@pytest.mark.parametrize("filter_", ["r", "i"])
def test_transients_have_their_significance_in_the_stack_and_none_in_the_reference(night, filter_):
    lights, reference = lights_without_the_steady_sky(night, filter_), reference_without_the_steady_sky(night, filter_)
    measured = []
    for transient in night.truth["transients"]:
        flux_adu = 10 ** (0.4 * (night.truth["zero_point"]["7DT01"][filter_] - transient["mag"][filter_]))
        measured.append(significance(*lights, transient, flux_adu))
        assert abs(significance(*reference, transient)) < 4.5
    expected = [transient["snr_stack"] for transient in night.truth["transients"]]
    np.testing.assert_allclose(measured, expected, rtol=0.12, atol=3.5)
    assert min(measured) > 10


def steady(request):
    """The field of a night before anything new appeared."""
    field = frames.draw_field(request)
    empty = np.empty(0)
    return replace(field, transients=sky.Transients(ra_deg=empty, dec_deg=empty, host=empty.astype(int), snr=empty))


def lights_without_the_steady_sky(night, filter_):
    """Six noisy lights less noiseless ones without transients: what is left is new, or noise."""
    request = plan.Request(scale="tiny", units=("7DT01",), seed=3)
    unit, field, residuals = frames.draw_unit(request, "7DT01"), steady(request), []
    lights = night.lights(filter_=filter_)
    shots = {shot.name: shot for shot in plan.shots(request, "7DT01")}
    for light in lights:
        shot = shots[light["file"].rpartition("/")[2]]
        model = frames.light_of(field, frames.draw_conditions(request, unit, shot), shot, request.size.shape)
        residuals.append(calibrated(night, light) - model / GAIN)
    return residuals, [night.wcs(light) for light in lights], [light["seeing_arcsec"] for light in lights]


def reference_without_the_steady_sky(night, filter_):
    path = next((night.references / filter_).glob("ref_*_3000.fits"))
    image, header = fits.getdata(path, header=True)
    model = np.zeros(image.shape, dtype=np.float32)
    request = plan.Request(scale="tiny", units=("7DT01",), seed=3)
    psf = optics.round_psf(header["SEEING"], image.shape)
    frames.add_sources(
        model, steady(request), WCS(header), psf, filter_=filter_, year=2025.1, zero_point_e=header["ZP_AUTO"]
    )
    return [image.astype(float) - model], [WCS(header)], [header["SEEING"]]


def significance(images, mappings, seeings, transient, flux_adu=0.0):
    """The significance of one flux fitted to all images; ``flux_adu`` is the source's share of the noise."""
    numerator = denominator = 0.0
    for image, wcs, seeing in zip(images, mappings, seeings, strict=True):
        x, y = (float(value) for value in wcs.all_world2pix(transient["ra_deg"], transient["dec_deg"], 0))
        i, j, half = round(x), round(y), 12
        yy, xx = np.mgrid[-half : half + 1, -half : half + 1]
        alpha = seeing / 0.505 / 2 / np.sqrt(2 ** (1 / 3) - 1)
        psf = 2 / (np.pi * alpha**2) * (1 + np.hypot(xx - (x - i), yy - (y - j)) ** 2 / alpha**2) ** -3
        cut = image[j - half : j + half + 1, i - half : i + half + 1]
        variance = mad_std(np.diff(image, axis=1)) ** 2 / 2 + flux_adu * psf / GAIN
        numerator += np.sum(psf * cut / variance)
        denominator += np.sum(psf**2 / variance)
    return numerator / np.sqrt(denominator)


def test_transients_are_well_inside_every_light(night):
    ny, nx = night.truth["frame_shape"]
    ra, dec = ([row[key] for row in night.truth["transients"]] for key in ("ra_deg", "dec_deg"))
    for light in night.truth["lights"]:
        x, y = night.wcs(light).all_world2pix(ra, dec, 0)
        assert np.all((x > 29) & (x < nx - 30) & (y > 29) & (y < ny - 30))


def test_cosmic_rays_are_recorded_where_they_are(night):
    seen = 0
    for light in night.lights():
        image, rays = pixels(night.root / light["file"]), fits.getdata(night.root / light["cosmics"])
        strong = rays[(rays["charge_e"] > 400)]
        if len(strong):
            excess = image[strong["y"], strong["x"]] - np.median(image)
            assert np.all(excess > 0.6 * strong["charge_e"] / GAIN)
            seen += len(strong)
    assert seen > 20


def test_the_mount_is_wrong_by_some_arcminutes_and_the_field_is_right(night):
    for light in night.truth["lights"]:
        header = fits.getheader(night.root / light["file"])
        cosine = np.cos(np.radians(light["dec_deg"]))
        wrong = np.hypot((header["RA"] - light["ra_deg"]) * cosine, header["DEC"] - light["dec_deg"]) * 60
        dither = np.hypot((light["ra_deg"] - 110) * cosine, light["dec_deg"] + 30) * 3600
        assert 1.99 < wrong < 3.01
        assert 2 < dither < 28.1


def test_references_lie_on_the_stack_grid_with_an_honest_variance(night):
    path = next((night.references / "r").glob("ref_*_3000.fits"))
    image, header = fits.getdata(path, header=True)
    shape = field_grids.stack_shape(tuple(night.truth["frame_shape"]))
    grid = field_grids.field_wcs(110.0, -30.0, shape=shape, scale_arcsec=0.505)
    corners = [0, shape[1] - 1], [0, shape[0] - 1]
    assert image.shape == shape
    np.testing.assert_allclose(WCS(header).all_pix2world(*corners, 0), grid.all_pix2world(*corners, 0), atol=1e-9)
    variance = fits.getdata(path.with_name(path.name.replace(".fits", ".var.fits")))
    stars = night.stars()
    x, y = grid.all_world2pix(stars["ra"], stars["dec"], 0)
    yy, xx = np.mgrid[: shape[0], : shape[1]]
    near = (x > -15) & (x < shape[1] + 15) & (y > -15) & (y < shape[0] + 15)
    empty = np.ones(shape, dtype=bool)
    for star_x, star_y in zip(x[near], y[near], strict=True):
        empty &= np.hypot(xx - star_x, yy - star_y) > 12
    scaled = (image / np.sqrt(variance))[empty]
    assert mad_std(scaled) == pytest.approx(1, abs=0.06)


def test_the_same_seed_gives_the_same_bytes_whatever_else_is_made(tmp_path):
    few = {"lights": 1, "biases": 1, "darks": 1, "flats": 1, "seed": 11}
    one = simulated.make_night(tmp_path / "one", **few)
    two = simulated.make_night(tmp_path / "two", **{**few, "lights": 2, "filters": ("r",)})
    other = simulated.make_night(tmp_path / "other", **{**few, "seed": 12})
    for pattern in ("bias-0001.fits", "flat-r-0001.fits", "T00001_r_*_043*_100s.fits"):
        first = one.raw(pattern)[0]
        assert first.read_bytes() == (two.folder() / first.name).read_bytes()
        assert first.read_bytes() != other.raw(pattern)[0].read_bytes()


def test_a_second_unit_is_another_telescope_on_the_same_sky(tmp_path):
    night = simulated.make_night(tmp_path / "night", units=2, lights=1, biases=1, darks=1, flats=1, filters=("r",))
    one, two = (night.lights(unit=unit)[0] for unit in ("7DT01", "7DT02"))
    assert one["zero_point_mag"] != two["zero_point_mag"]
    assert not np.array_equal(night.bad_pixels("7DT01"), night.bad_pixels("7DT02"))
    assert set(night.truth["folders"]) == {"7DT01", "7DT02"}


def test_spoilt_frames_are_listed_and_really_spoilt(tmp_path):
    night = simulated.make_night(tmp_path / "night", lights=1, biases=1, darks=1, flats=1, filters=("r",), corrupt=5)
    ways = {row["how"]: night.root / row["file"] for row in night.truth["corrupt"]}
    assert set(ways) == {"truncated", "garbage", "no-filter", "unknown-type", "empty"}
    assert "FILTER" not in fits.getheader(ways["no-filter"])
    assert fits.getheader(ways["unknown-type"])["IMAGETYP"] == "FOCUS"
    assert ways["empty"].stat().st_size == 0
    assert ways["truncated"].stat().st_size < 600 * 400 * 2
    with pytest.raises(OSError, match=r"[Nn]o SIMPLE|not a valid"):
        fits.open(ways["garbage"])


def test_star_counts_and_colours_are_those_of_a_field_at_low_latitude(rng):
    stars = sky.draw_stars((110.0, -30.0), frames.half_size_deg(plan.SCALES["small"].shape), rng)
    half_x, half_y = frames.half_size_deg(plan.SCALES["small"].shape)
    xi = (stars.ra_deg - 110) * np.cos(np.radians(-30))
    inside = (np.abs(xi) < half_x) & (np.abs(stars.dec_deg + 30) < half_y)
    detectable = inside & (stars.g_mag > 12) & (stars.g_mag < 19.5)
    assert 1500 < np.count_nonzero(detectable) < 3000
    r, i = (bands.star_mags(stars.g_mag, stars.bp_rp, name) for name in ("r", "i"))
    # a solar-type star: BP - RP 0.82, r - i 0.12
    assert np.interp(0.82, *np.sort([stars.bp_rp, r - i], axis=1)) == pytest.approx(0.12, abs=0.06)


def test_a_field_on_the_zero_meridian_is_like_any_other():
    at_zero, elsewhere = (
        frames.draw_field(plan.Request(scale="small", ra_deg=ra_deg, seed=4)).transients for ra_deg in (0.0, 110.0)
    )
    np.testing.assert_allclose((at_zero.ra_deg + 180) % 360 - 180, elsewhere.ra_deg - 110, atol=1e-9)
    assert np.count_nonzero(at_zero.host >= 0) >= 2


def test_a_medium_band_between_two_broad_ones_has_a_magnitude_between_theirs():
    g_mag, colour = np.full(3, 15.0), np.array([0.5, 1.0, 2.0])
    r, between, i = (bands.star_mags(g_mag, colour, name) for name in ("r", "m675", "i"))
    assert np.all((between <= np.maximum(r, i)) & (between >= np.minimum(r, i)))


@pytest.mark.parametrize("name", ["", "Q", "m1000", "m99", "r2"])
def test_an_unknown_filter_is_refused_by_name(name):
    with pytest.raises(UnusableData, match="cannot be simulated"):
        bands.band(name)


def test_altitude_and_azimuth_agree_with_astropy():
    from astropy import units as u
    from astropy.coordinates import AltAz, EarthLocation, SkyCoord
    from astropy.time import Time
    from astropy.utils import iers

    shot = plan.shots(plan.checked(plan.Request()), "7DT01")[-1]
    site = EarthLocation(lat=-30.4725 * u.deg, lon=-70.7631 * u.deg, height=1570 * u.m)
    with iers.conf.set_temp("auto_download", False), iers.conf.set_temp("iers_degraded_accuracy", "ignore"):
        there = SkyCoord(120.0, -20.0, unit="deg").transform_to(AltAz(obstime=Time(shot.start), location=site))
    altitude, azimuth = frames.horizontal(120.0, -20.0, shot.start)
    assert altitude == pytest.approx(there.alt.deg, abs=0.03)
    assert azimuth == pytest.approx(there.az.deg, abs=0.15)
