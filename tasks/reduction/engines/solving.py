"""Astrometric solution of lights: pointing, catalogue match, SCAMP, blind solve, checks."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from astropy.table import Table

from tasks.errors import FAULTS, AlgorithmError, ProgramError, SirenError, UnusableData
from tasks.io.catalogues import astrometric_cells, ldac
from tasks.options import ReduceOptions
from tasks.programs import scamp, solve_field
from tasks.records import Astrometry, Calibrated
from tasks.science.astrometry import catalogue_cells, pointing_search, solution_rules, wcs_checks
from tasks.science.astrometry.matching import Floats
from tasks.science.headers.card_values import Header

log = logging.getLogger(__name__)

R = TypeVar("R")
# error of each image that failed
Errors = dict[Path, SirenError]
# after the vote only the distortion is left, a few arcsec in the corners: SCAMP's own search would take minutes
POINTED = (
    scamp.Options(match=False, match_radius_arcsec=3.0),
    scamp.Options(match=False, match_radius_arcsec=8.0),
)


@dataclass(frozen=True, kw_only=True, eq=False)
class SolvingJob:
    """A frame to solve: its folder, detections (0-based, brightest first), sky (ADU, noise) and a-priori pointing.

    ``pixels`` are exact positions; ``guides`` are the brightest stars, saturated ones included, for the vote.
    ``centre`` is the position at which the search starts, RA and Dec in degrees from the header; None if it has none.
    """

    light: Calibrated
    folder: Path
    shape: tuple[int, int]
    catalogue: Path
    centre: tuple[float, float] | None
    pixels: Floats = field(repr=False)
    guides: Floats = field(repr=False)
    sky: tuple[float, float] = (0.0, 0.0)
    near: pointing_search.Pointing | None = None

    @property
    def name(self) -> str:
        """Name of the image."""
        return self.light.image.name


@dataclass(frozen=True, kw_only=True, eq=False)
class ReferenceStars:
    """The reference stars around a batch, brightest first: as a table, and as the file for SCAMP."""

    stars: Table = field(repr=False)
    file: Path

    @property
    def positions(self) -> tuple[Floats, Floats]:
        """RA and Dec in degrees."""
        return np.asarray(self.stars["X_WORLD"]), np.asarray(self.stars["Y_WORLD"])


@dataclass(frozen=True, kw_only=True)
class Solution:
    """An accepted solution."""

    job: SolvingJob
    cards: Header
    found: Astrometry


def each(
    lights: Sequence[Calibrated], work: Callable[[Calibrated], R], errors: Errors, options: ReduceOptions
) -> list[R]:
    """Do ``work`` for each light in threads; collect errors by image."""
    with ThreadPoolExecutor(max_workers=options.slots) as pool:
        futures = [pool.submit(work, light) for light in lights]
    results = []
    for light, future in zip(lights, futures, strict=True):
        try:
            results.append(future.result())
        except FAULTS as error:
            errors[light.image] = error
    return results


def _sky(jobs: Sequence[SolvingJob], catalogue: Path, folder: Path, options: ReduceOptions) -> ReferenceStars:
    """Return the reference stars around a batch at the time of its frames."""
    places = solution_rules.places([(job.light.frame, job.centre) for job in jobs], options)
    table = astrometric_cells.read(catalogue, catalogue_cells.around(places))
    stars = wcs_checks.around(table, places, moment=jobs[0].light.frame.date_obs)
    solution_rules.check_number(stars, catalogue.name)
    ldac.write_reference(folder / "reference.cat", stars)
    return ReferenceStars(stars=stars, file=folder / "reference.cat")


def solutions(
    jobs: Sequence[SolvingJob], catalogue: Path, folder: Path, options: ReduceOptions, errors: Errors
) -> list[Solution]:
    """Solve frames together, then alone, then at the pointing of another; add errors by image to ``errors``.

    solve-field runs if no header has a position, or if no frame at all was solved.
    """
    placed = any(job.centre for job in jobs)
    jobs = jobs if placed else _asked(jobs, options)
    try:
        sky = _sky(jobs, catalogue, folder, options)
    except SirenError as error:
        errors |= {job.light.image: error for job in jobs}
        return []
    solved = _fit(_point(jobs, sky, options, errors), sky, options, errors)
    if placed and not solved:
        solved = _fit(_point(_asked(_left(jobs, errors), options), sky, options, errors), sky, options, errors)
    if solved:
        solved += _fit_by_another(_left(jobs, errors), solved[0], sky, options, errors)
    return solved


def _left(jobs: Sequence[SolvingJob], errors: Errors) -> list[SolvingJob]:
    """Return the unsolved frames worth another attempt: not those on which a program crashed or hung."""
    return [job for job in jobs if isinstance(errors.get(job.light.image), AlgorithmError | UnusableData)]


def _asked(jobs: Sequence[SolvingJob], options: ReduceOptions) -> list[SolvingJob]:
    """Run solve-field on the frame with most stars; its pointing is a hint for the others of its object."""
    near = _blind(max(jobs, key=lambda job: len(job.pixels)), options) if jobs else None
    if near is None:
        return list(jobs)
    return [replace(job, near=near, centre=job.centre or (near.ra_deg, near.dec_deg)) for job in jobs]


def _point(jobs: Sequence[SolvingJob], sky: ReferenceStars, options: ReduceOptions, errors: Errors) -> list[SolvingJob]:
    """Find the pointing of each frame; the orientation of the last one is tried first."""
    pointed: list[SolvingJob] = []
    orientation: Floats | None = None
    for job in jobs:
        try:
            near = _vote(job, sky, options, job.near.linear() if job.near else orientation)
        except (AlgorithmError, UnusableData) as error:
            log.info("%s: %s", job.name, error)
            errors[job.light.image] = error
        else:
            orientation = near.linear()
            pointed.append(replace(job, near=near))
    return pointed


def _vote(
    job: SolvingJob, sky: ReferenceStars, options: ReduceOptions, known: Floats | None
) -> pointing_search.Pointing:
    return solution_rules.pointing(
        job.pixels,
        job.guides,
        sky.positions,
        frame=job.light.frame,
        shape=job.shape,
        centre=job.centre,
        options=options,
        known=known,
    )


def _fit_by_another(
    left: Sequence[SolvingJob], guide: Solution, sky: ReferenceStars, options: ReduceOptions, errors: Errors
) -> list[Solution]:
    """Search for frames at the pointing of a solved one of their object, ignoring their own headers."""
    pointing = pointing_search.of_wcs(wcs_checks.wcs_of(guide.cards), guide.job.shape)
    there = {job.light: replace(job, centre=(pointing.ra_deg, pointing.dec_deg)) for job in left}

    def fit(light: Calibrated) -> Solution:
        near = _vote(there[light], sky, options, pointing.linear())
        return _fit_alone(replace(there[light], near=near), sky, options)

    solved = each(list(there), fit, {}, options)
    for solution in solved:
        trouble = errors.pop(solution.job.light.image)
        log.warning("%s: solved at the pointing of %s; alone: %s", solution.job.name, guide.job.name, trouble)
    return solved


def _fit(jobs: Sequence[SolvingJob], sky: ReferenceStars, options: ReduceOptions, errors: Errors) -> list[Solution]:
    """Solve pointed frames together; solve those that fail one by one."""
    solved = _fit_together(jobs, sky, options)
    done = {solution.job.light.image for solution in solved}
    again = {job.light: job for job in jobs if job.light.image not in done}
    solved += each(list(again), lambda light: _fit_alone(again[light], sky, options), errors, options)
    for solution in solved:
        errors.pop(solution.job.light.image, None)
    return solved


def _fit_together(jobs: Sequence[SolvingJob], sky: ReferenceStars, options: ReduceOptions) -> list[Solution]:
    """Solve frames at once, so that they share their distortion; failures are retried alone, so not reported yet."""
    solutions: list[Solution] = []
    for settings in POINTED:
        left = [job for job in jobs if job not in [solution.job for solution in solutions]]
        if not left:
            break
        try:
            heads = _scamp(left, sky, sky.file.parent, replace(settings, **_common(options)))
        except ProgramError as error:
            log.warning("%d frames together: %s", len(left), error)
            break
        except SirenError as error:
            log.info("%d frames together: %s", len(left), error)
            continue
        for job, head in zip(left, heads, strict=True):
            try:
                solutions.append(_check(job, head, sky, options))
            except SirenError as error:
                log.info("%s with the others: %s", job.name, error)
    return solutions


def _fit_alone(job: SolvingJob, sky: ReferenceStars, options: ReduceOptions) -> Solution:
    """Solve one frame; raise the last error if no attempt succeeds."""
    trouble: SirenError = AlgorithmError("no attempt was made")
    for settings in POINTED:
        alone = replace(settings, **_common(options), share_distortion=False)
        try:
            return _check(job, _scamp([job], sky, job.folder, alone)[0], sky, options)
        except ProgramError:
            raise  # a program that crashed or hung would do so again, until the deadline
        except SirenError as error:
            trouble = error
    raise trouble


def _common(options: ReduceOptions) -> dict[str, Any]:
    return {"distortion_degree": options.distortion_degree, "timeout_s": options.program_timeout_s}


def _scamp(
    jobs: Sequence[SolvingJob], sky: ReferenceStars, folder: Path, settings: scamp.Options
) -> tuple[Path | None, ...]:
    for job in jobs:
        if job.near is None:
            raise AlgorithmError(f"the pointing of {job.name} is not known")
        cards = wcs_checks.cards_of(job.near.wcs(job.shape))
        job.catalogue.with_suffix(".ahead").write_text(wcs_checks.head_text(cards), encoding="ascii")
    return scamp.solve([job.catalogue for job in jobs], sky.file, folder, settings).headers


def _blind(job: SolvingJob, options: ReduceOptions) -> pointing_search.Pointing | None:
    """Find a frame's pointing by solve-field; None if it or its index files are not installed, or if it fails."""
    index = Path(options.index_folder)
    if not solve_field.installed(index) or len(job.pixels) < options.minimum_matches:
        return None
    positions = job.folder / "positions.fits"
    ldac.write_positions(positions, job.guides[:, 0] + 1, job.guides[:, 1] + 1)
    wanted = solve_field.Options(index_folder=index, scale_arcsec=pointing_search.scale_of(job.light.frame))
    try:
        result = solve_field.solve(positions, job.folder, shape=job.shape, centre=job.centre, options=wanted)
    except SirenError as error:
        log.info("%s: %s", job.name, error)
        return None
    return pointing_search.of_wcs(wcs_checks.wcs_of(ldac.read_cards(result.wcs)), job.shape)


def _check(job: SolvingJob, head: Path | None, sky: ReferenceStars, options: ReduceOptions) -> Solution:
    """Accept a solution, or raise ``AlgorithmError`` with its fault."""
    if head is None or job.centre is None:
        raise AlgorithmError("scamp wrote no solution for this frame")
    cards, fit = solution_rules.judged(
        wcs_checks.solution_cards(ldac.read_header(head)),
        job.pixels,
        sky.positions,
        frame=job.light.frame,
        shape=job.shape,
        centre=job.centre,
        options=options,
    )
    return Solution(job=job, cards=cards, found=fit)
