"""B4: resample and combine nine frames, files to file, against SWarp with all threads."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import sep
from astropy.io import fits
from astropy.wcs import WCS
from support import starfields

from benchmarks import harness
from benchmarks.harness import Gate, Report, Setting
from tasks.io.fits import fits_images as images
from tasks.programs import swarp
from tasks.science.astrometry import field_grids
from tasks.science.images.backgrounds import Background
from tasks.science.stacking import coadding

NUMBER, STARS_PER_MPIX = 9, 150
SCALE_ARCSEC, MESH_PX, RADIUS_PX, BRIGHT_ADU = 0.505, 512, 9.0, 1e5
FLUX_TOLERANCE, PLACE_TOLERANCE_PX = 1e-3, 0.02


def run(setting: Setting) -> Report:
    rng = np.random.default_rng(5)
    stars = round(STARS_PER_MPIX * setting.shape[0] * setting.shape[1] / 1e6)
    shots, field = starfields.dithered(NUMBER, setting.shape, rng, stars=stars)
    inputs = [_store(shot, setting.folder / f"shot-{index}.fits") for index, shot in enumerate(shots)]
    shape = field_grids.stack_shape(setting.shape)
    grid = field_grids.field_wcs(*starfields.CENTRE_DEG, shape=shape, scale_arcsec=SCALE_ARCSEC)
    out = setting.folder / "stack.fits"
    rows = []
    for what, mode, combine in (("median", "seed", "MEDIAN"), ("clipped weighted mean", "clipped", "CLIPPED")):
        ours = functools.partial(_ours, inputs, grid, shape, out, mode)
        peer = functools.partial(_by_swarp, inputs, shape, setting.folder / combine.lower(), combine)
        ours()
        gates = _gates(images.read_image(out)[0], images.read_image(peer())[0], grid, field)
        rows.append(harness.versus(what, ours, peer, repeats=setting.repeats, target=1.3, gates=gates))
    return Report(
        name="b4",
        title=f"Resample and combine {NUMBER} frames of {setting.shape[1]} x {setting.shape[0]} px",
        rows=tuple(rows),
        notes=(
            (
                f"Lanczos-3, background mesh of {MESH_PX} px subtracted on both sides, weights in and out, warm cache; "
                f"SWarp with {harness.CORES} threads and its temporary files. Frames are turned by up to a degree, every "
                "third by half a turn more. Gates are medians over bright stars that stand alone."
            ),
        ),
    )


def _store(shot: starfields.Shot, path: Path) -> swarp.Input:
    weight = path.with_suffix(".weight.fits")
    images.write_image(path, shot.image, dict(shot.header))
    images.write_image(weight, shot.weight, {})
    return swarp.Input(image=path, weight=weight, flux_scale=shot.scale, egain=float(shot.header["EGAIN"]))


def _ours(inputs: Sequence[swarp.Input], grid: WCS, shape: tuple[int, int], out: Path, mode: coadding.Mode) -> None:
    with ThreadPoolExecutor(harness.CORES) as pool:
        exposures = list(pool.map(_exposure, inputs))
    made = coadding.coadd(exposures, grid, shape=shape, recipe=coadding.CoaddRecipe(mode=mode))
    images.write_image(out, made.image, {})
    images.write_image(out.with_suffix(".weight.fits"), made.weight, {})


def _exposure(item: swarp.Input) -> coadding.CoaddInput:
    image, weight = images.open_image(item.image), images.open_image(item.weight)

    def window(rows: slice, columns: slice) -> tuple[np.ndarray, np.ndarray]:
        return image.part(rows, columns), weight.part(rows, columns)

    sky = Background.of(window, image.shape, MESH_PX)
    wcs = WCS(fits.Header(image.header))
    return coadding.CoaddInput(
        window=coadding.without_sky(window, sky), shape=image.shape, wcs=wcs, scale=item.flux_scale
    )


def _by_swarp(inputs: Sequence[swarp.Input], shape: tuple[int, int], folder: Path, combine: str) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    ra_deg, dec_deg = starfields.CENTRE_DEG
    place = swarp.OutputGrid(ra_deg=ra_deg, dec_deg=dec_deg, scale_arcsec=SCALE_ARCSEC, shape=shape)
    options = swarp.Options(combine=combine, background_px=MESH_PX, threads=harness.CORES, memory_mb=4096)
    return swarp.combine(inputs, place, folder, options).image


def _gates(ours: np.ndarray, theirs: np.ndarray, grid: WCS, field: tuple[np.ndarray, ...]) -> list[Gate]:
    x, y = grid.all_world2pix(field[0], field[1], 0)
    apart = np.hypot(x - x[:, None], y - y[:, None]) + 1e9 * np.eye(len(x))
    ny, nx = ours.shape
    inside = (x > 0.12 * nx) & (x < 0.88 * nx) & (y > 0.12 * ny) & (y < 0.88 * ny)
    use = inside & (apart.min(axis=1) > 3 * RADIUS_PX) & (field[2] > BRIGHT_ADU)
    (flux, xw, yw), (other, xo, yo) = (_measure(image, x[use], y[use]) for image in (ours, theirs))
    return [
        Gate(
            what=f"median flux of {use.sum()} stars differs by",
            value=abs(np.median(flux / other) - 1),
            limit=FLUX_TOLERANCE,
        ),
        Gate(
            what="median distance in px", value=float(np.median(np.hypot(xw - xo, yw - yo))), limit=PLACE_TOLERANCE_PX
        ),
    ]


def _measure(image: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    native = np.ascontiguousarray(image, np.float32)
    xw, yw, _ = sep.winpos(native, x, y, np.full(x.size, starfields.FWHM_PX / 2.3548))
    return sep.sum_circle(native, x, y, RADIUS_PX)[0], xw, yw
