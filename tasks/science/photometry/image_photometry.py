"""Seeing, zero points and depth of an image from its detections and reference magnitudes.

The apertures, selections and formulae are those of the 7DT production headers, so that values compare.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from astropy.table import Table

from tasks import constants
from tasks.errors import AlgorithmError
from tasks.options import ReduceOptions
from tasks.records import Photometry, ZeroPointStars
from tasks.science.astrometry import matching
from tasks.science.astrometry.matching import Floats
from tasks.science.headers.card_values import Header
from tasks.science.photometry import (
    depths,
    filter_check,
    growth_curves,
    photometric_calibration,
    photometry_cards,
    psf_photometry,
    source_catalogue,
    zeropoints,
)
from tasks.science.photometry.depths import Pixels
from tasks.science.photometry.growth_curves import Apertures
from tasks.science.photometry.photometric_calibration import Calibration, PhotometricField
from tasks.science.photometry.zeropoints import ZeroPoint

# SEEING_FWHM of the first pass of the first pipeline
FIRST_SEEING_ARCSEC = 2.0
# the first pipeline took the seeing from 11.75 mag on, the zero point from 12
SEEING_BRIGHT_MARGIN_MAG = 0.25


@dataclass(frozen=True, kw_only=True)
class Extracted:
    """Detections of one pass, with sky and sky noise in the image's unit."""

    table: Table
    sky_adu: float
    sky_sigma_adu: float


class Extract(Protocol):
    """Detects sources and measures them in apertures; without apertures only positions, shapes and AUTO fluxes."""

    def __call__(self, *, seeing_arcsec: float, diameters_px: tuple[float, ...] = ()) -> Extracted:
        """Return the detections."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Photometry of an image, its header cards, its catalogue, and doubts in words."""

    photometry: Photometry
    cards: Header
    table: Table
    positions: tuple[Floats, Floats]
    """RA and Dec in degrees of the reference stars at the time of the image."""
    standards: tuple[ZeroPointStars, ...]
    """Each star's zero point in each aperture."""
    doubt: str = ""


def measure(
    extract: Extract,
    reference: Table,
    field: PhotometricField,
    *,
    catalogue: Path,
    options: ReduceOptions,
    pixels: Pixels,
) -> Measured:
    """Measure an image in two passes: the first gives the seeing, the second uses apertures that scale with it.

    Parameters
    ----------
    extract
        Measures the image.
    reference
        Stars with ra, dec [deg, J2016], pmra, pmdec [mas/yr] and mag_<filter>; other filters' magnitudes serve to
        check the filter, bp_rp the colour term.
    field
        Filter, shape, time, scale and gain of the image.
    catalogue
        Future path of the catalogue: only named in the result.
    pixels
        The image and its bad pixels, for empty apertures, growth curves and the PSF.

    Raises
    ------
    AlgorithmError
        If too few stars match the reference for seeing or zero points.
    """
    stars = _reference_now(reference, field)
    first = extract(seeing_arcsec=FIRST_SEEING_ARCSEC)
    lone = _lone_stars(first.table, stars, field, options)
    seeing, ellipticity, elongation = _shape(lone)
    best = _best_diameter_px(lone, first, pixels, field) if options.best_aperture == "growth" else None
    apertures = growth_curves.apertures(seeing, field.scale_arcsec, extra=options.extra_apertures, best_px=best)
    second = extract(seeing_arcsec=seeing, diameters_px=apertures.in_order)
    if options.psf_photometry:
        second = _with_psf(second, stars, field, options, pixels, seeing_px=seeing / field.scale_arcsec)
    calibration = photometric_calibration.calibrate(second.table, stars, apertures, field, options)
    noise = depths.empty_noise_adu(pixels, second.table, _depth_diameters(apertures)) if options.empty_apertures else {}
    photometry = Photometry(
        catalogue=catalogue,
        stars=calibration.points["AUTO"].stars,
        seeing_arcsec=seeing,
        ellipticity=ellipticity,
        elongation=elongation,
        sky_adu=second.sky_adu,
        sky_sigma_adu=second.sky_sigma_adu,
        **_figures(calibration, second.sky_sigma_adu, noise),
    )
    return _measured(photometry, calibration, second.table, stars, field, options)


def _figures(found: Calibration, sky_sigma_adu: float, noise_adu: Mapping[float, float]) -> dict[str, Any]:
    """Return the fields of a photometry record on zero points and depths."""
    points, apertures = found.points, found.apertures
    return {
        "zero_point_mag": {key: point.value_mag for key, point in points.items()},
        "scatter_mag": {key: point.mad_mag for key, point in points.items()},
        "error_mag": {key: point.error_mag for key, point in points.items()},
        "depth3_mag": _depths(points, apertures, sky_sigma_adu, sigma=3),
        "depth5_mag": _depths(points, apertures, sky_sigma_adu, sigma=5),
        "empty3_mag": _empty_depths(points, apertures, noise_adu, sigma=3),
        "empty5_mag": _empty_depths(points, apertures, noise_adu, sigma=5),
        "terms": found.terms[photometric_calibration.TOLD_OF].summary
        if photometric_calibration.TOLD_OF in found.terms
        else None,
        "seen_filter": found.verdict.filter,
    }


def _measured(
    photometry: Photometry,
    found: Calibration,
    table: Table,
    stars: Table,
    field: PhotometricField,
    options: ReduceOptions,
) -> Measured:
    cards = photometry_cards.cards(photometry, found.apertures, options, scale_arcsec=field.scale_arcsec)
    return Measured(
        photometry=photometry,
        cards={**cards, "REFCAT": str(stars.meta.get("REFCAT", "GaiaXP"))},
        table=source_catalogue.catalogue(
            table,
            stars,
            found.pairs,
            found.apertures,
            found.points,
            photometric_calibration.applied(found.terms, options),
            filter_=field.filter,
        ),
        positions=(np.asarray(stars["ra_now"]), np.asarray(stars["dec_now"])),
        standards=found.standards,
        doubt=filter_check.words(found.verdict, field.filter),
    )


def _with_psf(
    found: Extracted, stars: Table, field: PhotometricField, options: ReduceOptions, pixels: Pixels, *, seeing_px: float
) -> Extracted:
    """Add PSF fluxes to detections if there are enough stars for a PSF."""
    fluxes = psf_photometry.measure(
        pixels,
        found.table,
        _lone_stars(found.table, stars, field, options),
        seeing_px=seeing_px,
        sky_sigma_adu=found.sky_sigma_adu,
        egain=field.egain,
    )
    if fluxes is None:
        return found
    table = found.table.copy()
    table["FLUX_PSF"], table["FLUXERR_PSF"] = fluxes
    table["MAG_PSF"], table["MAGERR_PSF"] = source_catalogue.magnitudes(*fluxes)
    return replace(found, table=table)


def _reference_now(reference: Table, field: PhotometricField) -> Table:
    """Return the reference stars that have a magnitude in the filter, with positions at the time of the image."""
    name = f"mag_{field.filter}"
    if name not in reference.colnames:
        raise AlgorithmError(f"the photometric reference has no column {name}")
    stars = reference[np.isfinite(np.asarray(reference[name], dtype=float))]
    position = (np.asarray(stars["ra"], dtype=float), np.asarray(stars["dec"], dtype=float))
    motion = (np.asarray(stars["pmra"], dtype=float), np.asarray(stars["pmdec"], dtype=float))
    stars["ra_now"], stars["dec_now"] = matching.moved(
        *position, *motion, epoch=constants.GAIA_EPOCH_YEAR, to=field.epoch
    )
    return stars


def _lone_stars(table: Table, stars: Table, field: PhotometricField, options: ReduceOptions) -> Table:
    """Return the good detections that are stars of the reference, the brightest first."""
    pairs = photometric_calibration.pairs_of(table, stars, scale_arcsec=field.scale_arcsec)
    magnitude = np.asarray(stars[f"mag_{field.filter}"])[pairs.second]
    use = photometric_calibration.good_of(table, field, options)[pairs.first]
    use &= (magnitude > options.bright_mag - SEEING_BRIGHT_MARGIN_MAG) & (magnitude < options.faint_mag)
    if use.sum() < zeropoints.FEWEST_STARS:
        raise AlgorithmError(
            f"{use.sum()} of {len(pairs)} matched stars give the seeing (needed: {zeropoints.FEWEST_STARS})"
        )
    return table[pairs.first[use][np.argsort(magnitude[use], kind="stable")]]


def _shape(rows: Table) -> tuple[float, float, float]:
    """Return seeing in arcsec, ellipticity and elongation: medians over stars."""
    medians = (float(np.nanmedian(rows[name])) for name in ("FWHM_WORLD", "ELLIPTICITY", "ELONGATION"))
    fwhm_deg, ellipticity, elongation = medians
    return fwhm_deg * 3600, ellipticity, elongation


def _best_diameter_px(rows: Table, first: Extracted, pixels: Pixels, field: PhotometricField) -> float | None:
    return growth_curves.best_diameter_px(
        pixels,
        (np.asarray(rows["X_IMAGE"]), np.asarray(rows["Y_IMAGE"])),
        sky_sigma_adu=first.sky_sigma_adu,
        egain=field.egain,
        scale_arcsec=field.scale_arcsec,
    )


def _depth_diameters(apertures: Apertures) -> tuple[float, ...]:
    return tuple(apertures.diameters_px[key] for key in apertures.with_depth)


def _depths(
    points: Mapping[str, ZeroPoint], apertures: Apertures, sky_sigma_adu: float, *, sigma: float
) -> dict[str, float]:
    """Return the depth of each aperture in mag; 0 for AUTO, whose aperture has no one size."""
    result = {"AUTO": 0.0}
    for key in apertures.with_depth:
        diameter = apertures.diameters_px[key]
        result[key] = depths.depth_mag(
            points[key].value_mag, sky_sigma_adu=sky_sigma_adu, diameter_px=diameter, sigma=sigma
        )
    return result


def _empty_depths(
    points: Mapping[str, ZeroPoint], apertures: Apertures, noise_adu: Mapping[float, float], *, sigma: float
) -> dict[str, float]:
    return {
        key: depths.limit_mag(points[key].value_mag, noise_adu=noise_adu[apertures.diameters_px[key]], sigma=sigma)
        for key in apertures.with_depth
        if noise_adu.get(apertures.diameters_px[key], 0) > 0
    }
