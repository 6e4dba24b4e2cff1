"""Calibrated lights to lights with a WCS that was checked against the reference.

A frame's pointing is found by our own vote of its stars, or by solve-field where that fails and it is installed; this
gives SCAMP an a-priori header good to arcseconds. SCAMP fits the distortion for the whole batch, and for a frame alone
where the batch fails; what is left is looked for where the other frames of its object were found. Our own match of the
result with the reference decides whether a solution is let through; MissFITS writes it into the image.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks import naming, products
from tasks.errors import SirenError, passing
from tasks.io.catalogues import astrometric_cells, detection_tables, ldac
from tasks.io.fits import fits_images
from tasks.options import ReduceOptions
from tasks.programs import missfits, outputs, source_extractor
from tasks.records import Calibrated, Rejected, Solved, SolvedBatch, Stage
from tasks.reduction import solving
from tasks.reduction.solving import Errors, Job, Solution
from tasks.science.astrometry import catalogue_cells, pointing_search, wcs_checks

log = logging.getLogger(__name__)


@task(name="solve", cache_policy=NO_CACHE, persist_result=False)
def solve(calibrated: tuple[Calibrated, ...], catalogue: Path, root: Path, options: ReduceOptions) -> SolvedBatch:
    """Give the lights of one unit, filter and object a WCS; what cannot be solved is rejected with the reason."""
    if not calibrated:
        return SolvedBatch(solved=())
    frame, images = calibrated[0].frame, [light.image for light in calibrated]
    folder = naming.NightTree(root=root).solved(frame.unit, naming.night_of(frame.date_obs))
    ledger = folder / naming.batch_ledger(frame.object, frame.filter, [image.name for image in images])
    nearby = catalogue_cells.around(
        pointing_search.surroundings([light.frame for light in calibrated], options.position_error_arcmin)
    )
    inputs = [*(image for image in images if image.exists()), *astrometric_cells.present(catalogue, nearby)]
    recipe = products.Recipe(stage="solve", inputs=inputs, options=options)
    if (known := products.recall(recipe, ledger, SolvedBatch)) is not None:
        return known
    with outputs.scratch(folder, "solve") as scratch:
        batch, lasting = _solve_all(calibrated, catalogue, scratch, options, place=folder)
    if lasting:
        products.write_text(ledger, f"{len(batch.solved)} solved, {len(batch.rejected)} rejected\n")
        made = [path for each in batch.solved for path in (each.image, naming.detections_of(each.image))]
        products.remember(recipe, [ledger, *made], batch)
    return batch


def _solve_all(
    calibrated: Sequence[Calibrated], catalogue: Path, folder: Path, options: ReduceOptions, *, place: Path
) -> tuple[SolvedBatch, bool]:
    """Solve a batch; also tell whether the same would come out again, which a program that died does not promise."""
    errors: Errors = {}
    started = time.monotonic()
    jobs = solving.each(calibrated, lambda light: _detect(light, folder, options), errors, options)
    found = solving.solutions(jobs, catalogue, folder, options, errors)
    each_s = (time.monotonic() - started) / len(calibrated)
    good = {each.job.light: each for each in found}
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


def _detect(light: Calibrated, folder: Path, options: ReduceOptions) -> Job:
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
    return Job(
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
    """Write the image with its solution; variance and mask stay what they are until the end of photometry."""
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
    found = solution.found
    log.info(
        '%s %s: %d stars, rms %.3f" %.3f"', frame.unit, stem, found.matched, found.rms_ra_arcsec, found.rms_dec_arcsec
    )
    return Solved(
        frame=frame,
        image=image,
        variance=job.light.variance,
        mask=job.light.mask,
        astrometry=found,
        detections=naming.detections_of(image),
        seconds=seconds,
    )
