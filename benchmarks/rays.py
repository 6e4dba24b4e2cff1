"""B3: cosmic rays in one frame, against astroscrappy with the seed's settings and with its variance plane."""

from __future__ import annotations

import functools

import astroscrappy
import numpy as np

from benchmarks import frames, harness
from benchmarks.harness import Gate, Report, Row, Setting
from tasks.science.calibration import cosmic_rays

SEED = {
    "sigclip": 4.5,
    "sigfrac": 0.3,
    "objlim": 5.0,
    "niter": 4,
    "sepmed": True,
    "cleantype": "meanmask",
    "fsmode": "median",
    "psfmodel": "gauss",
    "psffwhm": 4.0,
    "psfsize": 7,
    "satlevel": 65536.0,
}
RAYS_PER_MPIX, STARS_PER_MPIX = 100, 800
FWHM_PX = 4.0


def run(setting: Setting) -> Report:
    image, variance, rays = _scene(setting.shape)
    ignore = np.zeros(image.shape, bool)
    ours = functools.partial(cosmic_rays.detect, image, variance, ignore=ignore)
    with_variance = functools.partial(
        astroscrappy.detect_cosmics, image, invar=variance, gain=1.0, readnoise=0.0, **SEED
    )
    seed = functools.partial(astroscrappy.detect_cosmics, image, gain=frames.GAIN, readnoise=frames.READ_E, **SEED)
    found = ours()
    rows = [
        _row("against astroscrappy, given the same variance", ours, with_variance, found, rays, setting, agree=True),
        _row("against astroscrappy, the seed's settings", ours, seed, found, rays, setting, agree=False),
    ]
    return Report(
        name="b3",
        title=f"Cosmic rays in one frame of {setting.shape[1]} x {setting.shape[0]} px",
        rows=tuple(rows),
        notes=(
            (
                f"{RAYS_PER_MPIX} rays and {STARS_PER_MPIX} stars a megapixel; astroscrappy uses all cores through OpenMP "
                "where its build has it, ours one. Recall counts struck pixels that stand 10 sigma above the noise. "
                "The peer also returns a cleaned image; ours fills hits later, from image and variance together."
            ),
        ),
    )


def _row(what, ours, peer, found, rays, setting: Setting, *, agree: bool) -> Row:
    theirs = peer()[0]
    recall, reference = (float(mask[rays].mean()) for mask in (found, theirs))
    gates = [Gate(what=f"recall (peer {reference:.4f})", value=recall, limit=reference - 1e-4, at_least=True)]
    agreement = Gate(what="masks agree", value=float((found == theirs).mean()), limit=0.999, at_least=True)
    gates = [agreement, *gates] if agree else [agreement]
    return harness.versus(what, ours, peer, repeats=setting.repeats, target=1.0, gates=gates)


def _scene(shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return image, variance and the pixels with rays well above the noise."""
    rng = np.random.default_rng(4)
    image = np.full(shape, 450.0, np.float32)
    megapixels = image.size / 1e6
    _add_stars(image, rng, round(STARS_PER_MPIX * megapixels))
    variance = image / np.float32(frames.GAIN) + np.float32((frames.READ_E / frames.GAIN) ** 2)
    image += np.sqrt(variance) * rng.standard_normal(shape, dtype=np.float32)
    clean = image.copy()
    for _ in range(round(RAYS_PER_MPIX * megapixels)):
        y, x = rng.integers(2, shape[0] - 12), rng.integers(2, shape[1] - 12)
        slope, length = rng.integers(0, 2), rng.integers(1, 9)
        for step in range(length):
            image[y + slope * step, x + step] += rng.uniform(800, 9000)
    return image, variance, image - clean > 10 * np.sqrt(variance)


def _add_stars(image: np.ndarray, rng: np.random.Generator, number: int) -> None:
    ny, nx = image.shape
    reach = 12
    dy, dx = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    for _ in range(number):
        x, y = rng.uniform(reach + 1, nx - reach - 2), rng.uniform(reach + 1, ny - reach - 2)
        column, row = round(x), round(y)
        distance = (dx + column - x) ** 2 + (dy + row - y) ** 2
        star = 10 ** rng.uniform(1.5, 4.3) * np.exp(-4 * np.log(2) * distance / FWHM_PX**2)
        image[row - reach : row + reach + 1, column - reach : column + reach + 1] += star
