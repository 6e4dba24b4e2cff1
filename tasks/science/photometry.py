"""Seeing, zero points and depth of an image from its detections and reference magnitudes.

The apertures, selections and formulae are those of the 7DT production headers, so that old and new numbers compare.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from astropy.table import Table

from tasks.errors import AlgorithmError
from tasks.options import ReduceOptions
from tasks.records import MaskBit, Photometry
from tasks.science import matching
from tasks.science.arrays import MAD_TO_SIGMA
from tasks.science.headers import Header
from tasks.science.matching import Floats

NOMINAL_SCALE_ARCSEC = 0.505
FIRST_SEEING_ARCSEC = 2.0
MATCH_ARCSEC = 1.0
# diameter of the best aperture for a Gaussian, in FWHM, halved
BEST_RADIUS_FWHM = 0.6731
FIXED_DIAMETERS_ARCSEC = (3.0, 5.0, 10.0)
APERTURES = ("AUTO", "0", "1", "2", "3", "4", "5")
# The whole light of a star: 20 arcsec hold 99.5 % of a Moffat profile that AUTO (95 %) and 10 arcsec (94-98 %) cut.
# Only bright stars have it measured well.
TOTAL, TOTAL_ARCSEC, TOTAL_SNR = "TOT", 20.0, 100.0
SEEING_BRIGHT_MARGIN_MAG = 0.25
SMALLEST_SNR = 20.0
CLIP_SIGMA = 2.0
FEWEST_STARS = 5
# halos and ghosts are faint against a star that is good enough otherwise
SPOILS = 255 & ~(MaskBit.HALO | MaskBit.GHOST).value
# the reference magnitudes of a field share an error that no number of stars averages out
CALIBRATION_FLOOR_MAG = 0.005
AB_MICROJANSKY_MAG = 23.9
# Source Extractor's word for a flux that is not positive
NO_MAGNITUDE = 90.0
MAG_PER_RELATIVE_FLUX = 2.5 / np.log(10)
REFERENCE_COLUMNS = (
    "source_id", "ra", "dec", "parallax", "pmra", "pmdec", "phot_g_mean_mag", "bp_rp", "mag_u", "mag_g", "mag_r", "mag_i",
    "mag_z",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Extracted:
    """Detections of one pass, with sky and sky noise in the image's unit."""

    table: Table
    sky_adu: float
    sky_sigma_adu: float


class Extract(Protocol):
    """Detects and measures: without diameters only positions and shapes."""

    def __call__(self, *, seeing_arcsec: float, diameters_px: tuple[float, ...]) -> Extracted:
        """Return the detections."""


@dataclass(frozen=True, kw_only=True)
class Field:
    """What must be known of an image: filter, shape (ny, nx), time as a Julian year, nominal scale."""

    filter: str
    shape: tuple[int, int]
    epoch: float
    scale_arcsec: float = NOMINAL_SCALE_ARCSEC


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Photometry of an image, the header cards that tell it, and its catalogue."""

    photometry: Photometry
    cards: Header
    table: Table
    positions: tuple[Floats, Floats]
    """RA and Dec in degrees of the reference stars at the time of the image."""


@dataclass(frozen=True, kw_only=True)
class ZeroPoint:
    """A zero point in mag: median and unscaled MAD of the ``stars`` kept by the clipping."""

    value_mag: float
    mad_mag: float
    stars: int

    @property
    def scatter_mag(self) -> float:
        """Standard deviation of a normal distribution with this MAD."""
        return MAD_TO_SIGMA * self.mad_mag

    @property
    def error_mag(self) -> float:
        """Error of the median, and of the reference."""
        return float(np.hypot(self.scatter_mag / np.sqrt(max(1, self.stars)), CALIBRATION_FLOOR_MAG))


def diameters_px(seeing_arcsec: float, scale_arcsec: float = NOMINAL_SCALE_ARCSEC) -> tuple[float, ...]:
    """Return the diameters of the six apertures (keys 0 to 5): three follow the seeing, three are 3, 5 and 10 arcsec.

    A seventh takes the whole light of bright stars.
    """
    seeing_px = seeing_arcsec / scale_arcsec
    follow = (2 * BEST_RADIUS_FWHM * seeing_px, 2 * seeing_px, 3 * seeing_px)
    return (*follow, *(diameter / scale_arcsec for diameter in (*FIXED_DIAMETERS_ARCSEC, TOTAL_ARCSEC)))


def depth_mag(zero_point_mag: float, *, sky_sigma_adu: float, diameter_px: float, sigma: float) -> float:
    """Return the magnitude of ``sigma`` times the sky noise in an aperture: UL = ZP - 2.5 log10(n s sqrt(pi) d / 2)."""
    noise = sigma * sky_sigma_adu * np.sqrt(np.pi) * diameter_px / 2
    return float(zero_point_mag - 2.5 * np.log10(noise)) if noise > 0 else float("nan")


def zero_point(reference_mag: Floats, instrumental_mag: Floats) -> ZeroPoint:
    """Return the median of the differences, clipped at 2 sigma about the median until nothing changes.

    Raises
    ------
    AlgorithmError
        With fewer than five stars.
    """
    kept = reference_mag - instrumental_mag
    kept = kept[np.isfinite(kept)]
    if len(kept) < FEWEST_STARS:
        raise AlgorithmError(f"{len(kept)} stars for the zero point (needed: {FEWEST_STARS})")
    while True:
        median = np.median(kept)
        close = np.abs(kept - median) <= CLIP_SIGMA * np.std(kept)
        if close.all():
            break
        kept = kept[close]
    mad = float(np.median(np.abs(kept - median)))
    return ZeroPoint(value_mag=float(median), mad_mag=mad, stars=len(kept))


def measure(extract: Extract, reference: Table, field: Field, *, catalogue: Path, options: ReduceOptions) -> Measured:
    """Measure an image in two passes: the first tells the seeing, the second uses apertures that follow it.

    Parameters
    ----------
    extract
        Measures the image.
    reference
        Stars with ra, dec [deg, J2016], pmra, pmdec [mas/yr] and mag_<filter>.
    field
        What the image is.
    catalogue
        Where the catalogue will be: only named in the result.

    Raises
    ------
    AlgorithmError
        Where too few stars match the reference for seeing or zero points.
    """
    stars = _reference_now(reference, field)
    first = extract(seeing_arcsec=FIRST_SEEING_ARCSEC, diameters_px=diameters_px(FIRST_SEEING_ARCSEC))
    seeing, ellipticity, elongation = _shape_of_stars(first.table, stars, field, options)
    diameters = diameters_px(seeing, field.scale_arcsec)
    second = extract(seeing_arcsec=seeing, diameters_px=diameters)
    pairs = _pairs(second.table, stars)
    points = _zero_points(second.table, stars, pairs, field, options)
    photometry = Photometry(
        catalogue=catalogue,
        stars=points["AUTO"].stars,
        seeing_arcsec=seeing,
        ellipticity=ellipticity,
        elongation=elongation,
        sky_adu=second.sky_adu,
        sky_sigma_adu=second.sky_sigma_adu,
        zero_point_mag={key: point.value_mag for key, point in points.items()},
        scatter_mag={key: point.mad_mag for key, point in points.items()},
        error_mag={key: point.error_mag for key, point in points.items()},
        depth3_mag=_depths(points, diameters, second.sky_sigma_adu, sigma=3),
        depth5_mag=_depths(points, diameters, second.sky_sigma_adu, sigma=5),
    )
    return Measured(
        photometry=photometry,
        cards=cards(photometry, diameters, options, scale_arcsec=field.scale_arcsec),
        table=_catalogue(second.table, stars, pairs, points, filter_=field.filter),
        positions=(np.asarray(stars["ra_now"]), np.asarray(stars["dec_now"])),
    )


def cards(
    photometry: Photometry, diameters: tuple[float, ...], options: ReduceOptions, *, scale_arcsec: float
) -> Header:
    """Return the header cards of the photometry; unlike the production's they are not rounded.

    ``ZPSC_A`` and ``ZPER_A`` are those of AUTO: a keyword has eight characters.
    """
    result: Header = {
        "AUTHOR": "brightsiren",
        "SEEING": photometry.seeing_arcsec,
        "PEEING": photometry.seeing_arcsec / scale_arcsec,
        "ELLIP": photometry.ellipticity,
        "ELONG": photometry.elongation,
        "SKYSIG": photometry.sky_sigma_adu,
        "SKYVAL": photometry.sky_adu,
        "REFCAT": "GaiaXP",
        "MAGLOW": options.bright_mag,
        "MAGUP": options.faint_mag,
        "STDNUMB": photometry.stars,
        "AUTO": 0.0,
    }
    for key, diameter in zip(APERTURES[1:], diameters[:-1], strict=True):
        result["APER" if key == "0" else f"APER_{key}"] = diameter
    if TOTAL in photometry.zero_point_mag:
        result |= {"ZP_TOT": photometry.zero_point_mag[TOTAL], "EZP_TOT": photometry.scatter_mag[TOTAL]}
    for key in APERTURES:
        result |= {
            f"ZP_{key}": photometry.zero_point_mag[key],
            f"EZP_{key}": photometry.scatter_mag[key],
            f"ZPSC_{key[0]}": MAD_TO_SIGMA * photometry.scatter_mag[key],
            f"ZPER_{key[0]}": photometry.error_mag[key],
            f"UL3_{key}": photometry.depth3_mag[key],
            f"UL5_{key}": photometry.depth5_mag[key],
        }
    return result


def in_ellipse(x: Floats, y: Floats, shape: tuple[int, int], fraction: float) -> Floats:
    """Tell which 1-based positions lie in the ellipse whose half axes are ``fraction`` of those of the image."""
    ny, nx = shape
    inside: Floats = ((x - nx / 2) / (fraction * nx / 2)) ** 2 + ((y - ny / 2) / (fraction * ny / 2)) ** 2 <= 1
    return inside


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
    """Tell which detections are whole: nothing flagged, nothing masked, inside the ellipse."""
    good = np.asarray(table["FLAGS"]) == 0
    if "IMAFLAGS_ISO" in table.colnames:
        good &= (np.asarray(table["IMAFLAGS_ISO"]) & SPOILS) == 0
    inside = in_ellipse(table["X_IMAGE"], table["Y_IMAGE"], field.shape, options.photometry_fraction)
    result: Floats = good & np.asarray(inside)
    return result


def _shape_of_stars(table: Table, stars: Table, field: Field, options: ReduceOptions) -> tuple[float, float, float]:
    """Return seeing in arcsec, ellipticity and elongation: medians over the stars of the reference."""
    pairs = _pairs(table, stars)
    magnitude = np.asarray(stars[f"mag_{field.filter}"])[pairs.second]
    use = _good(table, field, options)[pairs.first]
    use &= (magnitude > options.bright_mag - SEEING_BRIGHT_MARGIN_MAG) & (magnitude < options.faint_mag)
    if use.sum() < FEWEST_STARS:
        raise AlgorithmError(f"{use.sum()} of {len(pairs)} matched stars tell the seeing (needed: {FEWEST_STARS})")
    rows = table[pairs.first[use]]
    medians = (float(np.median(rows[name])) for name in ("FWHM_WORLD", "ELLIPTICITY", "ELONGATION"))
    fwhm_deg, ellipticity, elongation = medians
    return fwhm_deg * 3600, ellipticity, elongation


def _zero_points(
    table: Table, stars: Table, pairs: matching.Pairs, field: Field, options: ReduceOptions
) -> dict[str, ZeroPoint]:
    magnitude = np.asarray(stars[f"mag_{field.filter}"])[pairs.second]
    rows = table[pairs.first]
    use = _good(table, field, options)[pairs.first]
    use &= np.asarray(rows["FLUX_AUTO"] > SMALLEST_SNR * rows["FLUXERR_AUTO"])
    use &= (magnitude > options.bright_mag) & (magnitude < options.faint_mag)
    points = {key: zero_point(magnitude[use], _magnitude(rows, key)[use]) for key in APERTURES}
    use &= np.asarray(rows["FLUX_APER"][:, -1] > TOTAL_SNR * rows["FLUXERR_APER"][:, -1])
    if use.sum() >= FEWEST_STARS:
        points[TOTAL] = zero_point(magnitude[use], _magnitude(rows, "6")[use])
    return points


def _magnitude(table: Table, key: str) -> Floats:
    """Return instrumental magnitudes of an aperture, NaN where the flux is not positive."""
    values = np.asarray(table["MAG_AUTO"] if key == "AUTO" else table["MAG_APER"][:, int(key)], dtype=float)
    return np.where(np.abs(values) < NO_MAGNITUDE, values, np.nan)


def _depths(
    points: Mapping[str, ZeroPoint], diameters: tuple[float, ...], sky_sigma_adu: float, *, sigma: float
) -> dict[str, float]:
    """Return the depth of each aperture in mag; 0 for AUTO, whose aperture has no one size."""
    depths = {"AUTO": 0.0}
    for key, diameter in zip(APERTURES[1:], diameters[:-1], strict=True):
        depths[key] = depth_mag(points[key].value_mag, sky_sigma_adu=sky_sigma_adu, diameter_px=diameter, sigma=sigma)
    return depths


def _catalogue(
    table: Table, stars: Table, pairs: matching.Pairs, points: Mapping[str, ZeroPoint], *, filter_: str
) -> Table:
    """Return the catalogue: measurements, calibrated magnitudes and fluxes, and the matched reference stars."""
    result = Table({name: table[name] for name in table.colnames if table[name].ndim == 1})
    for key in APERTURES:
        name = {"AUTO": "AUTO", "0": "APER"}.get(key, f"APER_{key}")
        for quantity in ("MAG", "MAGERR", "FLUX", "FLUXERR"):
            if key != "AUTO":
                result[f"{quantity}_{name}"] = table[f"{quantity}_APER"][:, int(key)]
        flux, error = (np.asarray(result[f"{quantity}_{name}"], dtype=float) for quantity in ("FLUX", "FLUXERR"))
        for column, values in _calibrated(_magnitude(table, key), flux, error, points[key]).items():
            result[f"{column}_{name}_{filter_}"] = values
    for name in dict.fromkeys((*REFERENCE_COLUMNS, f"mag_{filter_}")):
        if name in stars.colnames:
            result[name] = _matched(stars[name], pairs, len(table))
    return result


def _calibrated(magnitude: Floats, flux: Floats, error: Floats, point: ZeroPoint) -> dict[str, Floats]:
    """Return calibrated columns: AB magnitude, flux in microjansky, and the SNR without the zero point's error."""
    calibrated = magnitude + point.value_mag
    relative = np.divide(error, flux, out=np.full(len(flux), np.nan), where=flux > 0)
    microjansky = 10 ** (0.4 * (AB_MICROJANSKY_MAG - calibrated))
    return {
        "MAG": calibrated,
        "MAGERR": MAG_PER_RELATIVE_FLUX * relative,
        "FLUX": microjansky,
        "FLUXERR": microjansky * relative,
        "SNR": np.divide(flux, error, out=np.full(len(flux), np.nan), where=error > 0),
        "SYSERR": np.full(len(flux), point.error_mag),
    }


def _matched(column: Table, pairs: matching.Pairs, rows: int) -> Floats:
    """Return a reference column on the detections' rows: -1 or NaN where nothing matched."""
    values = np.asarray(column)
    whole = values.dtype.kind in "iu"
    result: Floats = np.full(rows, -1, dtype=np.int64) if whole else np.full(rows, np.nan)
    result[pairs.first] = values[pairs.second]
    return result
