"""Reduced frames of one object and filter to one deeper image on the field's own grid, measured like its frames."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
from astropy.table import Table
from prefect import Task, task
from prefect.cache_policies import NO_CACHE

from tasks import naming, products, telescopes
from tasks.errors import UnusableData
from tasks.io.catalogues import ldac, photometric_catalogues, photometric_cells
from tasks.io.fits import fits_images
from tasks.io.pages import zero_point_plots
from tasks.options import StackOptions
from tasks.programs import outputs, source_extractor
from tasks.records import Astrometry, Photometry, QaBit, Reduced, Rejected, Stack, StageResult
from tasks.reduction import stack_engines
from tasks.reduction.stack_engines import Job
from tasks.science.astrometry import field_grids, matching, wcs_checks
from tasks.science.astrometry.field_grids import Grid
from tasks.science.astrometry.matching import Floats
from tasks.science.headers import provenance
from tasks.science.headers.raw_headers import Header
from tasks.science.photometry import depths, image_photometry, own_extractor, photometric_calibration
from tasks.science.planning import tiling
from tasks.science.stacking import stack_members
from tasks.science.stacking.coadding import Coadd
from tasks.science.stacking.stack_members import Combination

log = logging.getLogger(__name__)

MATCH_SNR = 20.0
# the median of the pixels of a stack whose background was taken away, in sigma of its sky
LARGEST_SKY = 0.3


def group(results: Iterable[StageResult], options: StackOptions) -> tuple[tuple[Reduced, ...], ...]:
    """Group the reduced frames of a night: one object and filter, without a long pause; without those to be skipped."""
    kept, _ = stack_members.set_aside([each for result in results for each in result.reduced], options.skip)
    return stack_members.group_by_gap(kept, options.gap_s, together=options.units == "together")


def skipped(results: Iterable[StageResult], options: StackOptions) -> tuple[Rejected, ...]:
    """Name the objects that are not stacked because the options say so, once for each unit and filter."""
    return stack_members.set_aside([each for result in results for each in result.reduced], options.skip)[1]


@task(name="combine", cache_policy=NO_CACHE, persist_result=False)
def combine(
    group: tuple[Reduced, ...],
    catalogue: Path,
    root: Path,
    options: StackOptions,
    telescope: str = "7DT",
    *,
    deep: bool = False,
    centre_deg: tuple[float, float] | None = None,
) -> Stack:
    """Combine a group of frames into a stack with variance, mask, weight, number of frames, zero points and catalogue.

    A ``deep`` one has the name of all units, and its frames were judged before; ``centre_deg`` moves its grid.
    """
    started = time.monotonic()
    chosen = stack_members.choose(group, equal=options.combine == "seed", judge=not deep)
    image = _place(chosen, root, options, deep=deep, centre_deg=centre_deg)
    files = photometric_cells.files(catalogue, [(each.astrometry.ra_deg, each.astrometry.dec_deg) for each in group])
    inputs = [path for item in group for path in (item.image, item.variance, item.mask)]
    stage = "deepen" if deep else "combine"
    recipe = products.Recipe(stage=stage, inputs=(*inputs, *files), options=[options, centre_deg])
    if (known := products.recall(recipe, image, Stack)) is not None:
        return known
    frame = chosen.reference.frame
    place = naming.NightTree(root=root).scratch(frame.unit, naming.night_of(frame.date_obs))
    with outputs.scratch(place, "stack") as folder:
        headers = tuple(fits_images.read_header(member.frame.image) for member in chosen.members)
        cards = stack_members.header(chosen, headers, median=options.combine == "seed")
        grid = _grid(chosen, cards, options, telescope, moved=centre_deg)
        job = Job(chosen=chosen, headers=headers, grid=grid, folder=folder, options=options)
        stack = _make(job, photometric_cells.read(files), image, cards)
    stack = replace(stack, unit=_unit(chosen, deep=deep), seconds=time.monotonic() - started)
    planes = (stack.variance, stack.mask, naming.weight_of(image), naming.number_of(image))
    products.remember(recipe, [image, *planes, stack.photometry.catalogue, *stack.photometry.plots], stack)
    _tell(stack, chosen)
    return stack


def for_slot(options: StackOptions) -> Task[..., Stack]:
    """Return the task ``combine`` for the slot that it shall have: a GPU's where the options want one."""
    return combine.with_options(tags=["gpu"]) if options.gpu else combine


def _unit(chosen: Combination, *, deep: bool) -> str:
    return naming.joint_unit(chosen.units, always=deep)


def _place(
    chosen: Combination, root: Path, options: StackOptions, *, deep: bool, centre_deg: tuple[float, float] | None
) -> Path:
    frame, unit = chosen.reference.frame, _unit(chosen, deep=deep)
    stem = naming.image_stem(frame.object, unit, frame.filter, chosen.date_obs, chosen.exposure_s)
    variant = naming.stack_variant(with_sky=options.background == "none", centre_deg=centre_deg)
    return naming.NightTree(root=root).science(frame.object, unit, frame.filter) / f"{stem}{variant}.com.fits"


def _make(job: Job, reference: Table, image: Path, cards: Header) -> Stack:
    chosen, grid = job.chosen, job.grid
    combined = stack_engines.by_swarp(job) if job.options.engine == "swarp" else stack_engines.by_siren(job)
    egain = float(cards["EGAIN"])
    variance, mask = stack_members.planes(
        combined.image, combined.weight, _saturated(job), frames=len(chosen.members), egain=egain
    )
    cards |= {**wcs_checks.cards_of(grid.wcs), "STACKENG": job.options.engine}
    cards |= {"COMBTYPE": job.options.combine, "BACKTYPE": job.background, "PHOTIME": cards["DATE-AVG"]}
    raw, weight = job.folder / "measured.fits", job.folder / "measured.weight.fits"
    for place, plane in ((raw, combined.image), (weight, combined.weight), (job.folder / "measured.mask.fits", mask)):
        fits_images.write_image(place, plane, cards)
    taken = own_extractor.Image(
        data=combined.image,
        mask=mask,
        cards=cards,
        scale_arcsec=job.grid.scale_arcsec,
        variance=np.asarray(variance),
    )
    found = _measure(raw, weight, taken, reference, job, image)
    fit = _astrometry(found, grid)
    cards |= {**found.cards, **wcs_checks.quality_cards(fit, grid.wcs, grid.shape), "SATLV": cards["SATURATE"]}
    if found.doubt:
        cards |= provenance.with_doubt(cards, QaBit.FILTER_DOUBTFUL, found.doubt)
    _write(image, combined, variance, mask, cards)
    text = naming.photometry_of(image)
    with products.staged(text) as temporary:
        photometric_catalogues.write(
            temporary, found.table, {key.lower(): cards[key] for key in ("OBJECT", "FILTER", "DATE-OBS", "JD", "MJD")}
        )
    wanted = job.options.photometry.zero_point_plots != "none"
    plots = zero_point_plots.pictures(found.standards, image) if wanted else {}
    products.write_all(plots)
    _check_sky(image, found, job)
    measured = replace(found.photometry, plots=tuple(plots))
    return replace(_stack(chosen, image, measured, fit), qa=int(cards["QAFLAG"]))


def _stack(chosen: Combination, image: Path, measured: Photometry, fit: Astrometry) -> Stack:
    frame = chosen.reference.frame
    return Stack(
        object=frame.object,
        unit=frame.unit,
        filter=frame.filter,
        date_obs=chosen.date_obs,
        exposure_s=chosen.exposure_s,
        image=image,
        variance=naming.variance_of(image),
        mask=naming.mask_of(image),
        inputs=tuple(member.frame.image for member in chosen.members),
        photometry=measured,
        astrometry=fit,
        rejected=chosen.rejected,
    )


def _grid(
    chosen: Combination,
    cards: Header,
    options: StackOptions,
    telescope: str,
    *,
    moved: tuple[float, float] | None,
) -> Grid:
    """Return the grid that all epochs of the field share, or the one that was ``moved``."""
    best, known = chosen.reference, telescopes.load(telescope)
    scale = options.scale_arcsec or (known.stack.scale_arcsec if known.stack else None)
    if scale is None:
        raise UnusableData(f"{telescope}'s file has no stack.scale_arcsec: set it, or the option scale_arcsec")
    tile = tiling.centre_of(best.frame.object, known)
    ra, dec = moved or stack_members.centre(cards, (best.astrometry.ra_deg, best.astrometry.dec_deg), tile)
    shape = field_grids.stack_shape(fits_images.open_image(best.image).shape)
    wcs = field_grids.field_wcs(ra, dec, shape=shape, scale_arcsec=scale)
    return Grid(wcs=wcs, shape=shape, scale_arcsec=scale)


def _check_sky(image: Path, found: image_photometry.Measured, job: Job) -> None:
    """Warn where a background is left that should have been subtracted."""
    level, sigma = found.photometry.sky_adu, found.photometry.sky_sigma_adu
    if job.background != "none" and abs(level) > LARGEST_SKY * sigma:
        log.warning("%s: a sky of %.2f ADU is left, its noise is %.2f ADU", image.name, level, sigma)


def _saturated(job: Job) -> Floats:
    """Tell which pixels of the grid lie on or beside a saturated pixel of a frame."""
    marked = np.zeros(job.grid.shape, dtype=bool)
    for member, header in zip(job.chosen.members, job.headers, strict=True):
        y, x = np.nonzero(fits_images.read_image(member.frame.mask)[0] & stack_members.SATURATED)
        if len(x):
            ra, dec = wcs_checks.wcs_of(header).all_pix2world(x, y, 0)
            stack_members.mark(marked, *job.grid.wcs.wcs_world2pix(ra, dec, 0))
    return marked


def _measure(
    image: Path, weight: Path, taken: own_extractor.Image, reference: Table, job: Job, place: Path
) -> image_photometry.Measured:
    options = job.options
    common = source_extractor.Options(
        scale_arcsec=job.grid.scale_arcsec,
        detect_threshold=options.photometry.detect_threshold,
        weight=weight,
        flags=naming.mask_of(image),
        timeout_s=options.program_timeout_s,
    )

    def extract(*, seeing_arcsec: float, diameters_px: tuple[float, ...] = ()) -> image_photometry.Extracted:
        wanted = source_extractor.of_pass(common, seeing_arcsec=seeing_arcsec, diameters_px=diameters_px)
        result = source_extractor.extract(image, job.folder / f"pass-{len(diameters_px)}", wanted)
        table = ldac.read(result.catalogue)
        return image_photometry.Extracted(table=table, sky_adu=result.sky_adu, sky_sigma_adu=result.sky_sigma_adu)

    field = photometric_calibration.Field(
        filter=job.chosen.reference.frame.filter,
        shape=job.grid.shape,
        epoch=matching.julian_year(job.chosen.date_obs),
        scale_arcsec=job.grid.scale_arcsec,
        egain=float(taken.cards["EGAIN"]),
    )
    how = options.photometry
    return image_photometry.measure(
        own_extractor.extractor(taken, how) if how.photometry_engine == "sep" else extract,
        reference,
        field,
        catalogue=naming.photometry_of(place),
        options=how,
        pixels=depths.Pixels(image=taken.data, bad=taken.mask != 0, variance=taken.variance),
    )


def _astrometry(found: image_photometry.Measured, grid: Grid) -> Astrometry:
    """Measure how well the stack's stars lie on the reference."""
    good = (np.asarray(found.table["FLAGS"]) == 0) & (np.asarray(found.table["IMAFLAGS_ISO"]) == 0)
    good &= np.asarray(found.table["FLUX_AUTO"]) > MATCH_SNR * np.asarray(found.table["FLUXERR_AUTO"])
    pixels = np.column_stack([np.asarray(found.table[name])[good] - 1 for name in ("XWIN_IMAGE", "YWIN_IMAGE")])
    residuals = wcs_checks.residuals(grid.wcs, pixels, found.positions, shape=grid.shape)
    if not len(residuals.x):
        raise UnusableData("no star of the stack lies on the reference")
    return wcs_checks.measure(residuals, grid.wcs, grid.shape)


def _write(image: Path, combined: Coadd, variance: Floats, mask: Floats, cards: Header) -> None:
    of_planes = {key: value for key, value in cards.items() if key not in {"BUNIT", "SATURATE"}}
    for place, plane, own in (
        (image, combined.image, cards),
        (naming.variance_of(image), variance, {**of_planes, "BUNIT": "adu2"}),
        (naming.mask_of(image), mask, of_planes),
        (naming.weight_of(image), combined.weight, {**of_planes, "BUNIT": "adu-2"}),
        (naming.number_of(image), combined.count, of_planes),
    ):
        with products.staged(place) as temporary:
            fits_images.write_image(temporary, plane, own)


def _tell(stack: Stack, chosen: Combination) -> None:
    found = stack.photometry
    log.info(
        '%s %s: %d frames, seeing %.2f", ZP %.3f mag, depth %.2f mag (5 sigma), %.1f s',
        stack.unit,
        stack.image.name,
        len(chosen.members),
        found.seeing_arcsec,
        found.zero_point_mag["AUTO"],
        found.depth5_mag["1"],
        stack.seconds,
    )
    for left in chosen.rejected:
        log.warning("%s is not in the stack: %s", left.name, left.reason)
