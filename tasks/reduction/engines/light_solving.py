"""Astrometry of a batch of lights: detect their stars, solve them, write the images with an accepted solution."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path

from tasks import naming, products
from tasks.errors import SirenError, passing
from tasks.io.catalogues import detection_tables, ldac
from tasks.io.fits import fits_images
from tasks.options import ReduceOptions
from tasks.programs import missfits, source_extractor
from tasks.records import Calibrated, Rejected, Solved, SolvedBatch, Stage
from tasks.reduction.engines import solving
from tasks.reduction.engines.solving import Errors, Solution, SolvingJob
from tasks.science.astrometry import pointing_search, wcs_checks

log = logging.getLogger(__name__)


def solve_all(
    calibrated: Sequence[Calibrated], catalogue: Path, folder: Path, options: ReduceOptions, *, place: Path
) -> tuple[SolvedBatch, bool]:
    """Solve a batch; also return whether the result may be reused: not if the cause of a failure was temporary."""
    errors: Errors = {}
    started = time.monotonic()
    jobs = solving.each(calibrated, lambda light: _detect(light, folder, options), errors, options)
    solutions = solving.solutions(jobs, catalogue, folder, options, errors)
    each_s = (time.monotonic() - started) / len(calibrated)
    good = {solution.job.light: solution for solution in solutions}
    written = solving.each(
        list(good), lambda light: _write(good[light], place, options, seconds=each_s), errors, options
    )
    rejected = tuple(_reject(light, errors[light.image]) for light in calibrated if light.image in errors)
    lasting = not any(map(passing, errors.values()))
    return SolvedBatch(solved=tuple(written), rejected=rejected), lasting


def _reject(light: Calibrated, error: SirenError) -> Rejected:
    frame, again = light.frame, passing(error)
    log.warning("%s %s: no WCS: %s", frame.unit, frame.path.name, error)
    return Rejected(name=frame.path.name, stage=Stage.REDUCE, reason=str(error), unit=frame.unit, passing=again)


def _detect(light: Calibrated, folder: Path, options: ReduceOptions) -> SolvingJob:
    """Detect the stars of a light."""
    home, shape = folder / light.image.name.removesuffix(".fits"), fits_images.open_image(light.image).shape
    wanted = source_extractor.Options(
        scale_arcsec=pointing_search.scale_of(light.frame),
        columns=source_extractor.ASTROMETRY_COLUMNS,
        detect_threshold=options.detect_threshold,
        flags=light.mask,
        timeout_s=options.program_timeout_s,
    )
    result = source_extractor.extract(light.image, home, wanted)
    table = ldac.read(result.catalogue)
    ra, dec = light.frame.ra_deg, light.frame.dec_deg
    return SolvingJob(
        light=light,
        folder=home,
        shape=shape,
        catalogue=result.catalogue,
        centre=None if ra is None or dec is None else (ra, dec),
        pixels=wcs_checks.exact_positions(table),
        guides=wcs_checks.guide_positions(table),
        sky=(result.sky_adu, result.sky_sigma_adu),
    )


def _write(solution: Solution, place: Path, options: ReduceOptions, *, seconds: float) -> Solved:
    """Write the image with its solution; variance and mask are written at the end of photometry."""
    job, frame = solution.job, solution.job.light.frame
    stem = naming.image_stem(frame.object, frame.unit, frame.filter, frame.date_obs, frame.exposure_s)
    image = place / f"{stem}.fits"
    with products.staged(image) as temporary:
        if options.header_writer == "missfits":
            wanted = missfits.Options(timeout_s=options.program_timeout_s)
            head = wcs_checks.head_text(solution.cards)
            missfits.write(job.light.image, head, temporary, shape=job.shape, options=wanted)
        else:
            data, header = fits_images.read_image(job.light.image)
            fits_images.write_image(temporary, data, {**header, **solution.cards})
    placed = wcs_checks.placed(ldac.read(job.catalogue), wcs_checks.wcs_of(solution.cards))
    with products.staged(naming.detections_of(image)) as temporary:
        detection_tables.write(temporary, placed, *job.sky)
    fit = solution.found
    log.info('%s %s: %d stars, rms %.3f" %.3f"', frame.unit, stem, fit.matched, fit.rms_ra_arcsec, fit.rms_dec_arcsec)
    return Solved(
        frame=frame,
        image=image,
        variance=job.light.variance,
        mask=job.light.mask,
        astrometry=fit,
        detections=naming.detections_of(image),
        seconds=seconds,
    )
