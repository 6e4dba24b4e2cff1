"""Seeing, zero points and depth of an image from its detections and reference magnitudes.

The apertures, selections and formulae are those of the 7DT production headers, so that old and new numbers compare.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from astropy.table import Table

from tasks.errors import AlgorithmError
from tasks.options import ReduceOptions
from tasks.records import MaskBit, Photometry
from tasks.science import (
    depths,
    growth,
    matching,
    photometric_headers,
    photometric_tables,
    verification,
    zeropoints,
)
from tasks.science.depths import Pixels
from tasks.science.growth import NOMINAL_SCALE_ARCSEC, TOTAL, Apertures
from tasks.science.headers import Header
from tasks.science.matching import Floats
from tasks.science.verification import Verdict
from tasks.science.zeropoints import Terms, ZeroPoint

FIRST_SEEING_ARCSEC = 2.0
MATCH_ARCSEC = 1.0
# only bright stars have their whole light measured well
TOTAL_SNR = 100.0
SEEING_BRIGHT_MARGIN_MAG = 0.25
SMALLEST_SNR = 20.0
FEWEST_STARS = 5
# halos and ghosts are faint against a star that is good enough otherwise
# the aperture whose colour term and surface the header tells: twice the seeing loses little light and adds little noise
TOLD_OF = "1"
SPOILS = 255 & ~(MaskBit.HALO | MaskBit.GHOST).value


@dataclass(frozen=True, kw_only=True)
class Extracted:
    """Detections of one pass, with sky and sky noise in the image's unit."""

    table: Table
    sky_adu: float
    sky_sigma_adu: float


class Extract(Protocol):
    """Detects sources and measures them in apertures."""

    def __call__(self, *, seeing_arcsec: float, diameters_px: tuple[float, ...]) -> Extracted:
        """Return the detections."""


@dataclass(frozen=True, kw_only=True)
class Field:
    """What must be known of an image: filter, shape (ny, nx), time as a Julian year, nominal scale, e-/ADU."""

    filter: str
    shape: tuple[int, int]
    epoch: float
    scale_arcsec: float = NOMINAL_SCALE_ARCSEC
    egain: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Photometry of an image, the header cards that tell it, its catalogue, and what is doubtful in words."""

    photometry: Photometry
    cards: Header
    table: Table
    positions: tuple[Floats, Floats]
    """RA and Dec in degrees of the reference stars at the time of the image."""
    doubt: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Stars:
    """Detections matched with reference stars: rows of both, and which are good for a zero point."""

    rows: Table
    reference: Table
    good: Floats
    apertures: Apertures

    def instrumental(self, key: str) -> Floats:
        return photometric_tables.magnitude(self.rows, self.apertures, key)

    def error(self, key: str) -> Floats:
        return photometric_tables.column(self.rows, self.apertures, "MAGERR", key)

    def column(self, name: str) -> Floats:
        """Return a column of the reference, NaN where it has none."""
        known = name in self.reference.colnames
        return np.asarray(self.reference[name], dtype=float) if known else np.full(len(self.rows), np.nan)

    @property
    def place(self) -> tuple[Floats, Floats]:
        return np.asarray(self.rows["X_IMAGE"]), np.asarray(self.rows["Y_IMAGE"])


@dataclass(frozen=True, kw_only=True, eq=False)
class _Calibration:
    """How an image was calibrated: apertures, matches, zero points, what they depend on, which filter was seen."""

    apertures: Apertures
    pairs: matching.Pairs
    terms: Mapping[str, Terms]
    points: Mapping[str, ZeroPoint]
    verdict: Verdict


def measure(
    extract: Extract, reference: Table, field: Field, *, catalogue: Path, options: ReduceOptions, pixels: Pixels
) -> Measured:
    """Measure an image in two passes: the first tells the seeing, the second uses apertures that follow it.

    Parameters
    ----------
    extract
        Measures the image.
    reference
        Stars with ra, dec [deg, J2016], pmra, pmdec [mas/yr] and mag_<filter>; other filters' magnitudes tell whether
        this filter was in the beam, bp_rp the colour term.
    field
        What the image is.
    catalogue
        Where the catalogue will be: only named in the result.
    pixels
        The image and its bad pixels, for empty apertures and growth curves.

    Raises
    ------
    AlgorithmError
        Where too few stars match the reference for seeing or zero points.
    """
    stars = _reference_now(reference, field)
    first = extract(
        seeing_arcsec=FIRST_SEEING_ARCSEC,
        diameters_px=growth.apertures(FIRST_SEEING_ARCSEC, field.scale_arcsec).in_order,
    )
    lone = _lone_stars(first.table, stars, field, options)
    seeing, ellipticity, elongation = _shape(lone)
    best = _best_diameter_px(lone, first, pixels, field) if options.best_aperture == "growth" else None
    apertures = growth.apertures(seeing, field.scale_arcsec, extra=options.extra_apertures, best_px=best)
    second = extract(seeing_arcsec=seeing, diameters_px=apertures.in_order)
    calibration = _calibrate(second.table, stars, apertures, field, options)
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


def in_ellipse(x: Floats, y: Floats, shape: tuple[int, int], fraction: float) -> Floats:
    """Tell which 1-based positions lie in the ellipse whose half axes are ``fraction`` of those of the image."""
    ny, nx = shape
    inside: Floats = ((x - nx / 2) / (fraction * nx / 2)) ** 2 + ((y - ny / 2) / (fraction * ny / 2)) ** 2 <= 1
    return inside


def _calibrate(table: Table, stars: Table, apertures: Apertures, field: Field, options: ReduceOptions) -> _Calibration:
    pairs = _pairs(table, stars)
    matched = _matched(table, stars, pairs, apertures, field, options)
    terms = _terms(matched, field, options)
    return _Calibration(
        apertures=apertures,
        pairs=pairs,
        terms=terms,
        points=_zero_points(matched, terms, field, options),
        verdict=_seen_filter(matched, field, options),
    )


def _figures(found: _Calibration, sky_sigma_adu: float, noise_adu: Mapping[float, float]) -> dict[str, Any]:
    """Return what a record of photometry tells of zero points and depths."""
    points, apertures = found.points, found.apertures
    return {
        "zero_point_mag": {key: point.value_mag for key, point in points.items()},
        "scatter_mag": {key: point.mad_mag for key, point in points.items()},
        "error_mag": {key: point.error_mag for key, point in points.items()},
        "depth3_mag": _depths(points, apertures, sky_sigma_adu, sigma=3),
        "depth5_mag": _depths(points, apertures, sky_sigma_adu, sigma=5),
        "empty3_mag": _empty_depths(points, apertures, noise_adu, sigma=3),
        "empty5_mag": _empty_depths(points, apertures, noise_adu, sigma=5),
        "terms": found.terms[TOLD_OF].summary if TOLD_OF in found.terms else None,
        "seen_filter": found.verdict.filter,
    }


def _measured(
    photometry: Photometry, found: _Calibration, table: Table, stars: Table, field: Field, options: ReduceOptions
) -> Measured:
    cards = photometric_headers.cards(photometry, found.apertures, options, scale_arcsec=field.scale_arcsec)
    return Measured(
        photometry=photometry,
        cards={**cards, "REFCAT": str(stars.meta.get("REFCAT", "GaiaXP"))},
        table=photometric_tables.catalogue(
            table,
            stars,
            found.pairs,
            found.apertures,
            found.points,
            _applied(found.terms, options),
            filter_=field.filter,
        ),
        positions=(np.asarray(stars["ra_now"]), np.asarray(stars["dec_now"])),
        doubt=verification.words(found.verdict, field.filter),
    )


def _reference_now(reference: Table, field: Field) -> Table:
    """Return the reference stars that have a magnitude in the filter, with positions at the time of the image."""
    name = f"mag_{field.filter}"
    if name not in reference.colnames:
        raise AlgorithmError(f"the photometric reference has no column {name}")
    stars = reference[np.isfinite(np.asarray(reference[name], dtype=float))]
    position = (np.asarray(stars["ra"], dtype=float), np.asarray(stars["dec"], dtype=float))
    motion = (np.asarray(stars["pmra"], dtype=float), np.asarray(stars["pmdec"], dtype=float))
    stars["ra_now"], stars["dec_now"] = matching.moved(*position, *motion, epoch=2016.0, to=field.epoch)
    return stars


def _pairs(table: Table, stars: Table) -> matching.Pairs:
    return matching.nearest(
        (np.asarray(table["ALPHA_J2000"]), np.asarray(table["DELTA_J2000"])),
        (np.asarray(stars["ra_now"]), np.asarray(stars["dec_now"])),
        radius_arcsec=MATCH_ARCSEC,
    )


def _good(table: Table, field: Field, options: ReduceOptions) -> Floats:
    """Tell which detections are whole: nothing flagged, nothing masked, inside the ellipse, outside a cluster."""
    good = np.asarray(table["FLAGS"]) == 0
    if "IMAFLAGS_ISO" in table.colnames:
        good &= (np.asarray(table["IMAFLAGS_ISO"]) & SPOILS) == 0
    x, y = np.asarray(table["X_IMAGE"]), np.asarray(table["Y_IMAGE"])
    ny, nx = field.shape
    if options.cluster_radius_px:
        good &= np.hypot(x - nx / 2, y - ny / 2) > options.cluster_radius_px
    result: Floats = good & np.asarray(in_ellipse(x, y, field.shape, options.photometry_fraction))
    return result


def _lone_stars(table: Table, stars: Table, field: Field, options: ReduceOptions) -> Table:
    """Return the good detections that are stars of the reference, the brightest first."""
    pairs = _pairs(table, stars)
    magnitude = np.asarray(stars[f"mag_{field.filter}"])[pairs.second]
    use = _good(table, field, options)[pairs.first]
    use &= (magnitude > options.bright_mag - SEEING_BRIGHT_MARGIN_MAG) & (magnitude < options.faint_mag)
    if use.sum() < FEWEST_STARS:
        raise AlgorithmError(f"{use.sum()} of {len(pairs)} matched stars tell the seeing (needed: {FEWEST_STARS})")
    return table[pairs.first[use][np.argsort(magnitude[use], kind="stable")]]


def _shape(rows: Table) -> tuple[float, float, float]:
    """Return seeing in arcsec, ellipticity and elongation: medians over stars."""
    medians = (float(np.nanmedian(rows[name])) for name in ("FWHM_WORLD", "ELLIPTICITY", "ELONGATION"))
    fwhm_deg, ellipticity, elongation = medians
    return fwhm_deg * 3600, ellipticity, elongation


def _best_diameter_px(rows: Table, first: Extracted, pixels: Pixels, field: Field) -> float | None:
    return growth.best_diameter_px(
        pixels,
        (np.asarray(rows["X_IMAGE"]), np.asarray(rows["Y_IMAGE"])),
        sky_sigma_adu=first.sky_sigma_adu,
        egain=field.egain,
        scale_arcsec=field.scale_arcsec,
    )


def _matched(
    table: Table, stars: Table, pairs: matching.Pairs, apertures: Apertures, field: Field, options: ReduceOptions
) -> _Stars:
    rows, reference = table[pairs.first], stars[pairs.second]
    good = _good(table, field, options)[pairs.first]
    good &= np.asarray(rows["FLUX_AUTO"] > SMALLEST_SNR * rows["FLUXERR_AUTO"])
    if (name := f"snr_{field.filter}") in reference.colnames:
        good &= ~(np.asarray(reference[name], dtype=float) <= SMALLEST_SNR)
    return _Stars(rows=rows, reference=reference, good=good, apertures=apertures)


def _in_range(stars: _Stars, field: Field, options: ReduceOptions) -> Floats:
    magnitude = stars.column(f"mag_{field.filter}")
    result: Floats = stars.good & (magnitude > options.bright_mag) & (magnitude < options.faint_mag)
    return result


def _terms(stars: _Stars, field: Field, options: ReduceOptions) -> dict[str, Terms]:
    """Fit colour and place: for one aperture to be reported, for every one where they are to be applied."""
    applied = options.colour_term or options.spatial_zero_point != "none"
    use = _in_range(stars, field, options)
    x, y = stars.place
    fits = {
        key: zeropoints.fit_terms(
            (stars.column(f"mag_{field.filter}") - stars.instrumental(key))[use],
            stars.error(key)[use],
            stars.column("bp_rp")[use],
            (x[use], y[use]),
            shape=field.shape,
            pivot_mag=options.colour_pivot_mag,
            cells=options.spatial_zero_point == "grid",
        )
        for key in (("AUTO", *stars.apertures.diameters_px) if applied else (TOLD_OF,))
    }
    return {key: fit for key, fit in fits.items() if fit is not None}


def _applied(terms: Mapping[str, Terms], options: ReduceOptions) -> Mapping[str, Terms]:
    """Return the terms whose surface corrects magnitudes."""
    return terms if options.spatial_zero_point != "none" else {}


def _zero_points(
    stars: _Stars, terms: Mapping[str, Terms], field: Field, options: ReduceOptions
) -> dict[str, ZeroPoint]:
    magnitude, use = stars.column(f"mag_{field.filter}"), _in_range(stars, field, options)

    def point(key: str, chosen: Floats) -> ZeroPoint:
        corrected = magnitude
        if options.colour_term and key in terms:
            corrected = corrected - terms[key].of_colour(stars.column("bp_rp"))
        if key in _applied(terms, options):
            corrected = corrected - terms[key].of_place(*stars.place)
        return zeropoints.zero_point(corrected[chosen], stars.instrumental(key)[chosen])

    points = {key: point(key, use) for key in ("AUTO", *stars.apertures.with_depth)}
    flux, error = (photometric_tables.column(stars.rows, stars.apertures, name, TOTAL) for name in ("FLUX", "FLUXERR"))
    bright = use & (flux > TOTAL_SNR * error)
    if bright.sum() >= FEWEST_STARS:
        points[TOTAL] = point(TOTAL, bright)
    return points


def _seen_filter(stars: _Stars, field: Field, options: ReduceOptions) -> Verdict:
    """Compare the frame with every filter of the reference, by the stars that are good and not too bright."""
    use = _in_range(stars, field, options)
    names = [name.removeprefix("mag_") for name in stars.reference.colnames if name.startswith("mag_")]
    return verification.seen_filter(
        stars.instrumental("AUTO")[use],
        {name: stars.column(f"mag_{name}")[use] for name in names},
        header=field.filter,
        margin_mag=options.filter_margin_mag,
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
