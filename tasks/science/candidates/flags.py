"""Fourteen flags of doubtful detections and a fifteenth of our own, each a pure function of numbers.

Every function takes a value or an array and returns True for detections to be flagged. The numbering is that of the
catalogue's columns ``flag_0`` to ``flag_14``. A flag whose input is missing is "not checked", which differs from False.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tasks import constants
from tasks.science import arrays
from tasks.science.candidates import matched_filter, measurement
from tasks.science.candidates.matched_filter import SearchPlanes
from tasks.science.candidates.measurement import Detections
from tasks.science.sources.stars import Floats, Stars

NAMES = (
    "minor-planet",
    "opposite-sign",
    "dark-reference",
    "edge",
    "faint",
    "elongated",
    "extraction",
    "width",
    "background",
    "concentration",
    "dipole",
    "fill",
    "outside-reference",
    "masked",
    "star-residual",
)
# the median of so many is known to 9 % of their scatter
STARS = 200
# radius of the first pipeline of these cameras
MINOR_PLANET_ARCSEC = 5.0
# the two lobes of a dipole have similar fluxes; weaker neighbours are noise
OPPOSITE_RATIO = 0.3
# the limit of a detection: a shallower hole makes no source
DARK_SIGMA = 5.0
# the first pipeline kept the central 99 % of each axis
EDGE = 0.005
# limiting magnitudes are those of 5 sigma
FAINT_SIGMA = 5.0
# limit of the first pipeline
ELLIPTICITY_RATIO = 5.0
# without a floor, perfectly round stars would flag every source as elongated
ROUND = 0.1
# error of a measured ellipticity times the S/N: noise alone elongates faint sources
ELLIPTICITY_ERROR = 2.0
# limit of the first pipeline
EXTRACTION_BITS = 4
# limits of the first pipeline, in units of the seeing
WIDEST, NARROWEST = 3.0, 0.5
# of the background's own error, so that the limit holds in any unit
BACKGROUND_SIGMA = 5.0
# limit of the first pipeline
CONCENTRATION_MAD = 10.0
# a floor: stars can agree better than the measurement of a faint source
SMALLEST_MAD_MAG = 0.03
# noise alone gives 1; the rest is left to the PSF's errors
LARGEST_CHI2 = 5.0
# limit of the first pipeline
DIPOLE_PART = 0.3
# the flux then lacks a tenth of its light
MASKED_WEIGHT = 0.1
# residual of a well subtracted star, as a fraction of its light
PSF_ACCURACY = 0.01


def minor_planet(separation_arcsec: Any) -> Any:
    """Return True within 5" of a minor planet at mid-exposure; NaN (none near) is not flagged."""
    return np.asarray(separation_arcsec) < MINOR_PLANET_ARCSEC


def opposite_sign(ratio: Any, *, detected: Any) -> Any:
    """Return True beside a detection of the opposite sign with more than 0.3 of the flux."""
    return (np.asarray(ratio) > OPPOSITE_RATIO) & np.asarray(detected)


def dark_reference(darkness_sigma: Any) -> Any:
    """Return True at a hole of the reference, 5 sigma below its sky, which the difference shows as a new source."""
    return np.asarray(darkness_sigma) > DARK_SIGMA


def edge(x: Any, y: Any, shape: tuple[int, int]) -> Any:
    """Return True within 0.5 % of the image's size from its border, in x or y."""
    ny, nx = shape
    x, y = np.asarray(x), np.asarray(y)
    near_x = (x < EDGE * nx) | (x > nx - 1 - EDGE * nx)
    return near_x | (y < EDGE * ny) | (y > ny - 1 - EDGE * ny)


def faint(snr: Any) -> Any:
    """Return True below 5 sigma of the variance plane."""
    return np.abs(np.asarray(snr)) < FAINT_SIGMA


def elongated(ellipticity: Any, typical: float) -> Any:
    """Return True if the ellipticity is more than five times that of the image's stars."""
    return np.asarray(ellipticity) / max(typical, ROUND) > ELLIPTICITY_RATIO


def extraction(bits: Any) -> Any:
    """Return True if the extraction's bits exceed 4: cut by the border, or aperture incomplete."""
    return np.asarray(bits) > EXTRACTION_BITS


def width(ratio: Any) -> Any:
    """Return True if the FWHM is more than 3 or less than 0.5 times the seeing."""
    return (np.asarray(ratio) > WIDEST) | (np.asarray(ratio) < NARROWEST)


def background(level: Any, error: Any) -> Any:
    """Return True if the local background differs from zero by more than 5 of its errors."""
    return np.abs(np.asarray(level)) > BACKGROUND_SIGMA * np.asarray(error)


def concentration(delta_mag: Any, error_mag: Any, stars_delta_mag: Floats, *, chi2: Any) -> Any:
    """Return True if the profile is not a star's.

    Either the magnitude difference between two apertures is more than 10 MAD (and 5 of its errors) from that of the
    image's stars, or the PSF fit has a reduced chi² above 5.
    """
    stars = np.asarray(stars_delta_mag)[np.isfinite(stars_delta_mag)]
    centre = float(np.median(stars)) if stars.size else 0.0
    mad = max(float(arrays.nmad(stars)) / arrays.MAD_TO_SIGMA if stars.size else 0.0, SMALLEST_MAD_MAG)
    limit = np.maximum(CONCENTRATION_MAD * mad, 5 * np.asarray(error_mag))
    off = ~(np.abs(np.asarray(delta_mag) - centre) <= limit)
    return off | (np.asarray(chi2) > LARGEST_CHI2)


def dipole(part_below: Any) -> Any:
    """Return True if more than 30 % of the box of +-1 FWHM is below background minus sky sigma."""
    return np.asarray(part_below) > DIPOLE_PART


def fill(touched: Any) -> Any:
    """Return True if a pixel in that box holds the engine's fill value instead of a difference."""
    return np.asarray(touched, dtype=bool)


def outside_reference(uncovered: Any) -> Any:
    """Return True if the reference has no data."""
    return np.asarray(uncovered, dtype=bool)


def masked(core: Any, weight: Any) -> Any:
    """Return True if a pixel of the PSF's core is bad, or a tenth of the PSF's weight falls on bad pixels."""
    return np.asarray(core, dtype=bool) | (np.asarray(weight) > MASKED_WEIGHT)


def star_residual(ratio: Any, snr: Any = np.inf) -> Any:
    """Return True if a star in both images explains the flux, which is ``ratio`` times the star's.

    It does if adding a hundredth of the star's flux (the PSF's error) to the noise leaves less than 5 sigma.
    """
    ratio, snr = np.asarray(ratio), np.asarray(snr)
    error = np.hypot(1 / np.maximum(np.abs(snr), 1e-9), PSF_ACCURACY / np.maximum(ratio, 1e-9))
    return error > 1 / FAINT_SIGMA


def judge(found: Detections, planes: SearchPlanes, stars: Stars, *, minor_planet_arcsec: Any = None) -> dict[str, Any]:
    """Return the checked flags of all detections: name -> booleans.

    Parameters
    ----------
    stars
        Stars of the science image, for the scatter of shapes among stars.
    minor_planet_arcsec
        Distance to the nearest minor planet, NaN if none is near; None if they were not looked for.
    """
    width_px = stars.typical_fwhm
    round_ones = stars.where(stars.clean & (np.abs(stars.fwhm - width_px) < 0.3 * width_px))
    round_ones = round_ones.where(np.arange(len(round_ones)) < STARS)
    flat = planes.science - matched_filter.mesh(planes.science, planes.mask)
    delta = measurement.concentration(flat, round_ones.x, round_ones.y, fwhm_px=planes.fwhm_px)
    # the difference has its own PSF: that gives the value, the stars the scatter
    delta = (
        delta - np.nanmedian(delta) + measurement.concentration_of_psf(planes) if np.isfinite(delta).any() else delta
    )
    return table(
        found,
        planes.mask.shape,
        stars_delta_mag=delta,
        ellipticity=float(np.median(round_ones.ellipticity)) if len(round_ones) else 0.0,
        minor_planet_arcsec=minor_planet_arcsec,
    )


def table(
    found: Detections,
    shape: tuple[int, int],
    *,
    stars_delta_mag: Floats,
    ellipticity: float,
    minor_planet_arcsec: Any = None,
) -> dict[str, Any]:
    """Return the checked flags of all detections: name -> booleans.

    Parameters
    ----------
    shape
        Of the image, (ny, nx).
    stars_delta_mag
        Of the science image's stars, as ``measurement.concentration`` measures it.
    ellipticity
        Typical of the science image's stars.
    minor_planet_arcsec
        Distance to the nearest minor planet, NaN if none is near; None if they were not looked for.
    """
    error_mag = constants.MAG_PER_RELATIVE_FLUX * found.aperture_error / np.maximum(np.abs(found.aperture_flux), 1e-30)
    looked = minor_planet_arcsec is not None
    answers = (
        minor_planet(np.broadcast_to(minor_planet_arcsec, found.x.shape)) if looked else None,
        opposite_sign(found.opposite_ratio, detected=found.opposite),
        dark_reference(found.dark),
        edge(found.x, found.y, shape),
        faint(found.snr),
        elongated(found.ellipticity - ELLIPTICITY_ERROR / np.maximum(np.abs(found.snr), 1), ellipticity),
        extraction(found.extraction),
        width(found.width),
        background(found.background, found.background_error),
        concentration(found.delta_mag, error_mag, stars_delta_mag, chi2=found.chi2),
        dipole(found.below),
        fill(found.filled),
        outside_reference(found.uncovered),
        masked(found.masked_core, found.masked_weight),
        star_residual(found.star_ratio, found.snr),
    )
    return {name: answer for name, answer in zip(NAMES, answers, strict=True) if answer is not None}


def names(flags: dict[str, Any], index: int) -> tuple[str, ...]:
    """Return the names of the flags of one detection."""
    return tuple(name for name, answers in flags.items() if bool(answers[index]))


def not_checked(flags: dict[str, Any]) -> tuple[str, ...]:
    """Return the names of the flags that were not checked."""
    return tuple(name for name in NAMES if name not in flags)
