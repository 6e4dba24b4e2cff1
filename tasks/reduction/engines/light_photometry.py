"""Photometry of one light with a WCS; writes all its planes into the science tree."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from pathlib import Path

from astropy.table import Table

from tasks import naming, products
from tasks.errors import FAULTS, SirenError, passing
from tasks.io.catalogues import photometric_catalogues
from tasks.io.fits import fits_images
from tasks.io.pages import zero_point_plots
from tasks.options import ReduceOptions
from tasks.programs import outputs
from tasks.records import Reduced, Rejected, Solved, Stage
from tasks.reduction.engines import source_extraction
from tasks.reduction.engines.source_extraction import ImageFiles
from tasks.science.astrometry import matching, pointing_search
from tasks.science.photometry import depths, image_photometry, own_extractor, photometric_calibration, photometry_cards

log = logging.getLogger(__name__)


def reduce(
    light: Solved, files: tuple[Path, ...], reference: Table, root: Path, options: ReduceOptions
) -> Reduced | Rejected:
    """Measure one light, or look up the result of an earlier run.

    Parameters
    ----------
    light
        The light.
    files
        Files of the photometric reference.
    reference
        The stars in them.
    root
        Root folder of the products.
    options
        Options of the measurement.
    """
    try:
        image = _place(light, root)
        recipe = products.Recipe(
            stage="measure", inputs=(light.image, light.variance, light.mask, *files), options=options
        )
        return products.recall(recipe, image, Reduced) or _measure(light, reference, recipe, image, options)
    except FAULTS as error:
        return rejected(light, error)


def rejected(light: Solved, error: SirenError) -> Rejected:
    """Return the rejection of a light without photometry, and log its reason."""
    frame = light.frame
    log.warning("%s %s: no photometry: %s", frame.unit, frame.path.name, error)
    return Rejected(
        name=frame.path.name, stage=Stage.REDUCE, reason=str(error), unit=frame.unit, passing=passing(error)
    )


def _place(light: Solved, root: Path) -> Path:
    frame = light.frame
    stem = naming.image_stem(frame.object, frame.unit, frame.filter, frame.date_obs, frame.exposure_s)
    return naming.NightTree(root=root).science(frame.object, frame.unit, frame.filter) / f"{stem}.fits"


def _measure(light: Solved, reference: Table, recipe: products.Recipe, image: Path, options: ReduceOptions) -> Reduced:
    started, frame = time.monotonic(), light.frame
    data, header = fits_images.read_image(light.image)
    mask = fits_images.read_image(light.mask)[0]
    variance = fits_images.read_image(light.variance)[0] if options.psf_photometry else None
    field = photometric_calibration.PhotometricField(
        filter=frame.filter,
        shape=data.shape,
        epoch=matching.julian_year(frame.date_obs),
        scale_arcsec=pointing_search.scale_of(frame),
        egain=float(header.get("EGAIN", 1.0)),
    )
    source = ImageFiles(image=light.image, flags=light.mask, detections=light.detections)
    pixels = own_extractor.Image(data=data, mask=mask, cards=header, scale_arcsec=field.scale_arcsec)
    with outputs.scratch(light.image.parent, "measure") as folder:
        measured = image_photometry.measure(
            source_extraction.extractor(source, pixels, options, folder=folder, timeout_s=options.program_timeout_s),
            reference,
            field,
            catalogue=naming.photometry_of(image),
            options=options,
            pixels=depths.Pixels(image=data, bad=mask != 0, variance=variance),
        )
    cards = photometry_cards.of_light(header, frame, measured.cards, doubt=measured.doubt)
    _write(light, measured.table, data, cards, image)
    plots = zero_point_plots.pictures(measured.standards, image) if options.zero_point_plots == "all" else {}
    products.write_all(plots)
    reduced = Reduced(
        frame=frame,
        image=image,
        variance=naming.variance_of(image),
        mask=naming.mask_of(image),
        astrometry=light.astrometry,
        photometry=replace(measured.photometry, plots=tuple(plots)),
        qa=int(cards["QAFLAG"]),
        seconds=light.seconds + time.monotonic() - started,
    )
    files = (image, reduced.variance, reduced.mask, naming.photometry_of(image), *plots)
    products.remember(recipe, files, reduced)
    _tell(reduced, measured.doubt)
    return reduced


def _write(light: Solved, table: Table, data: matching.Floats, cards: fits_images.Header, image: Path) -> None:
    """Write image, variance, mask and catalogue; the planes get the same WCS."""
    with products.staged(image) as temporary:
        fits_images.write_image(temporary, data, cards)
    for source, place in ((light.variance, naming.variance_of(image)), (light.mask, naming.mask_of(image))):
        values, own = fits_images.read_image(source)
        with products.staged(place) as temporary:
            fits_images.write_image(temporary, values, photometry_cards.of_plane(cards, own))
    with products.staged(naming.photometry_of(image)) as temporary:
        photometric_catalogues.write(temporary, table, photometry_cards.of_catalogue(light.frame))


def _tell(reduced: Reduced, doubt: str) -> None:
    photometry = reduced.photometry
    if doubt:
        log.warning("%s %s: %s", reduced.frame.unit, reduced.image.name, doubt)
    log.info(
        '%s %s: %d stars, seeing %.2f", ZP %.3f +- %.3f mag, depth %.2f mag (5 sigma)',
        reduced.frame.unit,
        reduced.image.name,
        photometry.stars,
        photometry.seeing_arcsec,
        photometry.zero_point_mag["AUTO"],
        photometry.error_mag["AUTO"],
        photometry.depth5_mag["1"],
    )
