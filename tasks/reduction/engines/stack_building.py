"""Building of a stack: plan its grid, combine its frames, measure it like them, write planes, catalogue and plots."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
from astropy.table import Table

from tasks import naming, products, telescopes
from tasks.errors import UnusableData
from tasks.io.catalogues import photometric_catalogues
from tasks.io.fits import fits_images
from tasks.io.pages import zero_point_plots
from tasks.options import StackOptions
from tasks.records import Stack
from tasks.reduction.engines import source_extraction, stack_engines
from tasks.reduction.engines.source_extraction import ImageFiles
from tasks.reduction.engines.stack_engines import StackJob
from tasks.science.astrometry import field_grids, matching, wcs_checks
from tasks.science.astrometry.field_grids import Grid
from tasks.science.astrometry.matching import Floats
from tasks.science.headers.card_values import Header
from tasks.science.photometry import depths, image_photometry, own_extractor, photometric_calibration
from tasks.science.planning import tiling
from tasks.science.stacking import stack_cards, stack_checks, stack_members
from tasks.science.stacking.coadding import Coadd
from tasks.science.stacking.stack_members import Combination

log = logging.getLogger(__name__)


def plan(
    chosen: Combination, options: StackOptions, telescope: str, folder: Path, *, moved: tuple[float, float] | None
) -> StackJob:
    """Read the headers of a stack's frames and define its grid, common to all epochs of the field unless ``moved``."""
    headers = tuple(fits_images.read_header(member.frame.image) for member in chosen.members)
    cards = stack_members.header(chosen, headers, median=options.combine == "seed")
    best, instrument = chosen.reference, telescopes.load(telescope)
    scale = options.scale_arcsec or (instrument.stack.scale_arcsec if instrument.stack else None)
    if scale is None:
        raise UnusableData(f"{telescope}'s file has no stack.scale_arcsec: set it, or the option scale_arcsec")
    tile = tiling.centre_of(best.frame.object, instrument)
    ra, dec = moved or stack_members.centre(cards, (best.astrometry.ra_deg, best.astrometry.dec_deg), tile)
    shape = field_grids.stack_shape(fits_images.open_image(best.image).shape)
    wcs = field_grids.field_wcs(ra, dec, shape=shape, scale_arcsec=scale)
    grid = Grid(wcs=wcs, shape=shape, scale_arcsec=scale)
    return StackJob(chosen=chosen, headers=headers, cards=cards, grid=grid, folder=folder, options=options)


def build(job: StackJob, reference: Table, image: Path, *, unit: str) -> Stack:
    """Combine, measure and write a stack of frames of one unit or several.

    Parameters
    ----------
    job
        Result of ``plan``.
    reference
        Stars with magnitudes around the field.
    image
        Path of the image to write; its other planes, catalogue and plots lie beside it.
    unit
        Name of the unit or units.
    """
    combined = stack_engines.by_swarp(job) if job.options.engine == "swarp" else stack_engines.by_siren(job)
    variance, mask = stack_members.planes(
        combined.image,
        combined.weight,
        stack_checks.saturated(
            (
                (fits_images.read_image(member.frame.mask)[0], wcs_checks.wcs_of(header))
                for member, header in zip(job.chosen.members, job.headers, strict=True)
            ),
            job.grid,
        ),
        frames=len(job.chosen.members),
        egain=float(job.cards["EGAIN"]),
    )
    cards = stack_cards.before_measuring(
        job.cards, job.grid, engine=job.options.engine, combine=job.options.combine, background=job.background
    )
    measured = _measure(job, combined, np.asarray(variance), mask, cards, reference, image)
    fit = stack_checks.astrometry(measured.table, measured.positions, job.grid)
    cards = stack_cards.after_measuring(cards, measured, fit, job.grid)
    _write(image, combined, variance, mask, cards)
    with products.staged(naming.photometry_of(image)) as temporary:
        photometric_catalogues.write(temporary, measured.table, stack_cards.of_catalogue(cards))
    wanted = job.options.photometry.zero_point_plots != "none"
    plots = zero_point_plots.pictures(measured.standards, image) if wanted else {}
    products.write_all(plots)
    photometry = replace(measured.photometry, plots=tuple(plots))
    if job.background != "none" and stack_checks.sky_is_left(photometry):
        level, sigma = photometry.sky_adu, photometry.sky_sigma_adu
        log.warning("%s: the residual sky is %.2f ADU, its noise %.2f ADU", image.name, level, sigma)
    return stack_cards.record(job.chosen, image, photometry, fit, unit=unit, qa=int(cards["QAFLAG"]))


def _measure(
    job: StackJob, combined: Coadd, variance: Floats, mask: Floats, cards: Header, reference: Table, image: Path
) -> image_photometry.Measured:
    """Measure a stack; Source Extractor reads it from files in the scratch folder."""
    raw, weight = job.folder / "measured.fits", job.folder / "measured.weight.fits"
    for place, plane in ((raw, combined.image), (weight, combined.weight), (naming.mask_of(raw), mask)):
        fits_images.write_image(place, plane, cards)
    options, how = job.options, job.options.photometry
    pixels = own_extractor.Image(
        data=combined.image, mask=mask, cards=cards, scale_arcsec=job.grid.scale_arcsec, variance=variance
    )
    files = ImageFiles(image=raw, flags=naming.mask_of(raw), weight=weight)
    field = photometric_calibration.PhotometricField(
        filter=job.chosen.reference.frame.filter,
        shape=job.grid.shape,
        epoch=matching.julian_year(job.chosen.date_obs),
        scale_arcsec=job.grid.scale_arcsec,
        egain=float(cards["EGAIN"]),
    )
    return image_photometry.measure(
        source_extraction.extractor(files, pixels, how, folder=job.folder, timeout_s=options.program_timeout_s),
        reference,
        field,
        catalogue=naming.photometry_of(image),
        options=how,
        pixels=depths.Pixels(image=combined.image, bad=mask != 0, variance=variance),
    )


def _write(image: Path, combined: Coadd, variance: Floats, mask: Floats, cards: Header) -> None:
    shared = stack_cards.of_planes(cards)
    for place, plane, own in (
        (image, combined.image, cards),
        (naming.variance_of(image), variance, {**shared, "BUNIT": "adu2"}),
        (naming.mask_of(image), mask, shared),
        (naming.weight_of(image), combined.weight, {**shared, "BUNIT": "adu-2"}),
        (naming.number_of(image), combined.count, shared),
    ):
        with products.staged(place) as temporary:
            fits_images.write_image(temporary, plane, own)
