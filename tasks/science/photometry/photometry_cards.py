"""Header cards of an image's photometry."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from tasks import constants
from tasks.options import ReduceOptions
from tasks.records import Frame, Photometry, QaBit
from tasks.science.arrays import MAD_TO_SIGMA
from tasks.science.headers import provenance, raw_headers
from tasks.science.headers.card_values import Header, Value
from tasks.science.photometry.growth_curves import TOTAL, Apertures

# cards of an image that are not true of its variance and mask
OF_THE_IMAGE = ("BUNIT", "SATURATE")


def cards(photometry: Photometry, apertures: Apertures, options: ReduceOptions, *, scale_arcsec: float) -> Header:
    """Return the header cards of the photometry; unlike the production's they are not rounded.

    ``ZPSC_A`` and ``ZPER_A`` are those of AUTO: a keyword has eight characters. ``EUL3_K`` and ``EUL5_K`` are depths by
    empty apertures. Absent are these with too few empty apertures, ``ZP_PSF`` without a PSF, and ``ZPCOLOR`` and
    ``ZPSPAT`` with too few stars.
    """
    return {
        "AUTHOR": "brightsiren",
        "SEEING": photometry.seeing_arcsec,
        "PEEING": photometry.seeing_arcsec / scale_arcsec,
        "ELLIP": photometry.ellipticity,
        "ELONG": photometry.elongation,
        "SKYSIG": photometry.sky_sigma_adu,
        "SKYVAL": photometry.sky_adu,
        "MAGLOW": options.bright_mag,
        "MAGUP": options.faint_mag,
        "STDNUMB": photometry.stars,
        **_apertures(apertures),
        **_zero_points(photometry, apertures),
        **_terms(photometry, options),
        "FILTVER": photometry.seen_filter,
    }


def time_card(start: datetime, exposure_s: float) -> Header:
    """Return PHOTIME: the middle of the exposure, UTC, the time of the magnitudes.

    The production writes the day of its run there, so that no image made again would have the same bytes. The sidecar
    holds the time of the measurement.
    """
    middle = (start + timedelta(seconds=exposure_s / 2)).astimezone(UTC).replace(tzinfo=None)
    return {"PHOTIME": middle.isoformat(timespec="milliseconds")}


def of_light(header: Mapping[str, Value], frame: Frame, measured: Header, *, doubt: str) -> Header:
    """Return the cards of a reduced light.

    Parameters
    ----------
    header
        Its cards so far.
    frame
        The raw frame.
    measured
        The cards of its photometry.
    doubt
        Doubt about its filter, in words; empty: none.
    """
    julian = raw_headers.julian_date(frame.date_obs)
    cards: Header = {**header, **measured, "JD": julian, "MJD": julian - constants.MJD_ZERO_JD}
    cards["SATLV"] = header.get("SATURATE", 0.0)
    cards |= time_card(frame.date_obs, frame.exposure_s)
    return cards | provenance.with_doubt(header, QaBit.FILTER_DOUBTFUL, doubt)


def of_plane(cards: Mapping[str, Value], own: Mapping[str, Value]) -> Header:
    """Return the cards of a variance or a mask: those of its image that apply to it, and its ``own`` unit."""
    shared = {key: value for key, value in cards.items() if key not in OF_THE_IMAGE}
    return shared | ({"BUNIT": own["BUNIT"]} if "BUNIT" in own else {})


def of_catalogue(frame: Frame) -> dict[str, object]:
    """Return the frame's metadata for the catalogue of a light."""
    julian = raw_headers.julian_date(frame.date_obs)
    return {
        "obs": frame.unit,
        "object": frame.object,
        "filter": frame.filter,
        "date-obs": frame.date_obs.replace(tzinfo=None).isoformat(timespec="milliseconds"),
        "jd": f"{julian:.8f}",
        "mjd": f"{julian - constants.MJD_ZERO_JD:.8f}",
    }


def aperture_name(key: str) -> str:
    """Return an aperture's name in headers and columns: AUTO, PSF, APER, APER_1 to APER_5, APER_U1 and so on."""
    return {"AUTO": "AUTO", "PSF": "PSF", "0": "APER"}.get(key, f"APER_{key}")


def _apertures(apertures: Apertures) -> Header:
    return {"AUTO": 0.0, **{aperture_name(key): apertures.diameters_px[key] for key in apertures.with_depth}}


def _zero_points(photometry: Photometry, apertures: Apertures) -> Header:
    result: Header = {}
    if TOTAL in photometry.zero_point_mag:
        result |= {"ZP_TOT": photometry.zero_point_mag[TOTAL], "EZP_TOT": photometry.scatter_mag[TOTAL]}
    if "PSF" in photometry.zero_point_mag:
        result |= _zero_point(photometry, "PSF")
    for key in ("AUTO", *apertures.with_depth):
        result |= {
            **_zero_point(photometry, key),
            f"UL3_{key}": photometry.depth3_mag[key],
            f"UL5_{key}": photometry.depth5_mag[key],
        }
        if key in photometry.empty5_mag:
            result |= {f"EUL3_{key}": photometry.empty3_mag[key], f"EUL5_{key}": photometry.empty5_mag[key]}
    return result


def _zero_point(photometry: Photometry, key: str) -> Header:
    short = "A" if key == "AUTO" else key
    return {
        f"ZP_{key}": photometry.zero_point_mag[key],
        f"EZP_{key}": photometry.scatter_mag[key],
        f"ZPSC_{short}": MAD_TO_SIGMA * photometry.scatter_mag[key],
        f"ZPER_{short}": photometry.error_mag[key],
    }


def _terms(photometry: Photometry, options: ReduceOptions) -> Header:
    """Return the colour and surface terms of APER_1; ZPRMS0 and ZPRMS1 are the residuals' rms without and with it."""
    terms = photometry.terms
    if terms is None:
        return {}
    result: Header = {"ZPRMS0": terms.before_mag, "ZPRMS1": terms.after_mag, "ZPSTARS": terms.stars}
    if terms.colour_mag is not None and terms.colour_error_mag is not None and terms.pivot_mag is not None:
        result |= {"ZPCOLOR": terms.colour_mag, "ZPCOLERR": terms.colour_error_mag, "ZPCOLREF": terms.pivot_mag}
        result |= {"ZPCOLAPP": options.colour_term}
    if terms.spatial_rms_mag is not None:
        result |= {"ZPSPAT": terms.spatial_rms_mag, "ZPSPAAPP": options.spatial_zero_point}
    return result
