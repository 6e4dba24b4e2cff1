"""Calibrated lights against the equations in double precision, drawn noise, and a real camera's frames."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from tasks.errors import UnusableData
from tasks.io.fits import fits_images, raw_frames
from tasks.records import Frame, FrameType, MaskBit
from tasks.science.arrays import to_host
from tasks.science.calibration import correction, lights
from tasks.science.calibration.correction import LightPlanes, Master
from tasks.science.images import combining
from tasks.science.masters import selection

GAIN = 0.25619
READ_E = 3.5
SHAPE = (37, 53)


def masters(xp, rng):
    def master(level, spread, noise):
        image = (level + spread * rng.standard_normal(SHAPE)).astype(np.float32)
        return Master(image=xp.asarray(image), variance=xp.full(SHAPE, noise, xp.float32))

    return master(512, 2, 20.0), master(4, 1, 40.0), master(1, 0.03, 2e-5)


def plain(level):
    return Master(image=np.full(SHAPE, level, np.float32), variance=np.zeros(SHAPE, np.float32))


@pytest.mark.parametrize("scale", [1.0, 100 / 60, 0.1])
def test_image_and_variance_are_the_equations(xp, rng, scale):
    bias, dark, flat = masters(xp, rng)
    counts = rng.integers(400, 4000, SHAPE).astype(np.uint16)
    bad = xp.zeros(SHAPE, xp.uint8)
    shared = lights.shared_correction(bias, dark, flat, bad, scale=scale, gain=GAIN, read_noise_e=READ_E)
    [planes] = correction.calibrate([xp.asarray(counts)], shared, saturation_adu=60000)
    B, K, F = (to_host(each.image).astype(np.float64) for each in (bias, dark, flat))
    VB, VK, VF = (to_host(each.variance).astype(np.float64) for each in (bias, dark, flat))
    image = (counts - B - scale * K) / F
    noise = np.maximum(counts - B, 0) / GAIN + (READ_E / GAIN) ** 2 + VB + scale**2 * VK
    variance = noise / F**2 + image**2 * VF / F**2
    np.testing.assert_allclose(to_host(planes.image), image, atol=1e-3)
    np.testing.assert_allclose(to_host(planes.variance), variance, rtol=1e-5)
    assert not to_host(planes.mask).any()


def test_the_variance_is_the_scatter_of_what_is_drawn(rng):
    """Light, read noise and the noise of all three masters are drawn 3000 times."""
    sky_e, dark_adu, transmission, scale, draws = 900.0, 8.0, 0.9, 2.0, 3000
    noise = {"bias": 25.0, "dark": 60.0, "flat": 4e-4}
    shape = (1, 40)
    images = []
    for _ in range(draws):
        bias, dark, flat = (
            Master(
                image=(level + np.sqrt(noise[key]) * rng.standard_normal(shape)).astype(np.float32),
                variance=np.full(shape, noise[key], np.float32),
            )
            for key, level in (("bias", 512.0), ("dark", dark_adu), ("flat", transmission))
        )
        electrons = rng.poisson(sky_e * transmission + scale * dark_adu * GAIN, shape)
        counts = (512 + (electrons + rng.normal(0, READ_E, shape)) / GAIN).astype(np.float32)
        bad = np.zeros(shape, np.uint8)
        shared = lights.shared_correction(bias, dark, flat, bad, scale=scale, gain=GAIN, read_noise_e=READ_E)
        [planes] = correction.calibrate([counts], shared, saturation_adu=60000)
        images.append((planes.image, planes.variance))
    values = np.stack([image for image, _ in images])
    predicted = np.mean([variance for _, variance in images])
    assert predicted == pytest.approx(values.var(axis=0).mean(), rel=0.03)
    assert values.mean() == pytest.approx(sky_e / GAIN, rel=2e-3)


def test_every_bit_says_what_happened(xp):
    counts = np.full(SHAPE, 1500, np.uint16)
    counts[10, 10] = 60000
    bad = np.zeros(SHAPE, np.uint8)
    bad[20, 30] = correction.BAD_DARK
    flat = plain(1.0)
    flat.image[0, 0], flat.image[5, 5] = np.nan, 0.0
    on_device = [
        Master(image=xp.asarray(m.image), variance=xp.asarray(m.variance)) for m in (plain(500), plain(0), flat)
    ]
    shared = lights.shared_correction(*on_device, xp.asarray(bad), scale=1.0, gain=GAIN, read_noise_e=READ_E)
    [planes] = correction.calibrate([xp.asarray(counts)], shared, saturation_adu=60000)
    mask = to_host(planes.mask)
    assert mask[20, 30] == MaskBit.BAD
    assert mask[0, 0] == mask[5, 5] == MaskBit.NO_DATA
    assert (mask[9:12, 9:12] == MaskBit.SATURATED).all()
    assert (mask != 0).sum() == 1 + 2 + 9
    assert np.isfinite(to_host(planes.image)).all()
    assert np.isfinite(to_host(planes.variance)).all()


@pytest.mark.parametrize("pixels", [1, 200, 1 << 20])
def test_lights_calibrated_together_are_what_each_is_alone(rng, monkeypatch, pixels):
    bad = (rng.random(SHAPE) > 0.98).astype(np.uint8)
    shared = lights.shared_correction(*masters(np, rng), bad, scale=1.0, gain=GAIN, read_noise_e=READ_E)
    counts = rng.integers(400, 4000, (3, *SHAPE)).astype(np.uint16)
    counts[:, rng.random(SHAPE) > 0.99] = 65535
    alone = [correction.calibrate([each], shared, saturation_adu=60000)[0] for each in counts]
    monkeypatch.setattr(correction, "CACHE_PIXELS", pixels)
    together = correction.calibrate(list(counts), shared, saturation_adu=60000)
    for one, other, image in zip(alone, together, correction.images(list(counts), shared), strict=True):
        np.testing.assert_array_equal(one.image, image)
        for plane in ("image", "variance", "mask"):
            np.testing.assert_array_equal(getattr(one, plane), getattr(other, plane))


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_one_pass_gives_the_bits_of_the_equations(rng, kind):
    bias, dark, flat = masters(np, rng)
    dark.image[3, 4] = bias.variance[5, 6] = np.nan
    flat.variance[7, 8] = np.inf
    shared = lights.shared_correction(
        bias, dark, flat, np.zeros(SHAPE, np.uint8), scale=0.7, gain=GAIN, read_noise_e=READ_E
    )
    # below the bias too, where there are no photons
    counts = rng.integers(0, 250, SHAPE).astype(kind) * kind(4)
    one, other = (
        LightPlanes(image=np.zeros(SHAPE, np.float32), variance=np.zeros(SHAPE, np.float32), mask=None)
        for _ in range(2)
    )
    rows = slice(2, 30)
    with np.errstate(invalid="ignore"):
        correction._light_rows(counts, shared, rows, one)
    correction._light_rows_in_one_pass(counts, shared, rows, other)
    np.testing.assert_array_equal(one.image, other.image)
    np.testing.assert_array_equal(one.variance, other.variance)
    assert np.isnan(one.variance[3, 4])
    assert np.isnan(one.variance[5, 6])


@pytest.mark.parametrize("kind", [np.uint16, np.float32])
@pytest.mark.parametrize(("limit", "saturated"), [(59999.5, 1), (60000.0, 1), (60000.5, 0), (70000.0, 0)])
def test_counts_at_the_limit_are_saturated(rng, kind, limit, saturated):
    shared = lights.shared_correction(
        *masters(np, rng), np.zeros(SHAPE, np.uint8), scale=1.0, gain=GAIN, read_noise_e=READ_E
    )
    counts = np.full(SHAPE, 1000, kind)
    counts[0, 0] = 60000
    [planes] = correction.calibrate([counts], shared, saturation_adu=limit)
    assert (planes.mask == MaskBit.SATURATED).sum() == 4 * saturated


def test_holes_are_filled_from_good_neighbours_only(xp):
    y, x = np.indices(SHAPE)
    image = (100 + 2 * x + 3 * y).astype(np.float32)
    truth = image.copy()
    mask = np.zeros(SHAPE, np.uint8)
    mask[10, 10] = mask[20:23, 20:23] = MaskBit.BAD
    mask[10, 11] = MaskBit.SATURATED
    image[mask == MaskBit.BAD] = 9e4
    planes = LightPlanes(image=xp.asarray(image), variance=xp.asarray(truth), mask=xp.asarray(mask))
    filled = correction.interpolate(planes)
    result, bits = to_host(filled.image), to_host(filled.mask)
    np.testing.assert_allclose(result[20:23, 20:23], truth[20:23, 20:23], atol=6)
    assert result[10, 10] == pytest.approx(truth[10, 10], abs=1)
    assert bits[10, 10] == MaskBit.BAD | MaskBit.INTERPOLATED
    assert bits[10, 11] == MaskBit.SATURATED
    assert result[10, 11] == truth[10, 11]
    assert (to_host(planes.image) == image).all()


def test_a_hole_too_large_to_bridge_gets_the_level_of_the_frame():
    planes = LightPlanes(
        image=np.full(SHAPE, 7.0, np.float32), variance=np.ones(SHAPE, np.float32), mask=np.zeros(SHAPE, np.uint8)
    )
    planes.mask[:, :30] = MaskBit.BAD
    planes.image[:, :30] = np.nan
    filled = correction.interpolate(planes)
    assert (filled.image == 7).all()
    assert (filled.mask[:, :30] == MaskBit.BAD | MaskBit.INTERPOLATED).all()


def test_a_frame_without_a_good_pixel_is_filled_with_nothing():
    planes = LightPlanes(
        image=np.full(SHAPE, np.nan, np.float32),
        variance=np.ones(SHAPE, np.float32),
        mask=np.full(SHAPE, MaskBit.NO_DATA, np.uint8),
    )
    assert (correction.interpolate(planes).image == 0).all()


def test_a_flat_is_renormalised_to_its_centre(rng):
    flat = Master(image=np.full(SHAPE, 1.07, np.float32), variance=np.full(SHAPE, 1e-4, np.float32))
    flat.image[:3] = 0.2
    new, factor = correction.renormalise(flat)
    assert factor == pytest.approx(1.07)
    assert np.median(new.image) == pytest.approx(1.0)
    assert np.median(new.variance) == pytest.approx(1e-4 / 1.07**2)
    with pytest.raises(UnusableData, match="allowed: above 0"):
        correction.renormalise(Master(image=-flat.image, variance=flat.variance))


def test_the_local_level_follows_a_gradient_and_not_a_hot_pixel(xp):
    y, x = np.indices((300, 400))
    gradient = (100 + 0.5 * x + 0.2 * y).astype(np.float32)
    struck = gradient.copy()
    struck[150, 200] = 1e5
    level = to_host(correction.local_level(xp.asarray(struck)))
    inner = (slice(32, 220), slice(32, 350))
    np.testing.assert_allclose(level[inner], gradient[inner], atol=0.6)


def test_bad_pixels_are_found_with_their_cause(xp, rng):
    shape = (300, 400)
    bias = Master(image=np.full(shape, 512, np.float32), variance=(25 * rng.chisquare(6, shape) / 6).astype(np.float32))
    dark = Master(image=rng.normal(4, 6, shape).astype(np.float32), variance=np.full(shape, 36, np.float32))
    dark.image[10, 20] = 500
    dark.image[30, 40] = np.nan
    bias.variance[50, 60] = 2500
    device = [Master(image=xp.asarray(m.image), variance=xp.asarray(m.variance)) for m in (bias, dark)]
    bits = to_host(correction.bad_pixels(*device))
    assert bits[10, 20] == bits[30, 40] == correction.BAD_DARK
    assert bits[50, 60] == correction.BAD_NOISE
    assert (bits != 0).sum() <= 8


def test_dead_and_bright_pixels_of_a_flat_are_bad(xp, rng):
    image = rng.normal(1, 0.01, (200, 200)).astype(np.float32)
    image[3, 4], image[5, 6], image[7, 8] = 0.3, 1.8, np.inf
    bits = to_host(correction.bad_flat(Master(image=xp.asarray(image), variance=xp.asarray(image))))
    assert set(map(tuple, np.argwhere(bits))) == {(3, 4), (5, 6), (7, 8)}


@pytest.mark.parametrize(("true_noise", "step"), [(13.7, 1), (2.0, 1), (27.5, 16)])
def test_read_noise_comes_out_of_a_pair_in_spite_of_hits(xp, rng, true_noise, step):
    pair = step * np.round(rng.normal(2048, true_noise, (2, 500, 500)) / step)
    pair[0, ::50, ::50] += 5000
    measured = correction.pair_noise(*xp.asarray(pair.astype(np.uint16)))
    assert measured == pytest.approx(np.hypot(true_noise, step / np.sqrt(12)), rel=0.01)


@pytest.mark.parametrize(
    ("levels", "signal", "off"),
    [
        ([855, 1051, 855], 855, (False, True, False)),
        ([92, 106, 89], 92, (False, True, False)),
        ([512.0, 512.4, 511.8, 512.1, 512.0], 0, (False,) * 5),
        ([512, 512, 512, 530], 0, (False, False, False, True)),
        ([512, 900], 0, (False, False)),
        ([], 0, ()),
    ],
)
def test_a_level_that_the_others_do_not_have_is_an_outlier(levels, signal, off):
    assert correction.outliers(levels, signal_adu=signal) == off


def test_saturation_is_given_in_the_units_of_the_image():
    value = correction.image_saturation(65000, plain(505), plain(0), plain(1.075), scale=1.0)
    assert value == pytest.approx(59995, abs=1)


@pytest.mark.parametrize(("light_s", "dark_s"), [(100, 100), (90, 100), (60, 30), (1000, 100), (1, 10), (30, 30)])
def test_the_dark_nearest_in_exposure_is_taken(light_s, dark_s):
    assert lights.nearest_exposure([10, 30, 100], light_s) == dark_s or (light_s == 60 and dark_s == 30)


def test_a_light_goes_from_raw_to_planes_with_all_its_bits(xp, rng):
    shape = (120, 140)
    level = rng.poisson(450 * GAIN, shape) / GAIN + 512 + rng.normal(0, READ_E / GAIN, shape)
    level[60, 40:44] += 6000
    level[20, 20] = 65535
    bad = np.zeros(shape, np.uint8)
    bad[90, 90] = 1
    counts = np.clip(np.round(level), 0, 65535).astype(np.uint16)

    def flat_master(value):
        return Master(image=xp.full(shape, value, xp.float32), variance=xp.zeros(shape, xp.float32))

    setup = lights.prepare(
        flat_master(512),
        flat_master(0),
        flat_master(1),
        xp.asarray(bad),
        scale=1.0,
        gain=GAIN,
        read_noise_e=READ_E,
        full=60000,
    )
    planes = lights.process([counts], setup, find_cosmic_rays=True)[0].planes
    assert type(planes.image) is np.ndarray
    assert (planes.mask[60, 40:44] == MaskBit.COSMIC_RAY | MaskBit.INTERPOLATED).all()
    assert abs(planes.image[60, 40:44].mean() - 450) < 60
    assert planes.mask[90, 90] == MaskBit.BAD | MaskBit.INTERPOLATED
    assert planes.mask[20, 20] == MaskBit.SATURATED
    unsearched = lights.process([counts], setup, find_cosmic_rays=False)[0].planes
    assert not unsearched.mask[60, 41]


def asi(folder, pattern, type_, exposure_s):
    moment = datetime(2024, 4, 16, tzinfo=UTC)
    paths = sorted(Path(folder).glob(pattern))
    return [Frame(path=path, type=type_, unit="7DT01", date_obs=moment, exposure_s=exposure_s) for path in paths]


def combined(chosen, noise, kind):
    opened, unreadable = raw_frames.open_set(chosen)
    assert not unreadable
    signal = max(float(np.median(opened.levels_adu)) - noise.pedestal_adu, 0)
    selected = selection.level(opened.frames, opened.levels_adu, kind=kind, signal_adu=signal)
    used = opened.only(selected.kept)
    stack = np.stack([stored.rows() for stored in used.stored])
    result = combining.combine(stack, mode="clipped", noise=noise)
    return Master(image=result.image, variance=result.variance), selected, opened


def test_a_real_cameras_masters_have_the_figures_known_of_them(shared_data):
    folder = shared_data / "raw" / "asi"
    noise = combining.Noise(read_adu=27.5, gain=0.23, pedestal_adu=2304)
    bias, dropped, opened = combined(asi(folder, "bias_*", FrameType.BIAS, 0.0), noise, "bias")
    assert dropped.rejected == ()
    # counts come in steps of 16: the median keeps them, the clipped mean does not
    assert np.median(combining.median(np.stack([each.rows() for each in opened.stored]))) == 2304
    assert np.median(bias.image) == pytest.approx(2304, abs=8)
    pairs = [correction.pair_noise(*opened.samples[n : n + 2]) for n in range(4)]
    assert np.median(pairs) == pytest.approx(27.5, abs=1.0)

    darks = {}
    for exposure_s, mean in ((10, 90), (100, 855)):
        chosen = asi(folder, f"dark_{exposure_s}s_*", FrameType.DARK, float(exposure_s))
        raw, dropped, _ = combined(chosen, noise, f"{exposure_s} s dark")
        assert [each.name for each in dropped.rejected] == [f"dark_{exposure_s}s_02.fits.gz"]
        darks[exposure_s] = correction.subtract(raw, bias)
        assert darks[exposure_s].image.mean() == pytest.approx(mean, rel=0.03)

    scaled = darks[100].image - 10 * darks[10].image
    unscaled = darks[100].image - darks[10].image
    assert abs(np.median(scaled)) < 60
    assert np.median(unscaled) > 600
    bad = correction.bad_pixels(bias, darks[100]) & correction.BAD_DARK
    # 5.0 % of the median of all three frames; here two are left and the level is local
    assert (bad != 0).mean() == pytest.approx(0.05, abs=0.025)


def test_flats_of_the_real_camera_are_flattened_by_their_master(shared_data):
    folder = shared_data / "raw" / "asi"
    planes = [fits_images.read_image(path)[0].astype(np.float32) - 2304 for path in sorted(folder.glob("flat_*"))]
    levels = [np.median(plane) for plane in planes]
    stack = np.stack([plane / level for plane, level in zip(planes, levels, strict=True)])
    result = combining.combine(
        stack, mode="clipped", noise=combining.Noise(read_adu=27.5, gain=0.23, scale_adu=float(np.median(levels)))
    )
    flat, _ = correction.renormalise(Master(image=result.image, variance=result.variance))
    flattened = planes[0] / flat.image
    # the Bayer pattern, a factor of 1.6, is gone but for the flicker of rows
    quarters = [np.median(flattened[y::2, x::2]) for y in (0, 1) for x in (0, 1)]
    assert max(quarters) / min(quarters) < 1.1
    assert np.median(planes[0][1::2, 1::2]) / np.median(planes[0][1::2, 0::2]) > 1.2
