"""A simulated night calibrated by the real tasks, ready for astrometry; and fakes of programs."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np

from support.simulated import Night
from tasks.io.fits import fits_images
from tasks.options import CalibrateOptions
from tasks.records import Calibrated, FrameType, Masters
from tasks.reduction import calibration, inventory
from tasks.reduction import masters as mastering

NIGHT = date(2026, 1, 15)


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Calibrated lights and their masters. ``scale`` is the factor of all fluxes from the flat's normalisation."""

    calibrated: tuple[Calibrated, ...]
    masters: Masters
    scale: float


def calibrate(night: Night, root: Path, unit: str = "7DT01") -> Bench:
    """Calibrate a unit's lights below ``root``."""
    found = inventory.take_inventory.fn(night.folder(unit), unit, NIGHT)
    masters = mastering.make_masters.fn(found, root, CalibrateOptions())
    batch = calibration.calibrate_lights.fn(found.of(FrameType.LIGHT), masters, NIGHT, root, CalibrateOptions())
    assert not batch.rejected
    flat, good = fits_images.read_image(masters.flats["r"])[0], night.bad_pixels(unit) == 0
    return Bench(
        calibrated=batch.calibrated,
        masters=masters,
        scale=float(np.median(night.transmission(unit)[good] / flat[good])),
    )


def fake(folder: Path, name: str, script: str) -> Path:
    """Write a shell script with the name of a program into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / name
    program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return program
