"""Fake external programs on PATH, which hang, crash, exit with a false status or truncate their output."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from tasks.errors import SirenError
from tasks.io.fits import fits_images
from tasks.programs import hotpants, missfits, scamp, solve_field, source_extractor, swarp

SHAPE = (40, 60)
HANG = """sleep 600 &
echo $! > "$PWD/child.pid"
trap '' TERM INT HUP
sleep 600
"""
# misbehaviours of a fake: its commands, and a change of its output files
SCRIPTS = {
    "hangs": HANG,
    "hangs with all its output written": f"cp PREPARED/* .\n{HANG}",
    "exits with 3": "exit 3\n",
    "exits with 1, all its output written": "cp PREPARED/* .\nexit 1\n",
    "dies of a segmentation fault": "kill -SEGV $$\n",
    "is killed": "kill -KILL $$\n",
    "writes nothing": "exit 0\n",
}
DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "writes empty files": lambda content: b"",
    "writes half of each file": lambda content: content[: len(content) // 2],
    "lacks the last block": lambda content: content[:-80] if len(content) < 2880 else content[:-2880],
    "writes zeros": lambda content: bytes(len(content)),
    "writes text": lambda content: b"Segmentation fault (core dumped)\n",
    "writes noise": lambda content: np.random.default_rng(1).bytes(len(content)),
}
MISBEHAVIOUR = (*SCRIPTS, *DAMAGE)


@dataclass(frozen=True, kw_only=True)
class Wrapper:
    """One program: its names on PATH, its regular output files, and a call of its wrapper."""

    names: tuple[str, ...]
    outputs: Callable[[Path], None]
    call: Callable[[Path, float], Any]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Result of a fake: the error, the time in s, and whether child processes still run."""

    error: SirenError | None
    seconds: float
    left_alive: bool


def install(home: Path, name: str, how: str) -> Path:
    """Write a fake of a wrapper's program into a folder for PATH; ``how`` is a misbehaviour, or ``works``."""
    prepared, programs = home / "prepared", home / "bin"
    prepared.mkdir(parents=True)
    programs.mkdir()
    WRAPPERS[name].outputs(prepared)
    for path in prepared.iterdir():
        path.write_bytes(DAMAGE.get(how, bytes)(path.read_bytes()))
    script = SCRIPTS.get(how, "cp PREPARED/* .\nexit 0\n").replace("PREPARED", str(prepared))
    for each in WRAPPERS[name].names:
        program = programs / each
        program.write_text(f'#!/bin/sh\necho "Background: 252.1 RMS: 43.3 / Threshold: 60"\n{script}')
        program.chmod(0o755)
    return programs


def suffer(home: Path, name: str, *, timeout_s: float) -> Outcome:
    """Call a wrapper whose program misbehaves."""
    folder = home / "scratch"
    folder.mkdir()
    started = time.monotonic()
    error = None
    try:
        WRAPPERS[name].call(folder, timeout_s)
    except SirenError as caught:
        error = caught
    seconds = time.monotonic() - started
    return Outcome(error=error, seconds=seconds, left_alive=any(map(_alive, folder.rglob("child.pid"))))


def _alive(mark: Path) -> bool:
    time.sleep(0.05)
    try:
        status = Path(f"/proc/{int(mark.read_text())}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def _image(path: Path) -> Path:
    fits_images.write_image(path, np.ones(SHAPE, dtype=np.float32), {"CRVAL1": 110.0, "CRVAL2": -30.0})
    return path


def _table(folder: Path) -> None:
    rows = fits.BinTableHDU.from_columns([fits.Column("X_IMAGE", "1D", array=np.arange(200.0))], name="LDAC_OBJECTS")
    fits.HDUList([fits.PrimaryHDU(), rows]).writeto(folder / "extract.cat")


def _head(folder: Path) -> None:
    cards = [
        f"CRVAL{i}  =   1.1000000000000E+02 / a comment that makes the card as long as SCAMP's" for i in range(1, 9)
    ]
    (folder / "one.head").write_text("\n".join([*cards, "END     "]) + "\n")


def _solution(folder: Path) -> None:
    fits.PrimaryHDU(header=fits.Header({"CRVAL1": 110.0, "CD1_1": -1e-4})).writeto(folder / "solved.wcs")


def _images(*names: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        for name in names:
            _image(folder / name)

    return write


def _source_extractor(folder: Path, timeout_s: float) -> Any:
    options = source_extractor.Options(scale_arcsec=0.505, timeout_s=timeout_s)
    return source_extractor.extract(_image(folder / "in.fits"), folder, options)


def _scamp(folder: Path, timeout_s: float) -> Any:
    catalogue = folder / "one.cat"
    catalogue.write_bytes(b"")
    return scamp.solve([catalogue], folder / "reference.cat", folder, scamp.Options(timeout_s=timeout_s))


def _swarp(folder: Path, timeout_s: float) -> Any:
    weight = _image(folder / "frame-0001.weight.fits")
    one = swarp.Input(image=_image(folder / "in.fits"), weight=weight, flux_scale=1.0, egain=1.0)
    grid = swarp.OutputGrid(ra_deg=110.0, dec_deg=-30.0, scale_arcsec=0.505, shape=SHAPE)
    return swarp.combine([one], grid, folder, swarp.Options(timeout_s=timeout_s))


def _missfits(folder: Path, timeout_s: float) -> Any:
    options = missfits.Options(timeout_s=timeout_s)
    return missfits.apply(_image(folder / "in.fits"), "END\n", folder / "home", shape=SHAPE, options=options)


def _solve_field(folder: Path, timeout_s: float) -> Any:
    options = solve_field.Options(scale_arcsec=0.505, index_folder=folder, timeout_s=timeout_s)
    place = folder / "positions.fits"
    return solve_field.solve(place, folder, shape=SHAPE, centre=(110.0, -30.0), options=options)


def _hotpants(folder: Path, timeout_s: float) -> Any:
    image = _image(folder / "in.fits")
    inputs = hotpants.Inputs(**dict.fromkeys(set(hotpants.Inputs.__dataclass_fields__) - {"stamps"}, image))
    options = hotpants.Options(
        fwhm_science_px=4.0,
        fwhm_reference_px=3.0,
        lowest_science_adu=-50.0,
        highest_science_adu=5e4,
        lowest_reference_adu=-50.0,
        highest_reference_adu=5e4,
        stars=200,
        timeout_s=timeout_s,
    )
    return hotpants.subtract(inputs, folder, options, shape=SHAPE)


WRAPPERS = {
    "source-extractor": Wrapper(names=source_extractor.NAMES, outputs=_table, call=_source_extractor),
    "scamp": Wrapper(names=scamp.NAMES, outputs=_head, call=_scamp),
    "swarp": Wrapper(names=swarp.NAMES, outputs=_images("stack.fits", "stack.weight.fits"), call=_swarp),
    "missfits": Wrapper(names=missfits.NAMES, outputs=_images("image.wcs.fits"), call=_missfits),
    "solve-field": Wrapper(names=solve_field.NAMES, outputs=_solution, call=_solve_field),
    "hotpants": Wrapper(
        names=hotpants.NAMES,
        outputs=_images(*(f"{name}.fits" for name in ("difference", "convolved", "noise", "mask"))),
        call=_hotpants,
    ),
}
