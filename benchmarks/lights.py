"""B2: calibrate science frames, in memory and files to files, against ccdproc."""

from __future__ import annotations

import functools
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import ccdproc
import numpy as np
from astropy import units as u
from astropy.nddata import CCDData, StdDevUncertainty

from benchmarks import frames, harness
from benchmarks.harness import Gate, Report, Row, Setting
from tasks.io.fits import fits_images as images
from tasks.science.calibration import correction, lights
from tasks.science.calibration.correction import Master

NUMBER, QUICK_NUMBER = 20, 5
LIMIT_ADU = 1e-3
BRIGHTEST_ADU = 8192.0
# lights calibrated together, as in the task
TOGETHER = 4


def run(setting: Setting) -> Report:
    paths = frames.write_lights(setting.folder, setting.shape, QUICK_NUMBER if setting.quick else NUMBER)
    masters = _masters(setting.shape)
    bad = np.zeros(setting.shape, np.uint8)
    made = lights.prepare(*masters, bad, scale=1.0, gain=frames.GAIN, read_noise_e=frames.READ_E, full=frames.FULL_ADU)
    raws = [images.read_image(path)[0] for path in paths]
    return Report(
        name="b2",
        title=f"Calibrate {len(paths)} lights of {setting.shape[1]} x {setting.shape[0]} px",
        rows=(*_in_memory(raws, masters, made, setting), *_files(paths, raws[0], masters, made, setting)),
        notes=(
            (
                "Ours gives an image with its variance and a mask of bad, saturated and empty pixels: 9 bytes a pixel. The "
                "peer's image alone has 4, with uncertainty and mask 9. Like for like: image against image, and all three "
                "planes against an image with uncertainty and mask. Cosmic rays are B3. The gate is against the equation "
                "in double precision, below 8192 ADU: beyond, float32 itself has steps of 1e-3 ADU and more."
            ),
        ),
    )


def _in_memory(
    raws: list[np.ndarray], masters: tuple[Master, Master, Master], made: lights.Setup, setting: Setting
) -> list[Row]:
    ours, plain = functools.partial(_ours, raws, made), functools.partial(_our_images, raws, made)
    gates = [_difference(ours()[-1].image, raws[-1], *masters), _difference(plain()[-1], raws[-1], *masters)]
    image, noisy = (
        functools.partial(_theirs, raws, _peers(masters, noise=noise), noise=noise) for noise in (False, True)
    )
    race = functools.partial(harness.versus, repeats=setting.repeats, gates=gates)
    return [
        race("in memory: image, variance, mask, against ccdproc's image", ours, image, target=8.0),
        race("in memory, like for like: image against image", plain, image, target=8.0),
        race("in memory, like for like: image, noise, mask on both sides", ours, noisy, target=8.0),
    ]


def _files(
    paths: list[Path], raw: np.ndarray, masters: tuple[Master, Master, Master], made: lights.Setup, setting: Setting
) -> list[Row]:
    folder = setting.folder
    complete = functools.partial(lights.process, setup=made, find_cosmic_rays=False)
    alone = functools.partial(correction.images, shared=made.correction)
    ours, plain = (functools.partial(_ours_files, paths, folder, work) for work in (complete, alone))
    image, noisy = (
        functools.partial(_theirs_files, paths, folder, _peers(masters, noise=noise), noise=noise)
        for noise in (False, True)
    )
    gates = []
    for run_once in (plain, ours):
        run_once()
        gates.append(_difference(images.read_image(folder / f"ours-{paths[0].name}")[0], raw, *masters))
    race = functools.partial(harness.versus, repeats=setting.repeats, gates=gates, target=3.0)
    cold = functools.partial(harness.evict, paths)
    return [
        race("files to files, warm cache: image, variance, mask, against ccdproc's image", ours, image),
        race("files to files, cold cache: image, variance, mask, against ccdproc's image", ours, image, before=cold),
        race("files to files, warm cache, like for like: image against image", plain, image),
        race("files to files, warm cache, like for like: image, noise, mask on both sides", ours, noisy),
    ]


def _masters(shape: tuple[int, int]) -> tuple[Master, Master, Master]:
    rng = np.random.default_rng(3)
    noise = np.full(shape, 9.0, np.float32)
    bias = Master(image=rng.normal(frames.BIAS_ADU, 3, shape).astype(np.float32), variance=noise)
    dark = Master(image=rng.normal(12, 3, shape).astype(np.float32), variance=noise)
    flat = Master(image=frames.flat(shape), variance=noise * np.float32(1e-7))
    return bias, dark, flat


def _peers(masters: tuple[Master, Master, Master], *, noise: bool) -> list[CCDData]:
    """Return the masters in the peer's form, with uncertainties if wanted."""
    return [
        CCDData(master.image, unit=unit, uncertainty=StdDevUncertainty(np.sqrt(master.variance)) if noise else None)
        for master, unit in zip(masters, (u.adu, u.adu, u.one), strict=True)
    ]


def _ours(raws: list[np.ndarray], made: lights.Setup) -> list[correction.LightPlanes]:
    """Calibrate all, each batch into the planes of the last but one, as the task does; return the last ones."""
    work = functools.partial(correction.calibrate, shared=made.correction, saturation_adu=made.raw_saturation_adu)
    return _in_batches(work, raws)


def _our_images(raws: list[np.ndarray], made: lights.Setup) -> list[np.ndarray]:
    return _in_batches(functools.partial(correction.images, shared=made.correction), raws)


def _in_batches(work, raws: list[np.ndarray]) -> list:
    last, before = [], []
    for first in range(0, len(raws), TOGETHER):
        last, before = work(raws[first : first + TOGETHER], into=before), last
    return last


def _theirs(raws: list[np.ndarray], masters: list[CCDData], *, noise: bool) -> list[CCDData]:
    return [_calibrated(CCDData(raw, unit=u.adu), masters, noise=noise) for raw in raws]


def _calibrated(light: CCDData, masters: list[CCDData], *, noise: bool) -> CCDData:
    bias, dark, flat = masters
    exposure = frames.EXPOSURE_S * u.s
    if noise:
        light.mask = light.data >= frames.FULL_ADU
        light = ccdproc.create_deviation(
            light, gain=frames.GAIN * u.electron / u.adu, readnoise=frames.READ_E * u.electron
        )
    light = ccdproc.subtract_bias(light, bias)
    light = ccdproc.subtract_dark(light, dark, dark_exposure=exposure, data_exposure=exposure)
    # the flat has a median near 1 and is not divided by its mean again
    return ccdproc.flat_correct(light, flat, norm_value=1.0)


def _ours_files(paths: list[Path], folder: Path, work) -> None:
    """Read one batch ahead and write one behind, as the task does."""
    batches = [paths[first : first + TOGETHER] for first in range(0, len(paths), TOGETHER)]
    with ThreadPoolExecutor(2) as pool:
        coming = [pool.submit(images.read_image, path) for path in batches[0]]
        writing, spare = [], []
        for batch, following in zip(batches, [*batches[1:], []], strict=True):
            read = [each.result() for each in coming]
            coming = [pool.submit(images.read_image, path) for path in following]
            done = work([raw for raw, _ in read], into=spare)
            spare = [each.result() for each in writing]
            writing = [
                pool.submit(_write, folder / f"ours-{path.name}", each, header)
                for path, each, (_, header) in zip(batch, done, read, strict=True)
            ]
        for each in writing:
            each.result()


def _write(out: Path, made: correction.LightPlanes | np.ndarray, header: images.Header):
    if isinstance(made, np.ndarray):
        images.write_image(out, made, header)
        return made
    for suffix, plane in ((".fits", made.image), (".var.fits", made.variance), (".mask.fits", made.mask)):
        images.write_image(out.with_suffix(suffix), plane, header)
    return made


def _theirs_files(paths: list[Path], folder: Path, masters: list[CCDData], *, noise: bool) -> None:
    for path in paths:
        light = _calibrated(CCDData.read(path, unit="adu", format="fits"), masters, noise=noise)
        light.data = light.data.astype(np.float32)
        if noise:
            light.uncertainty.array = light.uncertainty.array.astype(np.float32)
        light.write(folder / f"theirs-{path.name}", overwrite=True)


def _difference(ours: np.ndarray, raw: np.ndarray, bias: Master, dark: Master, flat: Master) -> Gate:
    exact = (raw.astype(np.float64) - bias.image.astype(np.float64) - dark.image) / flat.image
    # above this value, the steps of single precision exceed half the limit
    below = exact < BRIGHTEST_ADU
    return Gate(what="largest difference in ADU", value=float(abs(ours - exact)[below].max()), limit=LIMIT_ADU)
