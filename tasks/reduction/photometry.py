"""Lights with a WCS to reduced images: seeing, zero points, depth, catalogue, and all of it in the header."""

from __future__ import annotations

import logging
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from astropy.table import Table
from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks import constants, naming, products
from tasks.errors import FAULTS, SirenError, UnusableData, passing
from tasks.io.catalogues import detection_tables, ldac, photometric_catalogues, photometric_cells
from tasks.io.fits import fits_images
from tasks.io.pages import zero_point_plots
from tasks.options import ReduceOptions
from tasks.programs import outputs, source_extractor
from tasks.records import QaBit, Reduced, ReducedBatch, Rejected, Solved, SolvedBatch, Stage
from tasks.science.astrometry import matching, pointing_search
from tasks.science.headers import provenance, raw_headers
from tasks.science.headers.raw_headers import Header
from tasks.science.photometry import (
    depths,
    image_photometry,
    own_extractor,
    photometric_calibration,
    photometry_cards,
)

log = logging.getLogger(__name__)

# cards of an image that are not true of its variance and mask
OF_THE_IMAGE = ("BUNIT", "SATURATE")


@task(name="measure", cache_policy=NO_CACHE, persist_result=False)
def measure(
    solved: SolvedBatch | tuple[Solved, ...], catalogue: Path, root: Path, options: ReduceOptions
) -> ReducedBatch:
    """Measure lights and write them, complete, into the science tree; what cannot be measured is rejected."""
    lights = solved.solved if isinstance(solved, SolvedBatch) else solved
    if not lights:
        return ReducedBatch(reduced=())
    try:
        files = photometric_cells.files(
            catalogue, [(each.astrometry.ra_deg, each.astrometry.dec_deg) for each in lights]
        )
        reference = photometric_cells.read(files)
    except UnusableData as error:
        return ReducedBatch(reduced=(), rejected=tuple(_rejected(light, error) for light in lights))
    with ThreadPoolExecutor(max_workers=options.slots) as pool:
        futures = [pool.submit(_reduce, light, files, reference, root, options) for light in lights]
    outcomes = [future.result() for future in futures]
    return ReducedBatch(
        reduced=tuple(item for item in outcomes if isinstance(item, Reduced)),
        rejected=tuple(item for item in outcomes if isinstance(item, Rejected)),
    )


def _reduce(
    light: Solved, files: tuple[Path, ...], reference: Table, root: Path, options: ReduceOptions
) -> Reduced | Rejected:
    """Measure one light, or look up what an earlier run made of it."""
    try:
        image = _place(light, root)
        recipe = products.Recipe(
            stage="measure", inputs=(light.image, light.variance, light.mask, *files), options=options
        )
        return products.recall(recipe, image, Reduced) or _measure(light, reference, recipe, image, options)
    except FAULTS as error:
        return _rejected(light, error)


def _rejected(light: Solved, error: SirenError) -> Rejected:
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
    started = time.monotonic()
    frame = light.frame
    text = naming.photometry_of(image)
    data, header = fits_images.read_image(light.image)
    mask = fits_images.read_image(light.mask)[0]
    field = photometric_calibration.Field(
        filter=frame.filter,
        shape=data.shape,
        epoch=matching.julian_year(frame.date_obs),
        scale_arcsec=pointing_search.scale_of(frame),
        egain=float(header.get("EGAIN", 1.0)),
    )
    variance = fits_images.read_image(light.variance)[0] if options.psf_photometry else None
    pixels = depths.Pixels(image=data, bad=mask != 0, variance=variance)
    with outputs.scratch(light.image.parent, "measure") as folder:
        extract = _extractor(light, folder, options)
        if options.photometry_engine == "sep":
            extract = own_extractor.extractor(
                own_extractor.Image(data=data, mask=mask, cards=header, scale_arcsec=field.scale_arcsec), options
            )
        found = image_photometry.measure(extract, reference, field, catalogue=text, options=options, pixels=pixels)
    qa = _write(light, found, data, header, image)
    plots = zero_point_plots.pictures(found.standards, image) if options.zero_point_plots == "all" else {}
    products.write_all(plots)
    reduced = Reduced(
        frame=frame,
        image=image,
        variance=naming.variance_of(image),
        mask=naming.mask_of(image),
        astrometry=light.astrometry,
        photometry=replace(found.photometry, plots=tuple(plots)),
        qa=qa,
    )
    seconds = light.seconds + time.monotonic() - started
    made = [image, reduced.variance, reduced.mask, text, *plots]
    products.remember(recipe, made, replace(reduced, seconds=seconds))
    _tell(reduced, found.doubt)
    return replace(reduced, seconds=seconds)


def _extractor(light: Solved, folder: Path, options: ReduceOptions) -> image_photometry.Extract:
    """Return the measuring of one image by Source Extractor, each pass in a folder of its own.

    Shapes alone were measured for its WCS already, with the same thresholds on the same pixels.
    """
    common = source_extractor.Options(
        scale_arcsec=pointing_search.scale_of(light.frame),
        detect_threshold=options.detect_threshold,
        flags=light.mask,
        timeout_s=options.program_timeout_s,
    )

    def extract(*, seeing_arcsec: float, diameters_px: tuple[float, ...] = ()) -> image_photometry.Extracted:
        if not diameters_px and light.detections is not None:
            known, sky_adu, sky_sigma_adu = detection_tables.read(light.detections)
            return image_photometry.Extracted(table=known, sky_adu=sky_adu, sky_sigma_adu=sky_sigma_adu)
        wanted = source_extractor.of_pass(common, seeing_arcsec=seeing_arcsec, diameters_px=diameters_px)
        result = source_extractor.extract(light.image, folder / f"pass-{len(diameters_px)}", wanted)
        table = ldac.read(result.catalogue)
        return image_photometry.Extracted(table=table, sky_adu=result.sky_adu, sky_sigma_adu=result.sky_sigma_adu)

    return extract


def _write(
    light: Solved, found: image_photometry.Measured, data: matching.Floats, header: fits_images.Header, image: Path
) -> int:
    """Write image, variance, mask and catalogue; the planes get the same WCS. Return the bits of QAFLAG."""
    julian = raw_headers.julian_date(light.frame.date_obs)
    cards: Header = {**header, **found.cards, "JD": julian, "MJD": julian - constants.MJD_ZERO_JD}
    cards["SATLV"] = header.get("SATURATE", 0.0)
    cards |= photometry_cards.time_card(light.frame.date_obs, light.frame.exposure_s)
    cards |= provenance.with_doubt(header, QaBit.FILTER_DOUBTFUL, found.doubt)
    with products.staged(image) as temporary:
        fits_images.write_image(temporary, data, cards)
    plane = {key: value for key, value in cards.items() if key not in OF_THE_IMAGE}
    for source, place in ((light.variance, naming.variance_of(image)), (light.mask, naming.mask_of(image))):
        values, own = fits_images.read_image(source)
        unit = {"BUNIT": own["BUNIT"]} if "BUNIT" in own else {}
        with products.staged(place) as temporary:
            fits_images.write_image(temporary, values, {**plane, **unit})
    with products.staged(naming.photometry_of(image)) as temporary:
        photometric_catalogues.write(temporary, found.table, _meta(light, julian))
    return int(cards["QAFLAG"])


def _meta(light: Solved, julian: float) -> dict[str, object]:
    frame = light.frame
    return {
        "obs": frame.unit,
        "object": frame.object,
        "filter": frame.filter,
        "date-obs": frame.date_obs.replace(tzinfo=None).isoformat(timespec="milliseconds"),
        "jd": f"{julian:.8f}",
        "mjd": f"{julian - constants.MJD_ZERO_JD:.8f}",
    }


def _tell(reduced: Reduced, doubt: str) -> None:
    found = reduced.photometry
    if doubt:
        log.warning("%s %s: %s", reduced.frame.unit, reduced.image.name, doubt)
    log.info(
        '%s %s: %d stars, seeing %.2f", ZP %.3f +- %.3f mag, depth %.2f mag (5 sigma)',
        reduced.frame.unit,
        reduced.image.name,
        found.stars,
        found.seeing_arcsec,
        found.zero_point_mag["AUTO"],
        found.error_mag["AUTO"],
        found.depth5_mag["1"],
    )
