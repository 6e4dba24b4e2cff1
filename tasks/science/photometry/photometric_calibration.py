"""Photometric calibration: good reference stars among the detections, their zero points, the filter check."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from astropy.table import Table

from tasks.options import ReduceOptions
from tasks.records import ZeroPointStars
from tasks.records.nights import SPOILS
from tasks.science.astrometry import matching
from tasks.science.astrometry.matching import Floats
from tasks.science.photometry import filter_check, source_catalogue, zeropoints
from tasks.science.photometry.filter_check import Verdict
from tasks.science.photometry.growth_curves import TOTAL, Apertures
from tasks.science.photometry.photometry_cards import aperture_name
from tasks.science.photometry.source_catalogue import PSF
from tasks.science.photometry.zeropoints import Terms, ZeroPoint

# radius of the first pipeline of these cameras
MATCH_ARCSEC = 1.0
# only bright stars have their whole light measured well
TOTAL_SNR = 100.0
# limit of the first pipeline
SMALLEST_SNR = 20.0
# the header gives this aperture's colour term and surface: twice the seeing loses little light and adds little noise
TOLD_OF = "1"


@dataclass(frozen=True, kw_only=True)
class PhotometricField:
    """Properties of an image: filter, shape (ny, nx), time as a Julian year, nominal scale, e-/ADU."""

    filter: str
    shape: tuple[int, int]
    epoch: float
    scale_arcsec: float
    egain: float = 1.0


@dataclass(frozen=True, kw_only=True, eq=False)
class StandardStars:
    """Detections matched with reference stars: rows of both, and which are good for a zero point."""

    rows: Table
    reference: Table
    good: Floats
    apertures: Apertures

    def instrumental(self, key: str) -> Floats:
        """Return instrumental magnitudes in an aperture, NaN if missing."""
        return source_catalogue.magnitude(self.rows, self.apertures, key)

    def error(self, key: str) -> Floats:
        """Return the errors of instrumental magnitudes."""
        return source_catalogue.column(self.rows, self.apertures, "MAGERR", key)

    def column(self, name: str) -> Floats:
        """Return a column of the reference, NaN where it has none."""
        present = name in self.reference.colnames
        return np.asarray(self.reference[name], dtype=float) if present else np.full(len(self.rows), np.nan)

    @property
    def place(self) -> tuple[Floats, Floats]:
        """1-based x and y of the detections."""
        return np.asarray(self.rows["X_IMAGE"]), np.asarray(self.rows["Y_IMAGE"])


@dataclass(frozen=True, kw_only=True, eq=False)
class Calibration:
    """Calibration of an image: apertures, matches, zero points, their colour and surface terms, the filter seen.

    ``standards`` are the stars behind each zero point but TOT.
    """

    apertures: Apertures
    pairs: matching.Pairs
    terms: Mapping[str, Terms]
    points: Mapping[str, ZeroPoint]
    standards: tuple[ZeroPointStars, ...]
    verdict: Verdict


def calibrate(
    table: Table, stars: Table, apertures: Apertures, field: PhotometricField, options: ReduceOptions
) -> Calibration:
    """Find an image's zero points, with colour and surface terms, from its detections and reference stars."""
    pairs = pairs_of(table, stars, scale_arcsec=field.scale_arcsec)
    matched = _matched(table, stars, pairs, apertures, field, options)
    terms = _terms(matched, field, options)
    keys = (*source_catalogue.keys(table, apertures), TOTAL)
    difference = {key: _difference(matched, key, terms, field, options) for key in keys}
    points = _zero_points(matched, difference, field, options)
    return Calibration(
        apertures=apertures,
        pairs=pairs,
        terms=terms,
        points=points,
        standards=_standards(matched, difference, points, field, options),
        verdict=_seen_filter(matched, field, options),
    )


def in_ellipse(x: Floats, y: Floats, shape: tuple[int, int], fraction: float) -> Floats:
    """Return which 1-based positions lie in the ellipse whose half axes are ``fraction`` of those of the image."""
    ny, nx = shape
    inside: Floats = ((x - nx / 2) / (fraction * nx / 2)) ** 2 + ((y - ny / 2) / (fraction * ny / 2)) ** 2 <= 1
    return inside


def pairs_of(table: Table, stars: Table, *, scale_arcsec: float) -> matching.Pairs:
    """Match detections with reference stars that have a position at the time of the image.

    They are one within 1 arcsec, or within a pixel of the nominal scale if that is more.
    """
    return matching.nearest(
        (np.asarray(table["ALPHA_J2000"]), np.asarray(table["DELTA_J2000"])),
        (np.asarray(stars["ra_now"]), np.asarray(stars["dec_now"])),
        radius_arcsec=max(MATCH_ARCSEC, scale_arcsec),
    )


def good_of(table: Table, field: PhotometricField, options: ReduceOptions) -> Floats:
    """Return which detections are good: not flagged, not masked, inside the ellipse, outside a cluster."""
    good = np.asarray(table["FLAGS"]) == 0
    if "IMAFLAGS_ISO" in table.colnames:
        good &= (np.asarray(table["IMAFLAGS_ISO"]) & SPOILS) == 0
    x, y = np.asarray(table["X_IMAGE"]), np.asarray(table["Y_IMAGE"])
    ny, nx = field.shape
    if options.cluster_radius_px:
        good &= np.hypot(x - nx / 2, y - ny / 2) > options.cluster_radius_px
    result: Floats = good & np.asarray(in_ellipse(x, y, field.shape, options.photometry_fraction))
    return result


def _matched(
    table: Table,
    stars: Table,
    pairs: matching.Pairs,
    apertures: Apertures,
    field: PhotometricField,
    options: ReduceOptions,
) -> StandardStars:
    rows, reference = table[pairs.first], stars[pairs.second]
    good = good_of(table, field, options)[pairs.first]
    good &= np.asarray(rows["FLUX_AUTO"] > SMALLEST_SNR * rows["FLUXERR_AUTO"])
    if (name := f"snr_{field.filter}") in reference.colnames:
        good &= ~(np.asarray(reference[name], dtype=float) <= SMALLEST_SNR)
    return StandardStars(rows=rows, reference=reference, good=good, apertures=apertures)


def _in_range(stars: StandardStars, field: PhotometricField, options: ReduceOptions) -> Floats:
    magnitude = stars.column(f"mag_{field.filter}")
    result: Floats = stars.good & (magnitude > options.bright_mag) & (magnitude < options.faint_mag)
    return result


def _terms(stars: StandardStars, field: PhotometricField, options: ReduceOptions) -> dict[str, Terms]:
    """Fit colour and surface terms: for the reported aperture, or for every one if they are to be applied."""
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
        for key in ((*source_catalogue.keys(stars.rows, stars.apertures), TOTAL) if applied else (TOLD_OF,))
    }
    return {key: fit for key, fit in fits.items() if fit is not None}


def applied(terms: Mapping[str, Terms], options: ReduceOptions) -> Mapping[str, Terms]:
    """Return the terms whose surface corrects magnitudes."""
    return terms if options.spatial_zero_point != "none" else {}


def _difference(
    stars: StandardStars, key: str, terms: Mapping[str, Terms], field: PhotometricField, options: ReduceOptions
) -> Floats:
    """Return each star's zero point in an aperture: reference less instrumental magnitude, with the corrections."""
    difference = stars.column(f"mag_{field.filter}") - stars.instrumental(key)
    if options.colour_term and key in terms:
        difference = difference - terms[key].of_colour(stars.column("bp_rp"))
    if key in applied(terms, options):
        difference = difference - terms[key].of_place(*stars.place)
    return difference


def _zero_points(
    stars: StandardStars, difference: Mapping[str, Floats], field: PhotometricField, options: ReduceOptions
) -> dict[str, ZeroPoint]:
    use = _in_range(stars, field, options)
    points = {
        key: zeropoints.zero_point(values[use])
        for key, values in difference.items()
        if key != TOTAL and (key != PSF or np.isfinite(values[use]).sum() >= zeropoints.FEWEST_STARS)
    }
    flux, error = (source_catalogue.column(stars.rows, stars.apertures, name, TOTAL) for name in ("FLUX", "FLUXERR"))
    bright = use & (flux > TOTAL_SNR * error)
    if bright.sum() >= zeropoints.FEWEST_STARS:
        points[TOTAL] = zeropoints.zero_point(difference[TOTAL][bright])
    return points


def _standards(
    stars: StandardStars,
    difference: Mapping[str, Floats],
    points: Mapping[str, ZeroPoint],
    field: PhotometricField,
    options: ReduceOptions,
) -> tuple[ZeroPointStars, ...]:
    use, good = _in_range(stars, field, options), stars.good
    kept = {key: zeropoints.kept(np.where(use, values, np.nan)) for key, values in difference.items()}
    return tuple(
        ZeroPointStars(
            aperture=aperture_name(key),
            limits_mag=(options.bright_mag, options.faint_mag),
            zero_point_mag=points[key].value_mag,
            mad_mag=points[key].mad_mag,
            magnitude=stars.column(f"mag_{field.filter}")[good],
            difference_mag=values[good],
            kept=kept[key][good],
        )
        for key, values in difference.items()
        if key in points and key != TOTAL
    )


def _seen_filter(stars: StandardStars, field: PhotometricField, options: ReduceOptions) -> Verdict:
    """Compare the frame with every filter of the reference, by good stars that are not too bright."""
    use = _in_range(stars, field, options)
    names = [name.removeprefix("mag_") for name in stars.reference.colnames if name.startswith("mag_")]
    return filter_check.seen_filter(
        stars.instrumental("AUTO")[use],
        {name: stars.column(f"mag_{name}")[use] for name in names},
        header=field.filter,
        margin_mag=options.filter_margin_mag,
    )
