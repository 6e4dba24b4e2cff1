"""Catalogue of an image: calibrated measurements and the matched reference stars."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from astropy.table import Table

from tasks import constants
from tasks.science.astrometry import matching
from tasks.science.astrometry.matching import Floats
from tasks.science.photometry.growth_curves import Apertures
from tasks.science.photometry.photometry_cards import aperture_name
from tasks.science.photometry.zeropoints import Terms, ZeroPoint

# AB magnitude of 1 microjansky, as 3631 Jy are 0 mag (Oke & Gunn 1983, ApJ 266, 713)
AB_MICROJANSKY_MAG = 23.9
# Source Extractor's magnitude of a flux that is not positive
NO_MAGNITUDE, WORST_MAGNITUDE = 90.0, 99.0
# measured without an aperture of one size; PSF only where it was asked for
PSF = "PSF"
NO_APERTURE = ("AUTO", PSF)
REFERENCE_COLUMNS = (
    "source_id", "ra", "dec", "parallax", "pmra", "pmdec", "phot_g_mean_mag", "bp_rp", "mag_u", "mag_g", "mag_r", "mag_i",
    "mag_z",
)  # fmt: skip


def keys(table: Table, apertures: Apertures) -> tuple[str, ...]:
    """Return the keys with a zero point: AUTO, the apertures but TOT, and PSF if it was measured."""
    return ("AUTO", *apertures.with_depth, *((PSF,) if f"MAG_{PSF}" in table.colnames else ()))


def magnitudes(flux: Floats, error: Floats) -> tuple[Floats, Floats]:
    """Return instrumental magnitudes and their errors as Source Extractor writes them: 99 without a positive flux."""
    positive = flux > 0
    safe = np.where(positive, flux, 1.0)
    magnitude = np.where(positive, -2.5 * np.log10(safe), WORST_MAGNITUDE)
    return magnitude, np.where(positive, constants.MAG_PER_RELATIVE_FLUX * error / safe, WORST_MAGNITUDE)


def column(table: Table, apertures: Apertures, quantity: str, key: str) -> Floats:
    """Return MAG, MAGERR, FLUX or FLUXERR of an aperture, AUTO or PSF."""
    if key in NO_APERTURE:
        return np.asarray(table[f"{quantity}_{key}"], dtype=float)
    return np.asarray(table[f"{quantity}_APER"][:, apertures.place(key)], dtype=float)


def magnitude(table: Table, apertures: Apertures, key: str) -> Floats:
    """Return instrumental magnitudes of an aperture, NaN where the flux is not positive."""
    values = column(table, apertures, "MAG", key)
    return np.where(np.abs(values) < NO_MAGNITUDE, values, np.nan)


def catalogue(
    table: Table,
    stars: Table,
    pairs: matching.Pairs,
    apertures: Apertures,
    points: Mapping[str, ZeroPoint],
    terms: Mapping[str, Terms],
    *,
    filter_: str,
) -> Table:
    """Return the catalogue: measurements, calibrated magnitudes and fluxes, and the matched reference stars.

    Parameters
    ----------
    points
        Zero point of each aperture.
    terms
        Surface that corrects the zero point of each aperture; empty without corrections.
    """
    result = Table({name: table[name] for name in table.colnames if table[name].ndim == 1})
    x, y = np.asarray(table["X_IMAGE"]), np.asarray(table["Y_IMAGE"])
    for key in keys(table, apertures):
        if key not in points:
            continue
        name = aperture_name(key)
        for quantity in ("MAG", "MAGERR", "FLUX", "FLUXERR"):
            result[f"{quantity}_{name}"] = column(table, apertures, quantity, key)
        zero = points[key].value_mag + (terms[key].of_place(x, y) if key in terms else np.zeros(len(table)))
        flux, error = (column(table, apertures, quantity, key) for quantity in ("FLUX", "FLUXERR"))
        own = _calibrated(magnitude(table, apertures, key) + zero, flux, error, points[key])
        for quantity, values in own.items():
            result[f"{quantity}_{name}_{filter_}"] = values
    for name in dict.fromkeys((*REFERENCE_COLUMNS, f"mag_{filter_}")):
        if name in stars.colnames:
            result[name] = _matched(stars[name], pairs, len(table))
    return result


def _calibrated(calibrated: Floats, flux: Floats, error: Floats, point: ZeroPoint) -> dict[str, Floats]:
    """Return calibrated columns: AB magnitude, flux in microjansky, and the SNR without the zero point's error."""
    relative = np.divide(error, flux, out=np.full(len(flux), np.nan), where=flux > 0)
    microjansky = 10 ** (0.4 * (AB_MICROJANSKY_MAG - calibrated))
    return {
        "MAG": calibrated,
        "MAGERR": constants.MAG_PER_RELATIVE_FLUX * relative,
        "FLUX": microjansky,
        "FLUXERR": microjansky * relative,
        "SNR": np.divide(flux, error, out=np.full(len(flux), np.nan), where=error > 0),
        "SYSERR": np.full(len(flux), point.error_mag),
    }


def _matched(values: Table, pairs: matching.Pairs, rows: int) -> Floats:
    """Return a reference column on the detections' rows: -1 or NaN where nothing matched."""
    array = np.asarray(values)
    whole = array.dtype.kind in "iu"
    result: Floats = np.full(rows, -1, dtype=np.int64) if whole else np.full(rows, np.nan)
    result[pairs.first] = array[pairs.second]
    return result
