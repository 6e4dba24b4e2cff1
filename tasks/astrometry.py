"""Calibrated lights to lights with a WCS that was checked against the reference.

A frame's pointing is found by our own vote of its stars, which gives SCAMP an a-priori header good to arcseconds;
SCAMP fits the distortion for the whole batch, and for a frame alone where the batch fails; our own match of the result
with the reference decides whether a solution is let through; MissFITS writes it into the image.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from astropy.table import Table
from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks import naming, products
from tasks.errors import FAULTS, AlgorithmError, ProgramError, SirenError, UnusableData, passing
from tasks.io import frames, ldac
from tasks.options import ReduceOptions
from tasks.programs import missfits, outputs, scamp, solve_field, source_extractor
from tasks.records import Astrometry, Calibrated, Rejected, Solved, SolvedBatch, Stage
from tasks.science import astrometry, matching, photometry, pointing
from tasks.science.headers import Header
from tasks.science.matching import Floats

log = logging.getLogger(__name__)

R = TypeVar("R")

NOMINAL_SCALE_ARCSEC = 0.505
# a second vote, for pointing errors that the options do not expect
WIDER = 3.0
WIDEST_ARCMIN = 120.0
# After the vote only the distortion is left, a few arcsec in the corners. SCAMP's own search for the pattern took 50 s
# and more for six frames and found the same, so it is the last attempt for a frame alone.
POINTED = (
    scamp.Options(match=False, match_radius_arcsec=3.0),
    scamp.Options(match=False, match_radius_arcsec=8.0),
)
SEARCHED = scamp.Options(match=True, position_error_arcmin=1.0, angle_error_deg=1.0, scale_error=1.02)
SNR_OF_A_MATCH = 10.0
FEWEST_REFERENCES = 10
# flags of Source Extractor that still allow an exact position: crowded, blended
USABLE_FLAGS = 3
LARGEST_ELLIPTICITY = 0.5


@dataclass(frozen=True, kw_only=True, eq=False)
class Job:
    """A frame on its way: its folder, detections (0-based, brightest first) and a-priori pointing."""

    light: Calibrated
    folder: Path
    shape: tuple[int, int]
    catalogue: Path
    pixels: Floats = field(repr=False)
    near: pointing.Pointing | None = None

    @property
    def centre(self) -> tuple[float, float]:
        """Where the header points, in degrees."""
        return self.light.frame.ra_deg or 0.0, self.light.frame.dec_deg or 0.0


@dataclass(frozen=True, kw_only=True)
class Solution:
    """A solution that was let through."""

    job: Job
    cards: Header
    found: Astrometry


@task(name="solve", cache_policy=NO_CACHE, persist_result=False)
def solve(calibrated: tuple[Calibrated, ...], catalogue: Path, root: Path, options: ReduceOptions) -> SolvedBatch:
    """Give the lights of one unit, filter and object a WCS; what cannot be solved is rejected with the reason."""
    if not calibrated:
        return SolvedBatch(solved=())
    ledger = _ledger(calibrated, root)
    recipe = products.Recipe(stage="solve", inputs=(*_inputs(calibrated), catalogue), options=options)
    if (known := products.recall(recipe, ledger, SolvedBatch)) is not None:
        return known
    with outputs.scratch(ledger.parent, "solve") as folder:
        batch, lasting = _solve_all(calibrated, catalogue, folder, options, place=ledger.parent)
    if lasting:
        products.write_text(ledger, f"{len(batch.solved)} solved, {len(batch.rejected)} rejected\n")
        products.remember(recipe, [ledger, *(each.image for each in batch.solved)], batch)
    return batch


def _ledger(calibrated: Sequence[Calibrated], root: Path) -> Path:
    """Return the file that stands for a batch, solved and rejected alike."""
    frame = calibrated[0].frame
    names = naming.hashed("\n".join(sorted(light.image.name for light in calibrated)))
    folder = naming.NightTree(root=root).solved(frame.unit, naming.night_of(frame.date_obs))
    return folder / f"{naming.slug(frame.object)}_{naming.filter_name(frame.filter)}_{names}.txt"


def _inputs(calibrated: Sequence[Calibrated]) -> list[Path]:
    return [light.image for light in calibrated if light.image.exists()]


def _solve_all(
    calibrated: Sequence[Calibrated], catalogue: Path, folder: Path, options: ReduceOptions, *, place: Path
) -> tuple[SolvedBatch, bool]:
    """Solve a batch; also tell whether the same would come out again, which a program that died does not promise."""
    errors: dict[Path, SirenError] = {}
    started = time.monotonic()
    jobs = _each(calibrated, lambda light: _detect(light, folder, options), errors, options)
    try:
        stars = _reference(jobs, catalogue, options)
    except SirenError as error:
        errors |= {job.light.image: error for job in jobs}
        jobs, stars = [], Table()
    solutions = _solutions(jobs, stars, folder, options, errors) if jobs else []
    each_s = (time.monotonic() - started) / len(calibrated)
    written = _each(
        [solution.job.light for solution in solutions],
        lambda light: _write(next(s for s in solutions if s.job.light is light), place, options, seconds=each_s),
        errors,
        options,
    )
    rejected = tuple(_reject(light, errors[light.image]) for light in calibrated if light.image in errors)
    lasting = not any(map(passing, errors.values()))
    return SolvedBatch(solved=tuple(written), rejected=rejected), lasting


def _each(
    lights: Sequence[Calibrated],
    work: Callable[[Calibrated], R],
    errors: dict[Path, SirenError],
    options: ReduceOptions,
) -> list[R]:
    """Do ``work`` for each light in threads; keep what went wrong apart."""
    with ThreadPoolExecutor(max_workers=options.slots) as pool:
        futures = [pool.submit(work, light) for light in lights]
    results = []
    for light, future in zip(lights, futures, strict=True):
        try:
            results.append(future.result())
        except FAULTS as error:
            errors[light.image] = error
    return results


def _reject(light: Calibrated, error: SirenError) -> Rejected:
    frame = light.frame
    log.warning("%s %s: no WCS: %s", frame.unit, frame.path.name, error)
    again = passing(error)
    return Rejected(name=frame.path.name, stage=Stage.REDUCE, reason=str(error), unit=frame.unit, passing=again)


def _detect(light: Calibrated, folder: Path, options: ReduceOptions) -> Job:
    """Detect the stars of a light."""
    stored = frames.open_image(light.image)
    if light.frame.ra_deg is None or light.frame.dec_deg is None:
        raise UnusableData("the header does not say where the telescope pointed")
    home = folder / light.image.name.removesuffix(".fits")
    wanted = source_extractor.Options(
        columns=source_extractor.ASTROMETRY_COLUMNS,
        detect_threshold=options.detect_threshold,
        flags=light.mask,
        timeout_s=options.program_timeout_s,
    )
    result = source_extractor.extract(light.image, home, wanted)
    table = ldac.read(result.catalogue)
    return Job(
        light=light,
        folder=home,
        shape=stored.shape,
        catalogue=result.catalogue,
        pixels=_positions(table),
    )


def _positions(table: Table) -> Floats:
    """Return 0-based x, y of the detections whose positions are exact, brightest first."""
    use = (np.asarray(table["FLAGS"]) <= USABLE_FLAGS) & (np.asarray(table["SNR_WIN"]) > SNR_OF_A_MATCH)
    use &= ((np.asarray(table["IMAFLAGS_ISO"]) & photometry.SPOILS) == 0) & (
        np.asarray(table["ELLIPTICITY"]) < LARGEST_ELLIPTICITY
    )
    chosen = table[use]
    order = np.argsort(-np.asarray(chosen["FLUX_AUTO"]), kind="stable")
    positions: Floats = np.column_stack([np.asarray(chosen[name])[order] - 1 for name in ("XWIN_IMAGE", "YWIN_IMAGE")])
    return positions


def _reference(jobs: Sequence[Job], catalogue: Path, options: ReduceOptions) -> Table:
    """Return the reference stars around a batch, brightest first, at the time of its frames."""
    table = ldac.read_reference(catalogue)
    position = (np.asarray(table["X_WORLD"]), np.asarray(table["Y_WORLD"]))
    near = np.zeros(len(table), dtype=bool)
    for job in jobs:
        diagonal = float(np.hypot(*job.shape)) / 2 * _scale(job) / 3600
        reach = diagonal + min(WIDEST_ARCMIN, WIDER * options.position_error_arcmin) / 60
        near |= matching.within(*position, centre=job.centre, radius_deg=reach)
    if near.sum() < FEWEST_REFERENCES:
        raise UnusableData(f"{catalogue.name} has {near.sum()} stars around the field (needed: {FEWEST_REFERENCES})")
    table = table[near]
    table.sort("MAG")
    epoch, now = float(np.median(table["OBSDATE"])), matching.julian_year(jobs[0].light.frame.date_obs)
    columns = (np.asarray(table[name]) for name in ("X_WORLD", "Y_WORLD", "pmRA", "pmDE"))
    table["X_WORLD"], table["Y_WORLD"] = matching.moved(*columns, epoch=epoch, to=now)
    table["OBSDATE"] = now
    return table


def _solutions(
    jobs: Sequence[Job], stars: Table, folder: Path, options: ReduceOptions, errors: dict[Path, SirenError]
) -> list[Solution]:
    reference = folder / "reference.cat"
    ldac.write_reference(reference, stars)
    pointed, lost = _point(jobs, stars, options)
    solutions = _fit_together(pointed, reference, stars, options)
    done = {solution.job.light.image for solution in solutions}
    again = [job for job in (*pointed, *lost) if job.light.image not in done]
    by_light = {job.light: job for job in again}
    alone = _each(list(by_light), lambda light: _fit_alone(by_light[light], reference, stars, options), errors, options)
    return [*solutions, *alone]


def _point(jobs: Sequence[Job], stars: Table, options: ReduceOptions) -> tuple[list[Job], list[Job]]:
    """Vote on the pointing of each frame; the orientation of one is tried first for the next."""
    pointed: list[Job] = []
    lost: list[Job] = []
    known: Floats | None = None
    for job in jobs:
        try:
            near = _vote(job, stars, options, known)
        except AlgorithmError as error:
            log.info("%s: %s", job.light.image.name, error)
            lost.append(job)
        else:
            known = near.linear()
            pointed.append(replace(job, near=near))
    return pointed, lost


def _vote(job: Job, stars: Table, options: ReduceOptions, known: Floats | None) -> pointing.Pointing:
    """Vote within the pointing error that the options expect, then in a wider field."""
    narrow = options.position_error_arcmin
    return pointing.search(
        job.pixels,
        (np.asarray(stars["X_WORLD"]), np.asarray(stars["Y_WORLD"])),
        shape=job.shape,
        centre=job.centre,
        radii_arcmin=(narrow, min(WIDEST_ARCMIN, WIDER * narrow)),
        scale_arcsec=_scale(job),
        known=known,
    )


def _fit_together(jobs: Sequence[Job], reference: Path, stars: Table, options: ReduceOptions) -> list[Solution]:
    """Solve frames at once, so that they share their distortion; what fails is tried alone, and not reported yet."""
    solutions: list[Solution] = []
    for settings in POINTED:
        left = [job for job in jobs if job not in [solution.job for solution in solutions]]
        if not left:
            break
        try:
            heads = _scamp(left, reference, reference.parent, replace(settings, **_common(options)))
        except ProgramError as error:
            log.warning("%d frames together: %s", len(left), error)
            break
        except SirenError as error:
            log.info("%d frames together: %s", len(left), error)
            continue
        for job, head in zip(left, heads, strict=True):
            try:
                solutions.append(_check(job, head, stars, options))
            except SirenError as error:
                log.info("%s with the others: %s", job.light.image.name, error)
    return solutions


def _fit_alone(job: Job, reference: Path, stars: Table, options: ReduceOptions) -> Solution:
    """Solve one frame; raise the last error where nothing helps."""
    attempts: tuple[scamp.Options, ...] = (*POINTED, SEARCHED)
    if job.near is None:
        if (near := _blind(job, options)) is None:
            radius = options.position_error_arcmin
            attempts = (scamp.Options(position_error_arcmin=radius, angle_error_deg=pointing.ANGLE_RANGE_DEG),)
        else:
            job = replace(job, near=near)
    trouble: SirenError = AlgorithmError("no attempt was made")
    for settings in attempts:
        alone = replace(settings, **{**_common(options), "threads": 1, "share_distortion": False})
        try:
            return _check(job, _scamp([job], reference, job.folder, alone)[0], stars, options)
        except ProgramError:
            raise  # what crashed or hung would do so again, at the price of the deadline
        except SirenError as error:
            trouble = error
    raise trouble


def _common(options: ReduceOptions) -> dict[str, Any]:
    return {
        "distortion_degree": options.distortion_degree,
        "threads": 1,  # more of them add up in the order in which they end: other last digits every run
        "timeout_s": options.program_timeout_s,
    }


def _scamp(jobs: Sequence[Job], reference: Path, folder: Path, settings: scamp.Options) -> tuple[Path | None, ...]:
    for job in jobs:
        near = job.near or pointing.Pointing(
            ra_deg=job.centre[0], dec_deg=job.centre[1], matrix=pointing.rows(pointing.orientations(_scale(job))[0])
        )
        cards = astrometry.cards_of(near.wcs(job.shape))
        job.catalogue.with_suffix(".ahead").write_text(astrometry.head_text(cards), encoding="ascii")
    return scamp.solve([job.catalogue for job in jobs], reference, folder, settings).headers


def _blind(job: Job, options: ReduceOptions) -> pointing.Pointing | None:
    """Ask solve-field where it and its index files are installed; None where they are not, or do not help."""
    index = Path(options.index_folder)
    if not solve_field.installed(index) or not len(job.pixels):
        return None
    ldac.write_positions(job.folder / "positions.fits", job.pixels[:, 0] + 1, job.pixels[:, 1] + 1)
    wanted = solve_field.Options(index_folder=index, scale_arcsec=_scale(job))
    ra, dec = job.centre
    try:
        result = solve_field.solve(
            job.folder / "positions.fits", job.folder, shape=job.shape, ra_deg=ra, dec_deg=dec, options=wanted
        )
    except SirenError as error:
        log.info("%s: %s", job.light.image.name, error)
        return None
    return pointing.of_wcs(astrometry.wcs_of(ldac.read_cards(result.wcs)), job.shape)


def _check(job: Job, head: Path | None, stars: Table, options: ReduceOptions) -> Solution:
    """Let a solution through, or raise ``AlgorithmError`` with what is wrong with it."""
    if head is None:
        raise AlgorithmError("scamp wrote no solution for this frame")
    cards = astrometry.solution_cards(ldac.read_header(head))
    wcs = astrometry.wcs_of(cards)
    sky = (np.asarray(stars["X_WORLD"]), np.asarray(stars["Y_WORLD"]))
    limits = astrometry.Limits(
        rms_arcsec=options.maximum_rms_arcsec,
        matches=options.minimum_matches,
        scale_arcsec=_scale(job),
        centre=job.centre,
        pointing_deg=max(astrometry.LARGEST_POINTING_DEG, WIDER * options.position_error_arcmin / 60),
    )
    residuals = astrometry.residuals(wcs, job.pixels, sky, shape=job.shape)
    found = astrometry.measure(residuals, wcs, job.shape)
    if wrong := astrometry.faults(found, residuals, limits, shape=job.shape):
        raise AlgorithmError(f"the solution is wrong: {'; '.join(wrong)}")
    return Solution(job=job, cards={**cards, **astrometry.quality_cards(found, wcs, job.shape)}, found=found)


def _scale(job: Job) -> float:
    """Return the camera's nominal scale in arcsec per pixel."""
    return NOMINAL_SCALE_ARCSEC * max(1, job.light.frame.binning)


def _write(solution: Solution, place: Path, options: ReduceOptions, *, seconds: float) -> Solved:
    """Write the image with its solution; variance and mask stay what they are until the end of photometry."""
    job = solution.job
    frame = job.light.frame
    stem = naming.image_stem(frame.object, frame.unit, frame.filter, frame.date_obs, frame.exposure_s)
    image = place / f"{stem}.fits"
    with products.staged(image) as temporary:
        if options.header_writer == "missfits":
            _apply(solution, temporary, options)
        else:
            data, header = frames.read_image(job.light.image)
            frames.write_image(temporary, data, {**header, **solution.cards})
    found = solution.found
    log.info(
        '%s %s: %d stars, rms %.3f" %.3f"', frame.unit, stem, found.matched, found.rms_ra_arcsec, found.rms_dec_arcsec
    )
    return Solved(
        frame=frame, image=image, variance=job.light.variance, mask=job.light.mask, astrometry=found, seconds=seconds
    )


def _apply(solution: Solution, temporary: Path, options: ReduceOptions) -> None:
    """Let MissFITS write the solution beside the final place."""
    wanted = missfits.Options(timeout_s=options.program_timeout_s)
    head = astrometry.head_text(solution.cards)
    job = solution.job
    with outputs.scratch(temporary.parent, "missfits") as folder:
        missfits.apply(job.light.image, head, folder, shape=job.shape, options=wanted).image.replace(temporary)
