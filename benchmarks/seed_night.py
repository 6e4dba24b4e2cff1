"""One unit's night in the order of gppy-gpu, the pipeline that brightsiren replaces: the peer of B10.

Runs the same binaries with that pipeline's settings, each step for all frames before the next, in one process per unit,
with four threads where that pipeline uses four: masters, reduction, Source Extractor, SCAMP, MissFITS, Source Extractor
twice per image, SWarp, Source Extractor twice per stack. Arrays are NumPy's, because there is no GPU here. No package
contains the index files of its solve-field, so every frame gets its true pointing at no cost. Plots and transfers are left
out.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS
from scipy.spatial import cKDTree

from tasks import naming
from tasks.io.catalogues import ldac, photometric_catalogues
from tasks.io.fits import fits_images
from tasks.programs import missfits, outputs, scamp, source_extractor, swarp
from tasks.programs.run import run
from tasks.science.astrometry import directions, field_grids, pointing_search, wcs_checks

THREADS = 4
BATCH = 10
GAP_S = 300.0
SCALE_ARCSEC = 0.505
CLIP_ROUNDS, CLIP_SIGMA = 5, 3.0
SEED_MATCH = scamp.Options(
    match=True, position_error_arcmin=1.0, angle_error_deg=5.0, scale_error=1.2, match_radius_arcsec=2.0, timeout_s=600
)
"""The settings of that pipeline."""
POINTED = scamp.Options(match=False, match_radius_arcsec=3.0, timeout_s=600)
"""No pattern matching by SCAMP, which a true pointing does not need."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """Folders of one unit's night and its products, and the true pointing of each light."""

    raw: Path
    out: Path
    unit: str
    pointings: dict[str, Path]
    astrometric: Path
    photometric: Path
    match: scamp.Options


@dataclass(kw_only=True)
class Light:
    """A light during its reduction."""

    path: Path
    header: fits_images.Header
    image: Path
    zero_point: float = 0.0
    table: Table = field(default_factory=Table)

    @property
    def moment(self) -> datetime:
        return datetime.fromisoformat(str(self.header["DATE-OBS"])).replace(tzinfo=UTC)


def reduce_unit(job: Job) -> None:
    """Reduce one unit's night, step by step."""
    job.out.mkdir(parents=True, exist_ok=True)
    raw = {path: fits_images.read_header(path) for path in sorted(job.raw.glob("*.fits"))}
    bias, dark, flats = _masters(raw, job.out)
    lights = list(_reduction([path for path in raw if _kind(raw[path]) == "LIGHT"], raw, job, (bias, dark, flats)))
    with ThreadPoolExecutor(THREADS) as pool:
        catalogues = list(pool.map(lambda light: _pre_source_extractor(light, job), lights))
    _scamp(lights, catalogues, job)
    for light, catalogue in zip(lights, catalogues, strict=True):
        _missfits(light, catalogue, job)
    reference = photometric_catalogues.read_reference(job.photometric)
    for light in lights:
        light.zero_point = _photometry(light.image, light.header, reference)
    for group in _groups(lights):
        stack = _image_stack(group, job)
        _photometry(stack, group[0].header, reference)


def _kind(header: fits_images.Header) -> str:
    return str(header["IMAGETYP"]).upper().split()[0]


def _combine(stack: np.ndarray) -> np.ndarray:
    """Clip five rounds about the mean, then take the median of the rest, on the whole set at once."""
    values = stack.copy()
    for _ in range(CLIP_ROUNDS):
        left = np.isfinite(values).sum()
        mean, sigma = np.nanmean(values, axis=0), np.nanstd(values, axis=0)
        values[np.abs(values - mean) > CLIP_SIGMA * sigma] = np.nan
        if np.isfinite(values).sum() == left:
            break
    return np.nanmedian(values, axis=0).astype(np.float32)


def _masters(raw: dict[Path, fits_images.Header], out: Path) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Make bias, dark (minus bias) and flats, and write them."""
    of = {kind: [path for path in raw if _kind(raw[path]).startswith(kind)] for kind in ("BIAS", "DARK", "FLAT")}
    bias = _combine(_stack(of["BIAS"]))
    fits_images.write_image(out / "zero.fits", bias, raw[of["BIAS"][0]])
    exposure_s = float(raw[of["DARK"][0]]["EXPTIME"])
    dark = _combine(_stack(of["DARK"])) - bias
    fits_images.write_image(out / f"dark-{naming.exposure_text(exposure_s)}.fits", dark, raw[of["DARK"][0]])
    flats = {}
    for name in sorted({str(raw[path]["FILTER"]) for path in of["FLAT"]}):
        chosen = [path for path in of["FLAT"] if raw[path]["FILTER"] == name]
        signal = [
            plane - bias - dark * np.float32(float(raw[path]["EXPTIME"]) / exposure_s)
            for plane, path in zip(_stack(chosen), chosen, strict=True)
        ]
        flats[name] = _combine(np.stack([each / np.median(each) for each in signal]))
        fits_images.write_image(out / f"n{name}.fits", flats[name], raw[chosen[0]])
    return bias, dark, flats


def _stack(paths: Sequence[Path]) -> np.ndarray:
    return np.stack([fits_images.read_image(path)[0].astype(np.float32) for path in paths])


def _reduction(
    paths: Sequence[Path],
    raw: dict[Path, fits_images.Header],
    job: Job,
    masters: tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]],
) -> Iterator[Light]:
    """Reduce lights in batches of ten of one filter."""
    bias, dark, flats = masters
    for name, group in itertools.groupby(
        sorted(paths, key=lambda path: str(raw[path]["FILTER"])), lambda path: str(raw[path]["FILTER"])
    ):
        chosen = list(group)
        for first in range(0, len(chosen), BATCH):
            some = chosen[first : first + BATCH]
            for path, image in zip(some, (_stack(some) - bias - dark) / flats[name], strict=True):
                light = Light(path=path, header=raw[path], image=job.out / f"fdz{path.name}")
                fits_images.write_image(light.image, image.astype(np.float32), raw[path])
                yield light


def _pre_source_extractor(light: Light, job: Job) -> Path:
    folder = job.out / "pre" / light.path.stem
    options = source_extractor.Options(scale_arcsec=SCALE_ARCSEC, columns=source_extractor.ASTROMETRY_COLUMNS)
    catalogue = source_extractor.extract(light.image, folder, options).catalogue
    shape = fits_images.open_image(light.image).shape
    known = pointing_search.of_wcs(WCS(fits.Header.fromtextfile(job.pointings[light.path.name])), shape)
    catalogue.with_suffix(".ahead").write_text(wcs_checks.head_text(wcs_checks.cards_of(known.wcs(shape))))
    return catalogue


def _scamp(lights: Sequence[Light], catalogues: Sequence[Path], job: Job) -> None:
    """Solve each object's frames together, all filters and times."""
    for name in {str(light.header["OBJECT"]) for light in lights}:
        own = [each for each, light in zip(catalogues, lights, strict=True) if light.header["OBJECT"] == name]
        scamp.solve(own, job.astrometric, job.out / "pre", job.match)


def _missfits(light: Light, catalogue: Path, job: Job) -> None:
    head = wcs_checks.head_text(wcs_checks.solution_cards(ldac.read_header(catalogue.with_suffix(".head"))))
    shape = fits_images.open_image(light.image).shape
    made = missfits.apply(light.image, head, catalogue.parent, shape=shape, options=missfits.Options()).image
    header = light.header
    stem = naming.image_stem(
        str(header["OBJECT"]), job.unit, str(header["FILTER"]), light.moment, float(header["EXPTIME"])
    )
    light.image = made.replace(job.out / f"{stem}.fits")


def _photometry(image: Path, header: fits_images.Header, reference: Table) -> float:
    """Measure an image twice, the second time in apertures that follow the seeing; write catalogue and header."""
    folder = image.parent / "work" / image.stem
    first = ldac.read(
        source_extractor.extract(image, folder, source_extractor.Options(scale_arcsec=SCALE_ARCSEC)).catalogue
    )
    seeing = _seeing(first, reference, str(header["FILTER"]))
    options = source_extractor.Options(
        scale_arcsec=SCALE_ARCSEC, seeing_arcsec=seeing, diameters_px=_diameters_px(seeing)
    )
    result = source_extractor.extract(image, folder, options)
    table = ldac.read(result.catalogue)
    found, star = _match(table, reference)
    cards: dict[str, Any] = {"SEEING": seeing, "SKYVAL": result.sky_adu, "SKYSIG": result.sky_sigma_adu}
    magnitudes = np.column_stack([table["MAG_AUTO"], table["MAG_APER"]])
    good = (np.asarray(table["FLAGS"])[found] == 0) & (
        np.asarray(table["FLUX_AUTO"] / table["FLUXERR_AUTO"])[found] > 20
    )
    true = np.asarray(reference[f"mag_{header['FILTER']}"], float)[star]
    for number, column in enumerate(magnitudes.T):
        difference = (true - column[found])[good & np.isfinite(true)]
        cards[f"ZP_{number}"] = _clipped(difference)
        table[f"MAG_{number}_{header['FILTER']}"] = column + cards[f"ZP_{number}"]
    with fits.open(image, mode="update") as units:
        units[0].header.update(cards)
    place = naming.photometry_of(image)
    place.parent.mkdir(exist_ok=True)
    photometric_catalogues.write(
        place, Table({name: table[name] for name in table.colnames if table[name].ndim == 1}), cards
    )
    return float(cards["ZP_0"])


def _seeing(table: Table, reference: Table, band: str) -> float:
    found, star = _match(table, reference)
    magnitude = np.asarray(reference[f"mag_{band}"], float)[star]
    use = (np.asarray(table["FLAGS"])[found] == 0) & (magnitude > 11.75) & (magnitude < 18)
    return float(np.median(np.asarray(table["FWHM_WORLD"])[found][use])) * 3600


def _diameters_px(seeing_arcsec: float) -> tuple[float, ...]:
    px = seeing_arcsec / SCALE_ARCSEC
    follow = (2 * 0.6731 * px, 2 * px, 3 * px)
    return (*follow, *(size / SCALE_ARCSEC for size in (3.0, 5.0, 10.0, 20.0)))


def _match(table: Table, reference: Table) -> tuple[np.ndarray, np.ndarray]:
    """Return rows of detections and of the reference stars within 1 arcsec of them."""
    ours, theirs = (
        directions.unit_vectors(np.asarray(rows[ra], float), np.asarray(rows[dec], float))
        for rows, ra, dec in ((table, "ALPHA_J2000", "DELTA_J2000"), (reference, "ra", "dec"))
    )
    distance, index = cKDTree(theirs).query(ours)
    found = np.flatnonzero(distance < np.radians(1 / 3600))
    return found, index[found]


def _clipped(values: np.ndarray) -> float:
    """Return the median after clipping at 2 sigma until nothing changes."""
    while True:
        close = np.abs(values - np.median(values)) <= 2 * np.std(values)
        if close.all():
            return float(np.median(values))
        values = values[close]


def _groups(lights: Sequence[Light]) -> Iterator[list[Light]]:
    """Yield groups of lights of one filter with starts within 300 s of each other; a single light makes no stack."""
    for _, group in itertools.groupby(
        sorted(lights, key=lambda light: (str(light.header["FILTER"]), light.moment)),
        lambda light: light.header["FILTER"],
    ):
        own = list(group)
        breaks = [
            index + 1
            for index, (one, other) in enumerate(itertools.pairwise(own))
            if (other.moment - one.moment).total_seconds() > GAP_S
        ]
        pieces = [own[first:last] for first, last in itertools.pairwise([0, *breaks, len(own)])]
        yield from (piece for piece in pieces if len(piece) > 1)


def _image_stack(group: Sequence[Light], job: Job) -> Path:
    """Median of the resampled frames by SWarp, without weights."""
    header = group[0].header
    first = group[0].moment
    mean = first + sum(((light.moment - first) for light in group), timedelta()) / len(group)
    total = sum(float(light.header["EXPTIME"]) for light in group)
    stem = naming.image_stem(str(header["OBJECT"]), job.unit, str(header["FILTER"]), mean, total)
    shape = field_grids.stack_shape(fits_images.open_image(group[0].image).shape)
    folder = job.out / "stack" / stem
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        **swarp.FIXED,
        "WEIGHT_TYPE": "NONE",
        "RESCALE_WEIGHTS": True,
        "IMAGEOUT_NAME": job.out / f"{stem}.com.fits",
        "WEIGHTOUT_NAME": folder / "weight.fits",
        "COMBINE_TYPE": "MEDIAN",
        "CENTER": f"{float(header['RA']):.10f},{float(header['DEC']):+.10f}",
        "PIXEL_SCALE": SCALE_ARCSEC,
        "IMAGE_SIZE": f"{shape[1]},{shape[0]}",
        "RESAMPLE_DIR": folder,
        "SUBTRACT_BACK": True,
        "BACK_SIZE": 512,
        "VMEM_DIR": folder,
        "MEM_MAX": 4096,
        "VMEM_MAX": 16384,
        "COMBINE_BUFSIZE": 2048,
        "NTHREADS": THREADS,
    }
    (folder / "swarp.conf").write_text(outputs.settings(settings), encoding="utf-8")
    run(swarp.command([light.image for light in group], folder), folder=folder, timeout_s=600)
    return job.out / f"{stem}.com.fits"
