"""B6: find sources and measure seven fluxes, against Source Extractor (as many processes as cores) and plain sep."""

from __future__ import annotations

import functools
import multiprocessing
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import sep
from scipy.spatial import cKDTree
from support import starfields

from benchmarks import harness
from benchmarks.harness import Gate, Report, Setting
from tasks.io.catalogues import ldac
from tasks.io.fits import fits_images as images
from tasks.programs import source_extractor
from tasks.programs.run import run as run_program
from tasks.science.sources import apertures

STARS_PER_MPIX, GAIN = 800, 0.2562
DIAMETERS = (5.65, 8.4, 12.6, 5.941, 9.901, 19.802)
COLUMNS = ("NUMBER", "X_IMAGE", "Y_IMAGE", "XWIN_IMAGE", "YWIN_IMAGE", "FLUX_APER(6)", "FLUXERR_APER(6)", "FLUX_AUTO",
           "FLUXERR_AUTO", "FLUX_RADIUS", "FLAGS")  # fmt: skip
SNR, TOLERANCE_MAG, NEIGHBOUR_PX = 20.0, 1e-3, 40.0


def run(setting: Setting) -> Report:
    paths = [_draw(setting.folder / f"frame-{index}.fits", setting.shape, index) for index in range(harness.CORES)]
    options = source_extractor.Options(scale_arcsec=0.505, columns=COLUMNS, diameters_px=DIAMETERS)
    folders = [setting.folder / path.stem for path in paths]
    peer = functools.partial(_all_by_source_extractor, paths, folders, options)
    # tasks run in separate processes, which exist already
    with ProcessPoolExecutor(harness.CORES, mp_context=multiprocessing.get_context("spawn")) as pool:
        return _report(setting, paths, folders, peer, lambda: list(pool.map(_measure_file, paths)))


def _report(setting: Setting, paths: list[Path], folders: list[Path], peer, ours) -> Report:
    found = ours()[0]
    peer()
    gates = _gates(found, ldac.read(folders[0] / "extract.cat"))
    image = images.read_image(paths[0])[0]
    rows = [
        harness.versus(
            f"{len(paths)} files, against as many Source Extractors",
            ours,
            peer,
            repeats=setting.repeats,
            target=1.5,
            gates=gates,
        ),
        harness.versus(
            "one image in memory, against plain sep",
            functools.partial(_measure, image),
            functools.partial(_by_sep, image),
            repeats=setting.repeats,
            gates=[_same_as_sep(found, _by_sep(image))],
        ),
    ]
    megapixels = image.size / 1e6
    return Report(
        name="b6",
        title=f"Find and measure sources in frames of {setting.shape[1]} x {setting.shape[0]} px",
        rows=tuple(rows),
        notes=(
            (
                f"{len(found)} sources found, {len(found) / megapixels:.0f} a megapixel; six circles and a Kron ellipse, "
                "windowed centroids and half-light radii on both sides. The background is global on both sides. The gate "
                "is for sources without a neighbour within 40 px, whose pixels Source Extractor makes up."
            ),
        ),
    )


def _draw(path: Path, shape: tuple[int, int], seed: int) -> Path:
    rng = np.random.default_rng(60 + seed)
    wcs = starfields.wcs_of(shape, turn_deg=0.3, shift_px=(0.0, 0.0))
    stars = starfields.sky_of(round(STARS_PER_MPIX * shape[0] * shape[1] / 1e6), shape, rng)
    shot = starfields.draw(shape, stars, wcs, rng)
    images.write_image(path, shot.image, dict(shot.header))
    return path


def _measure(image: np.ndarray) -> apertures.Sources:
    return apertures.extract(image, diameters_px=DIAMETERS, gain=GAIN)


def _measure_file(path: Path) -> apertures.Sources:
    return _measure(images.read_image(path)[0])


def _all_by_source_extractor(paths: list[Path], folders: list[Path], options: source_extractor.Options) -> None:
    with ThreadPoolExecutor(harness.CORES) as pool:
        list(pool.map(lambda path, folder: _by_source_extractor(path, folder, options), paths, folders))


def _by_source_extractor(path: Path, folder: Path, options: source_extractor.Options) -> None:
    folder.mkdir(exist_ok=True)
    source_extractor.configure(folder, options)
    place = folder / "extract.conf"
    place.write_text(place.read_text(encoding="utf-8").replace("LOCAL", "GLOBAL"), encoding="utf-8")
    run_program(source_extractor.command(path, folder, options), folder=folder, timeout_s=600)


def _by_sep(image: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return the positions of plain sep's sources ``(n, 2)`` and their fluxes in each circle."""
    background = sep.Background(image, bw=128, bh=128)
    flat = image - background
    rows = sep.extract(
        flat, 3.0, err=background.globalrms, filter_kernel=apertures.PYRAMID, filter_type="conv",
        deblend_nthresh=64, deblend_cont=1e-4,
    )  # fmt: skip
    x, y, err = rows["x"], rows["y"], background.globalrms
    fluxes = [sep.sum_circle(flat, x, y, size / 2, err=err, gain=GAIN)[0] for size in DIAMETERS]
    shape = rows["a"], rows["b"], rows["theta"]
    radius, _ = sep.kron_radius(flat, x, y, *shape, 6.0)
    sep.sum_ellipse(flat, x, y, *shape, 2.5 * np.nan_to_num(radius, nan=1.0), err=err, gain=GAIN)
    half, _ = sep.flux_radius(flat, x, y, 6 * rows["a"], 0.5, subpix=5)
    sep.winpos(flat, x, y, np.clip(half, 1, 10) * 2 / 2.3548)
    return np.stack([x, y], axis=1), fluxes


def _same_as_sep(found: apertures.Sources, theirs: tuple[np.ndarray, list[np.ndarray]]) -> Gate:
    """Compare the fluxes of the same sources; ours are in another order."""
    place, fluxes = theirs
    distance, index = cKDTree(place).query(np.stack([found.x, found.y], axis=1))
    same = distance < 0.5
    if len(place) != len(found) or not same.all():
        common = float(same.sum() / max(len(place), len(found)))
        return Gate(what="part of the sources that both have", value=common, limit=1.0, at_least=True)
    pairs = [(found.flux[:, number], flux[index]) for number, flux in enumerate(fluxes)]
    worst = max(float(np.abs(ours / np.where(flux == 0, 1, flux) - 1).max()) for ours, flux in pairs)
    return Gate(what="largest relative difference of a flux", value=worst, limit=1e-3)


def _gates(found: apertures.Sources, theirs) -> list[Gate]:
    place = np.stack([np.asarray(theirs["X_IMAGE"]) - 1, np.asarray(theirs["Y_IMAGE"]) - 1], axis=1)
    distance, index = cKDTree(place).query(np.stack([found.x, found.y], axis=1))
    same = distance < 0.5
    alone = cKDTree(place).query(place, k=2)[0][index[same], 1] > NEIGHBOUR_PX
    flux, error = (np.asarray(theirs[name])[index[same]] for name in ("FLUX_APER", "FLUXERR_APER"))
    good = alone[:, None] & (flux > SNR * error)
    difference = 2.5 * np.abs(np.log10(np.where(good, found.flux[same] / np.where(good, flux, 1), 1)))
    return [
        Gate(what="part of ours that the peer has", value=float(same.mean()), limit=0.995, at_least=True),
        Gate(
            what="part of the peer's that we have",
            value=len(found) * same.mean() / len(theirs),
            limit=0.995,
            at_least=True,
        ),
        Gate(
            what="99th percentile of differences in mag",
            value=float(np.quantile(difference[good], 0.99)),
            limit=TOLERANCE_MAG,
        ),
    ]
