"""Frames for benchmarks: random numbers, because only size and noise matter for speed."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from tasks.io.fits import fits_images as images
from tasks.records import Frame, FrameType

GAIN, READ_E, BIAS_ADU, FULL_ADU = 0.2562, 3.5, 512.0, 60000.0
EXPOSURE_S = 100.0


def level(rng, shape, mean, *, outliers=0.0):
    """Draw counts of a level with photon and read noise (uint16); a fraction of the pixels is very bright."""
    mean = np.asarray(mean, np.float32)
    noise = np.sqrt(np.maximum(mean - BIAS_ADU, 0) / GAIN + (READ_E / GAIN) ** 2)
    counts = mean + noise * rng.standard_normal(shape, dtype=np.float32)
    if outliers:
        hit = rng.random(shape, dtype=np.float32) < outliers
        counts[hit] += rng.exponential(3000, int(hit.sum())).astype(np.float32)
    return np.clip(np.rint(counts), 0, 65535).astype(np.uint16)


def flat(shape):
    """Return vignetting as a flat of mean about 1."""
    y, x = np.mgrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j]
    return (1.05 - 0.15 * (x**2 + y**2)).astype(np.float32)


def write_biases(folder: Path, shape, number: int) -> list[Path]:
    rng = np.random.default_rng(1)
    paths = [folder / f"bias-{index:04d}.fits" for index in range(number)]
    for path in paths:
        images.write_image(path, level(rng, shape, BIAS_ADU, outliers=0.002), _cards("BIAS", 0.0))
    return paths


def write_lights(folder: Path, shape, number: int) -> list[Path]:
    rng = np.random.default_rng(2)
    signal = BIAS_ADU + 450.0 * flat(shape)
    paths = [folder / f"light-{index:04d}.fits" for index in range(number)]
    for path in paths:
        images.write_image(path, level(rng, shape, signal, outliers=0.001), _cards("LIGHT", EXPOSURE_S))
    return paths


def frame(path: Path, kind: FrameType) -> Frame:
    header = images.read_header(path)
    exposure_s = float(header["EXPTIME"])
    return Frame(
        path=path,
        type=kind,
        unit="7DT01",
        object="T00001" if kind is FrameType.LIGHT else "",
        filter="r" if kind is FrameType.LIGHT else "",
        exposure_s=exposure_s,
        date_obs=datetime(2026, 1, 16, 4, 34, 13, tzinfo=UTC),
        egain=GAIN,
    )


def _cards(kind: str, exposure_s: float) -> dict[str, object]:
    return {
        "IMAGETYP": kind,
        "EXPTIME": exposure_s,
        "FILTER": "r",
        "OBJECT": "T00001",
        "DATE-OBS": "2026-01-16T04:34:13",
        "EGAIN": GAIN,
        "GAIN": 2750,
        "BUNIT": "adu",
    }
