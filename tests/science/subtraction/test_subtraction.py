"""The engine ``siren``: SciPy blurs the truth, so the kernel's sum, the noise and the fluxes are known."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits
from support import pairs

from tasks.errors import UnusableData
from tasks.records import MaskBit
from tasks.science.candidates import detection, matched_filter
from tasks.science.images import convolution
from tasks.science.sources import stars
from tasks.science.subtraction import alard_lupton, aligned_images, registration
from tasks.science.subtraction.aligned_images import SubtractionImage
from tasks.science.subtraction.kernel_fit import Settings


def exposure(xp, image, variance, mask=None):
    nothing = np.zeros(image.shape, dtype=bool)
    return SubtractionImage(
        image=xp.asarray(image),
        variance=xp.asarray(variance),
        mask=xp.asarray(nothing if mask is None else mask),
        saturated=xp.asarray(nothing),
    )


def both(xp, pair):
    science = exposure(xp, pair.science, pair.science_variance)
    return science, exposure(xp, pair.reference, pair.reference_variance)


def host(array):
    return np.asarray(array.get() if hasattr(array, "get") else array)


def planes(result, science, reference):
    return matched_filter.planes(
        result.difference,
        result.convolved,
        result.variance,
        alard_lupton.bits(result, science, reference),
        science.image,
        direction=result.direction,
        kernel_sum=result.kernel_sum,
        psf=result.psf,
        fwhm_px=max(result.fwhm_science_px, result.fwhm_reference_px),
    )


def test_the_kernel_has_the_flux_ratio_and_leaves_only_noise(xp, rng):
    pair = pairs.make(rng, new=0)
    result = alard_lupton.subtract(*both(xp, pair))
    assert result.direction == "reference"
    assert result.kernel_sum == pytest.approx(pair.kernel_sum, rel=0.01)
    assert result.chi2 == pytest.approx(1.0, abs=0.1)
    good = ~host(result.mask)
    chi = host(result.difference)[good] / np.sqrt(host(result.variance)[good])
    assert 0.9 < 1.4826 * np.median(np.abs(chi)) < 1.1
    assert good.mean() > 0.95


def test_the_sharper_image_is_convolved_and_the_science_scale_kept(xp, rng):
    pair = pairs.make(rng)
    reference, science = both(xp, pair)
    result = alard_lupton.subtract(science, reference)
    assert result.direction == "science"
    assert result.kernel_sum == pytest.approx(1 / pair.kernel_sum, rel=0.01)
    found, _ = detection.detect(planes(result, science, reference), threshold=10)
    index = np.argmin(np.hypot(found.x - pair.new_x[-1], found.y - pair.new_y[-1]))
    assert found.sign[index] == -1
    assert found.flux[index] == pytest.approx(-pair.new_flux[-1] / pair.kernel_sum, rel=0.04)


def test_new_stars_are_recovered_with_their_flux(rng):
    pair = pairs.make(rng, shape=(700, 900), stars=300, new=20, new_flux=(2000.0, 30000.0))
    science, reference = both(np, pair)
    result = alard_lupton.subtract(science, reference)
    found, _ = detection.detect(planes(result, science, reference), threshold=5)
    distance = np.hypot(found.x[:, None] - pair.new_x, found.y[:, None] - pair.new_y)
    assert (distance.min(axis=0) < 1).all()
    ratio = found.flux[distance.argmin(axis=0)] / pair.new_flux
    assert np.median(ratio) == pytest.approx(1.0, abs=0.02)
    assert np.median(distance.min(axis=0)) < 0.15
    assert len(found) - 20 <= 5


def test_a_kernel_of_deltas_does_as_well(rng):
    pair = pairs.make(rng, shape=(300, 400), stars=120, new=0)
    result = alard_lupton.subtract(*both(np, pair), settings=Settings(basis="delta", degree=0))
    assert result.kernel_sum == pytest.approx(pair.kernel_sum, rel=0.02)
    assert result.chi2 == pytest.approx(1.0, abs=0.15)


def test_a_variable_star_is_left_out_of_the_fit(rng):
    pair = pairs.make(rng, new=0)
    brightest = int(np.argmax(pair.flux))
    extra = pairs.draw(
        pair.science.shape, pair.x[[brightest]], pair.y[[brightest]], np.array([1e5]), np.hypot(1.4, 1.2)
    )
    science = exposure(np, (pair.science + extra).astype(np.float32), pair.science_variance + extra / pairs.GAIN)
    result = alard_lupton.subtract(science, both(np, pair)[1])
    assert result.kernel_sum == pytest.approx(pair.kernel_sum, rel=0.01)
    assert np.hypot(result.x - pair.x[brightest], result.y - pair.y[brightest]).min() > 2


def test_bad_pixels_spread_with_the_kernel_and_saturated_ones_further(rng):
    pair = pairs.make(rng, new=0)
    science, reference = both(np, pair)
    bad, bright = np.zeros((2, *science.shape), dtype=bool)
    bad[250, 300], bright[100, 100] = True, True
    spoilt = np.where(bad, 1e6, reference.image).astype(np.float32)
    reference = SubtractionImage(image=spoilt, variance=reference.variance, mask=bad, saturated=bright)
    result = alard_lupton.subtract(science, reference)
    assert result.mask[249:252, 299:302].all()
    assert not result.mask[250, 330]
    assert result.mask[100, 104]
    around = result.difference[235:266, 285:316][~result.mask[235:266, 285:316]]
    assert np.abs(around).max() < 8 * np.sqrt(np.median(result.variance))
    bits = alard_lupton.bits(result, science, reference)
    assert bits[250, 300] == MaskBit.BAD
    assert bits[100, 100] == MaskBit.SATURATED


def test_a_kernel_may_vary_over_the_field():
    shape = (300, 400)
    terms = np.zeros((3, 5, 5))
    terms[0, 2, 2], terms[1, 2, 2] = 2.0, 0.5
    kernel = convolution.VaryingKernel(terms=terms, degree=1, shape=shape)
    image = np.full(shape, 10.0, dtype=np.float32)
    result = convolution.convolve_varying(image, kernel)
    wanted = np.broadcast_to(20 + 5 * np.linspace(-1, 1, 400), shape)
    assert np.allclose(result, wanted, atol=1e-3)


def test_convolution_agrees_with_scipy(xp, rng):
    from scipy import signal

    image = rng.normal(size=(700, 600)).astype(np.float32)
    kernel = rng.normal(size=(9, 9))
    result = convolution.convolve(xp.asarray(image), kernel)
    wanted = signal.fftconvolve(np.pad(image, 4, mode="edge"), kernel, mode="valid")
    assert np.abs(host(result) - wanted).max() < 1e-3


@pytest.mark.parametrize("basis", [convolution.gaussian_basis((0.7, 1.5), (4, 2), 8), convolution.delta_basis(4)])
def test_only_the_first_function_of_a_basis_has_a_sum(basis):
    sums = basis.sum(axis=(1, 2))
    assert sums[0] == pytest.approx(1.0)
    assert np.abs(sums[1:]).max() < 1e-9


def test_noise_is_measured_beneath_a_crowded_field(rng):
    x, y = rng.uniform(0, 300, 500), rng.uniform(0, 300, 500)
    scene = pairs.draw((300, 300), x, y, 10 ** rng.uniform(3, 5, 500), 2.0)
    image = (scene + 1000 + rng.normal(0, 7, scene.shape)).astype(np.float32)
    variance = aligned_images.noise_variance(image, np.zeros(image.shape, dtype=bool), gain=np.inf)
    assert np.sqrt(variance[0, 0]) == pytest.approx(7, rel=0.1)


def test_images_of_different_shapes_are_refused(rng):
    pair = pairs.make(rng, shape=(200, 200), stars=60, new=0)
    science, _ = both(np, pair)
    half = exposure(np, pair.reference[:100], pair.reference_variance[:100])
    with pytest.raises(UnusableData, match="shape"):
        alard_lupton.subtract(science, half)


def test_an_empty_sky_has_no_star_to_match(rng):
    noise = rng.normal(0, 5, (200, 200)).astype(np.float32)
    empty = exposure(np, noise, np.full(noise.shape, 25, dtype=np.float32))
    with pytest.raises(UnusableData):
        alard_lupton.subtract(empty, empty)


def saao(shared_data, name):
    image = fits.getdata(shared_data / "images" / "saao" / f"AKB13475I{name}.fits").astype(np.float32)
    return aligned_images.from_planes(image, np.zeros(image.shape, np.uint8), None, gain=1.9, saturation=60000.0)


@pytest.mark.parametrize(
    ("science", "reference", "x", "y", "flux"),
    [
        ("0100", "0172", 288.0, 214.9, 71e3),
        ("0172", "0100", 272.0, 224.3, -71e3 * 1.41),
        ("0171", "0100", 113.5, 193.3, -71.3e3 * 1.41),
    ],
)
def test_the_variable_of_the_bulge_field_is_the_strongest_detection(shared_data, science, reference, x, y, flux):
    first, second = saao(shared_data, science), saao(shared_data, reference)
    found = stars.find(first.image, first.mask), stars.find(second.image, second.mask)
    mapping = registration.by_stars(*found, first.shape)
    second = aligned_images.aligned(second, mapping, first.shape)
    result = alard_lupton.subtract(first, second)
    detections, _ = detection.detect(planes(result, first, second), threshold=5)
    assert np.hypot(detections.x[0] - x, detections.y[0] - y) < 1
    assert abs(detections.snr[0]) >= 100
    assert detections.flux[0] == pytest.approx(flux, rel=0.07)


def decam(shared_data, epoch):
    folder = shared_data / "images" / "decam"
    frames = [fits.getdata(folder / f"DEC-OBS{epoch}{letter}.mini.fits").astype(np.float32) for letter in "abcde"]
    image = np.mean(frames, axis=0)
    return aligned_images.from_planes(image, np.zeros(image.shape, np.uint8), None, gain=20.0, saturation=np.inf)


def test_the_new_source_beside_a_galaxy_is_found(shared_data):
    science, reference = decam(shared_data, "04"), decam(shared_data, "18")
    result = alard_lupton.subtract(science, reference)
    noise = 1.4826 * np.median(np.abs(result.difference - np.median(result.difference)))
    assert result.difference[122:134, 123:135].max() / noise >= 13
    found, _ = detection.detect(planes(result, science, reference), threshold=5)
    assert np.hypot(found.x[:3] - 128.9, found.y[:3] - 127.7).min() < 1.5
