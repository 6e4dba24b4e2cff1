"""B2: calibrate science frames, in memory and files to files, against ccdproc."""

from __future__ import annotations

import functools
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import ccdproc
import numpy as np
from astropy import units as u
from astropy.nddata import CCDData

from benchmarks import frames, harness
from benchmarks.harness import Gate, Report, Setting
from tasks.io import frames as images
from tasks.science import calibration, lights
from tasks.science.calibration import Master

NUMBER, QUICK_NUMBER = 20, 5
LIMIT_ADU = 1e-3
BRIGHTEST_ADU = 8192.0


def run(setting: Setting) -> Report:
    paths = frames.write_lights(setting.folder, setting.shape, QUICK_NUMBER if setting.quick else NUMBER)
    bias, dark, flat = _masters(setting.shape)
    bad = np.zeros(setting.shape, np.uint8)
    made = lights.prepare(
        bias, dark, flat, bad, scale=1.0, gain=frames.GAIN, read_noise_e=frames.READ_E, full=frames.FULL_ADU
    )
    raws = [images.read_image(path)[0] for path in paths]
    peers = [CCDData(master.image, unit=u.adu) for master in (bias, dark)] + [CCDData(flat.image, unit=u.one)]
    memory = functools.partial(_ours, raws, made)
    same = _difference(memory()[0].image, raws[0], bias, dark, flat)
    files = functools.partial(_ours_files, paths, setting.folder, made)
    theirs = functools.partial(_theirs_files, paths, setting.folder, peers)
    files(), theirs()
    written = _difference(images.read_image(setting.folder / f"ours-{paths[0].name}")[0], raws[0], bias, dark, flat)
    rows = [
        harness.versus(
            "in memory: image, variance, mask, against ccdproc's image",
            memory,
            functools.partial(_theirs, raws, peers),
            repeats=setting.repeats,
            target=8.0,
            gates=[same],
        ),
    ]
    for cache, evicted in (("warm", []), ("cold", paths)):
        rows.append(
            harness.versus(
                f"files to files, {cache} cache: image, variance, mask, against ccdproc's image",
                files,
                theirs,
                repeats=setting.repeats,
                target=3.0,
                gates=[written],
                before=functools.partial(harness.evict, evicted),
            )
        )
    return Report(
        name="b2",
        title=f"Calibrate {len(paths)} lights of {setting.shape[1]} x {setting.shape[0]} px",
        rows=tuple(rows),
        notes=(
            (
                "Ours gives an image with its variance and a mask of bad, saturated and empty pixels; the peer an image "
                "alone, so ours writes 9 bytes a pixel against 4. Cosmic rays are B3. The gate is against the equation "
                "in double precision, below 8192 ADU: beyond, float32 itself has steps of 1e-3 ADU and more."
            ),
        ),
    )


def _masters(shape: tuple[int, int]) -> tuple[Master, Master, Master]:
    rng = np.random.default_rng(3)
    noise = np.full(shape, 9.0, np.float32)
    bias = Master(image=rng.normal(frames.BIAS_ADU, 3, shape).astype(np.float32), variance=noise)
    dark = Master(image=rng.normal(12, 3, shape).astype(np.float32), variance=noise)
    flat = Master(image=frames.flat(shape), variance=noise * np.float32(1e-7))
    return bias, dark, flat


def _ours(raws: list[np.ndarray], made: lights.Setup) -> list[calibration.Planes]:
    return [
        calibration.calibrate(raw, made.correction, bad=made.bad, saturation_adu=made.raw_saturation_adu)
        for raw in raws
    ]


def _theirs(raws: list[np.ndarray], masters: list[CCDData]) -> list[CCDData]:
    return [_calibrated(CCDData(raw, unit=u.adu), masters) for raw in raws]


def _calibrated(light: CCDData, masters: list[CCDData]) -> CCDData:
    bias, dark, flat = masters
    exposure = frames.EXPOSURE_S * u.s
    light = ccdproc.subtract_bias(light, bias)
    light = ccdproc.subtract_dark(light, dark, dark_exposure=exposure, data_exposure=exposure)
    # the flat has a median near 1 and is not divided by its mean again
    return ccdproc.flat_correct(light, flat, norm_value=1.0)


def _ours_files(paths: list[Path], folder: Path, made: lights.Setup) -> None:
    """Read one ahead and write one behind, as the task does."""
    with ThreadPoolExecutor(2) as pool:
        coming = pool.submit(images.read_image, paths[0])
        writing = None
        for path, following in zip(paths, [*paths[1:], None], strict=True):
            raw, header = coming.result()
            if following is not None:
                coming = pool.submit(images.read_image, following)
            planes = lights.process(raw, made, find_cosmic_rays=False)
            if writing is not None:
                writing.result()
            writing = pool.submit(_write, folder / f"ours-{path.name}", planes, header)


def _write(out: Path, planes: calibration.Planes, header: images.Header) -> None:
    for suffix, plane in ((".fits", planes.image), (".var.fits", planes.variance), (".mask.fits", planes.mask)):
        images.write_image(out.with_suffix(suffix), plane, header)


def _theirs_files(paths: list[Path], folder: Path, masters: list[CCDData]) -> None:
    for path in paths:
        light = _calibrated(CCDData.read(path, unit="adu", format="fits"), masters)
        light.data = light.data.astype(np.float32)
        light.write(folder / f"theirs-{path.name}", overwrite=True)


def _difference(ours: np.ndarray, raw: np.ndarray, bias: Master, dark: Master, flat: Master) -> Gate:
    exact = (raw.astype(np.float64) - bias.image.astype(np.float64) - dark.image) / flat.image
    # above, single precision itself has steps of more than half the limit
    told = exact < BRIGHTEST_ADU
    return Gate(what="largest difference in ADU", value=float(abs(ours - exact)[told].max()), limit=LIMIT_ADU)
