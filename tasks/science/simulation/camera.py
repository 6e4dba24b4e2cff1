"""Simulated camera: bias, dark current, response, bad pixels, cosmic rays, and readout to raw counts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from tasks.science.simulation.optics import Image

# EGAIN of the production headers at gain setting 2750
GAIN_E_PER_ADU = 0.256190478801727
# of a Moravian C3-61000 at that setting
READ_NOISE_E = 3.5
# level at that setting
BIAS_ADU = 512.0
# 16 bits
SATURATION_ADU = 65535
# assumed for a cooled sensor: 1 e- in 100 s, below the read noise
DARK_E_PER_S = 0.01
# assumed scatter of the pixels' response
PIXEL_RESPONSE_SIGMA = 0.005
# at the corners: the centre is then 1.05 of the median, as in the master flats of 7DT
VIGNETTING = 0.15
# assumed, so that the smallest frames (400 x 600) have some of each kind: 24, 48 and 480
DEAD_FRACTION, HOT_FRACTION, WARM_FRACTION = 1e-4, 2e-4, 2e-3
# 800 e- in 100 s: far above the noise; warm pixels reach half of it at most
HOT_FROM_E_PER_S = 8.0
# cosmic rays and local radioactivity, per megapixel in 100 s: more than at sea level, so that tests have enough of them
RAYS_PER_MPX = 8.0
# rows at once: bounds the memory of a read-out
BLOCK_ROWS = 512


@dataclass(frozen=True, kw_only=True)
class SimulatedCamera:
    """One unit's camera: bias in ADU, dark current in e-/s, transmission relative to its median, bad pixels by kind.

    ``bad`` is 0 for a good pixel, 1 dead, 2 hot, 3 in a bad column.
    """

    bias_adu: Image
    dark_e_per_s: Image
    transmission: Image
    bad: NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Rays:
    """The pixels that cosmic rays hit, 0-based, and the charge they left, in e-; one entry per pixel."""

    x: NDArray[np.int64]
    y: NDArray[np.int64]
    charge_e: NDArray[np.float64]


NO_RAYS = Rays(x=np.empty(0, np.int64), y=np.empty(0, np.int64), charge_e=np.empty(0))


def draw_camera(shape: tuple[int, int], rng: np.random.Generator) -> SimulatedCamera:
    """Draw a unit's camera."""
    bad = _bad_pixels(shape, rng)
    return SimulatedCamera(
        bias_adu=_bias(shape, rng),
        dark_e_per_s=_dark(shape, bad, rng),
        transmission=_transmission(shape, bad, rng),
        bad=bad,
    )


def draw_rays(shape: tuple[int, int], exposure_s: float, rng: np.random.Generator) -> Rays:
    """Draw the cosmic rays of one exposure: spots and straight tracks of a few to some tens of pixels."""
    number = int(rng.poisson(RAYS_PER_MPX * shape[0] * shape[1] / 1e6 * exposure_s / 100))
    tracks = [_track(shape, rng) for _ in range(number)]
    if not tracks:
        return NO_RAYS
    pixels, charge = (np.concatenate(parts) for parts in zip(*tracks, strict=True))
    unique, inverse = np.unique(pixels, return_inverse=True)
    y, x = np.unravel_index(unique, shape)
    return Rays(x=x, y=y, charge_e=np.bincount(inverse, weights=charge))


def read_out(
    camera: SimulatedCamera,
    light_e: Image | float,
    exposure_s: float,
    *,
    rays: Rays = NO_RAYS,
    rng: np.random.Generator,
) -> NDArray[np.uint16]:
    """Expose and read out: ``light_e`` is the mean number of electrons per pixel in a perfect camera.

    Photons and dark current follow Poisson's law, read noise is normal. Rows are processed in blocks to save memory.
    """
    raw = np.empty(camera.bad.shape, dtype=np.uint16)
    charge = _scatter(rays, camera.bad.shape)
    level = np.float32(rng.normal(0.0, 0.3))
    for rows in _blocks(len(raw)):
        light = np.float32(light_e) if isinstance(light_e, float) else light_e[rows]
        mean = light * camera.transmission[rows] + camera.dark_e_per_s[rows] * np.float32(exposure_s)
        electrons = rng.poisson(mean).astype(np.float32) if exposure_s > 0 else np.zeros_like(mean)
        electrons += np.float32(READ_NOISE_E) * rng.standard_normal(mean.shape, dtype=np.float32)
        if charge is not None:
            electrons += charge[rows]
        adu = electrons / np.float32(GAIN_E_PER_ADU) + camera.bias_adu[rows] + level
        raw[rows] = np.clip(np.rint(adu), 0, SATURATION_ADU)
    return raw


def _blocks(rows: int) -> Iterator[slice]:
    for start in range(0, rows, BLOCK_ROWS):
        yield slice(start, min(start + BLOCK_ROWS, rows))


def _scatter(rays: Rays, shape: tuple[int, ...]) -> Image | None:
    if len(rays.x) == 0:
        return None
    image = np.zeros(shape, dtype=np.float32)
    image[rays.y, rays.x] = rays.charge_e
    return image


def _bias(shape: tuple[int, int], rng: np.random.Generator) -> Image:
    """Return the level with a slow gradient and column and row offsets of about 1 ADU."""
    ny, nx = shape
    gradient = np.linspace(-1.5, 1.5, ny, dtype=np.float32)[:, None]
    columns = rng.normal(0, 0.8, nx).astype(np.float32)
    rows = rng.normal(0, 0.4, (ny, 1)).astype(np.float32)
    return (np.float32(BIAS_ADU) + gradient + columns) + rows


def _dark(shape: tuple[int, int], bad: NDArray[np.uint8], rng: np.random.Generator) -> Image:
    """Return dark current with warm pixels, hot pixels and a glow from one corner."""
    ny, nx = shape
    glow = np.hypot(np.linspace(0, 1, ny, dtype=np.float32)[:, None], np.linspace(0, 1, nx, dtype=np.float32))
    dark = np.float32(DARK_E_PER_S) * (1 + 3 * np.exp(-8 * glow)).astype(np.float32)
    warm = rng.integers(0, dark.size, int(WARM_FRACTION * dark.size))
    dark.flat[warm] = np.minimum(rng.lognormal(-0.7, 0.8, len(warm)), HOT_FROM_E_PER_S / 2)
    hot = bad == 2
    dark[hot] = HOT_FROM_E_PER_S + rng.exponential(40.0, int(hot.sum()))
    return dark


def _transmission(shape: tuple[int, int], bad: NDArray[np.uint8], rng: np.random.Generator) -> Image:
    """Return vignetting, shadows of dust and pixel response, relative to the median; dead pixels are near 0."""
    ny, nx = shape
    y, x = np.linspace(-1, 1, ny, dtype=np.float32)[:, None], np.linspace(-1, 1, nx, dtype=np.float32)
    aspect = np.float32(ny / nx)
    vignetting = 1 - np.float32(VIGNETTING) * (x**2 + (y * aspect) ** 2) / (1 + aspect**2)
    response = 1 + np.float32(PIXEL_RESPONSE_SIGMA) * rng.standard_normal(shape, dtype=np.float32)
    flat = vignetting * response
    for _ in range(int(rng.integers(5, 9))):
        _shade(flat, rng)
    flat /= np.median(flat)
    flat[bad == 1] *= np.float32(0.02)
    flat[bad == 3] *= np.float32(0.3)
    return flat


def _shade(flat: Image, rng: np.random.Generator) -> None:
    """Multiply by the shadow ring of one grain of dust, in place."""
    ny, nx = flat.shape
    outer = float(rng.uniform(15, 60))
    x, y = rng.uniform(0, nx), rng.uniform(0, ny)
    box = (slice(max(int(y - 2 * outer), 0), int(y + 2 * outer)), slice(max(int(x - 2 * outer), 0), int(x + 2 * outer)))
    dy, dx = np.arange(ny)[box[0]] - y, np.arange(nx)[box[1]] - x
    r = np.hypot(dy[:, None], dx)
    ring = gaussian_filter(((r < outer) & (r > 0.4 * outer)).astype(np.float32), 2)
    flat[box] *= 1 - np.float32(rng.uniform(0.02, 0.06)) * ring


def _bad_pixels(shape: tuple[int, int], rng: np.random.Generator) -> NDArray[np.uint8]:
    ny, nx = shape
    bad = np.zeros(shape, dtype=np.uint8)
    bad.flat[rng.integers(0, bad.size, int(DEAD_FRACTION * bad.size))] = 1
    bad.flat[rng.integers(0, bad.size, int(HOT_FRACTION * bad.size))] = 2
    for column in rng.integers(nx // 10, 9 * nx // 10, 2):
        bad[int(rng.integers(0, ny // 2)) :, column] = 3
    return bad


def _track(shape: tuple[int, int], rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the flat indices of a track's pixels and the charge in each."""
    spot = rng.random() < 0.4
    length = rng.uniform(0, 1.5) if spot else 2 + rng.exponential(8.0)
    angle, charge = rng.uniform(0, 2 * np.pi), rng.lognormal(6.5, 0.7)
    steps = np.arange(0, length + 0.5, 0.5)
    x = np.floor(rng.uniform(0, shape[1]) + steps * np.cos(angle)).astype(np.int64)
    y = np.floor(rng.uniform(0, shape[0]) + steps * np.sin(angle)).astype(np.int64)
    inside = (x >= 0) & (x < shape[1]) & (y >= 0) & (y < shape[0])
    pixels = np.unique(y[inside] * shape[1] + x[inside])
    return pixels, charge * rng.uniform(0.6, 1.4, len(pixels))
