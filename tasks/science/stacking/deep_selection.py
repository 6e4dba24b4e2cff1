"""Selection of sharp and deep frames of many nights for a deep stack, by their headers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from tasks import naming
from tasks.errors import UnusableData
from tasks.options import DeepOptions
from tasks.records import Astrometry, Frame, FrameType, Photometry, Reduced, Rejected, Selection, Stage
from tasks.science.astrometry import wcs_checks
from tasks.science.headers import card_values

APERTURES = ("AUTO", "0", "1", "2", "3", "4", "5")
DEPTH = "1"
"""Key of the aperture whose depth is compared: UL5_1."""


def frame_of(cards: Mapping[str, Any], image: Path, *, unit: str) -> Reduced:
    """Return the record of a calibrated frame from its header.

    Raises
    ------
    UnusableData
        If it has no WCS, zero point, seeing, depth, sky, filter or time.
    """
    try:
        wcs = wcs_checks.wcs_of(cards)
    except (KeyError, ValueError) as error:
        raise UnusableData(f"no WCS: {error}") from error
    if not wcs.has_celestial:
        raise UnusableData("no WCS in its header")
    needed = ("ZP_AUTO", "SEEING", "UL5_1", "SKYVAL", "SKYSIG", "EXPTIME", "NAXIS1", "NAXIS2")
    values = {key: _number(cards, key) for key in needed}
    shape = int(values["NAXIS2"]), int(values["NAXIS1"])
    ra, dec = (float(angle) for angle in wcs.all_pix2world((shape[1] - 1) / 2, (shape[0] - 1) / 2, 0))
    return Reduced(
        frame=Frame(
            path=image,
            type=FrameType.LIGHT,
            unit=unit,
            date_obs=_moment(cards),
            exposure_s=values["EXPTIME"],
            filter=naming.filter_name(str(cards.get("FILTER", ""))),
            object=str(cards.get("OBJECT", "")),
            ra_deg=ra,
            dec_deg=dec,
            shape=shape,
        ),
        image=image,
        variance=naming.variance_of(image),
        mask=naming.mask_of(image),
        astrometry=_astrometry(cards, ra, dec, wcs_checks.scale_arcsec(wcs)),
        photometry=_photometry(cards, values, naming.photometry_of(image)),
    )


def fields(frames: Sequence[Reduced]) -> tuple[tuple[Reduced, ...], ...]:
    """Group frames of one object and filter, in the order of time."""

    def key(item: Reduced) -> tuple[str, str]:
        return naming.slug(item.frame.object), item.frame.filter

    ordered = sorted(frames, key=lambda item: (*key(item), item.frame.date_obs, item.image.name))
    return tuple(tuple(group) for _, group in groupby(ordered, key=key))


def select(frames: Sequence[Reduced], bad: Sequence[Rejected], options: DeepOptions) -> Selection:
    """Choose among the frames of one field and filter.

    ``median`` takes those with SEEING < median and UL5_1 > median; ``nsigma`` those with SEEING < median + n sigma and
    UL5_1 > median - n sigma. The medians and standard deviations are those of all usable frames.
    """
    seeing = np.array([item.photometry.seeing_arcsec for item in frames])
    depth = np.array([item.photometry.depth5_mag[DEPTH] for item in frames])
    judged = not options.names and options.select != "all"
    sigmas = options.sigmas if options.select == "nsigma" else 0.0
    largest = float(np.median(seeing) + sigmas * seeing.std()) if judged else None
    least = float(np.median(depth) - sigmas * depth.std()) if judged else None
    reasons = [_objection(item, largest, least, options) for item in frames]
    chosen = tuple(item for item, reason in zip(frames, reasons, strict=True) if not reason)
    return Selection(
        object=frames[0].frame.object,
        filter=frames[0].frame.filter,
        frames=chosen,
        rejected=(
            *bad,
            *(
                Rejected(name=item.image.name, stage=Stage.STACK, reason=reason, unit=item.frame.unit)
                for item, reason in zip(frames, reasons, strict=True)
                if reason
            ),
        ),
        figures={
            "n_all": len(frames) + len(bad),
            "n_bad": len(bad),
            "n_image": len(chosen),
            **_figures("seeing", seeing),
            **_figures("depth", depth),
        },
        seeing_limit_arcsec=largest,
        depth_limit_mag=least,
    )


def check_names(frames: Sequence[Reduced], bad: Sequence[Rejected], options: DeepOptions) -> None:
    """Raise ``UnusableData`` if a frame requested by name does not exist."""
    present = {item.image.name for item in frames} | {rejected.name for rejected in bad}
    if missing := sorted(set(options.names) - present):
        raise UnusableData(f"no calibrated frame is called {', '.join(missing)}")


def belongs(name: str, frame: Reduced) -> bool:
    """Return whether an image's name is one of a frame's field and filter."""
    parsed = naming.parse_image(name)
    return (naming.slug(parsed.object), parsed.filter) == (naming.slug(frame.frame.object), frame.frame.filter)


def without_frames(selections: Sequence[Selection], options: DeepOptions) -> tuple[Rejected, ...]:
    """Return a rejection for each field without a chosen frame."""
    return tuple(
        Rejected(
            name=f"{selection.object} {selection.filter}",
            stage=Stage.STACK,
            reason=f"none of {selection.figures['n_all']:g} frames is chosen by {label(options)}",
        )
        for selection in selections
        if not selection.frames
    )


def label(options: DeepOptions) -> str:
    """Return the name of a selection method in file names: ``median``, ``nsigma1.5``, ``all``, ``names``."""
    if options.names:
        return "names"
    return f"nsigma{options.sigmas:g}" if options.select == "nsigma" else options.select


def _objection(item: Reduced, largest: float | None, least: float | None, options: DeepOptions) -> str:
    if options.names and item.image.name not in options.names:
        return "not on the list"
    seeing, depth = item.photometry.seeing_arcsec, item.photometry.depth5_mag[DEPTH]
    if largest is not None and not seeing < largest:
        return f'seeing {seeing:.2f}" is not below {largest:.2f}"'
    if least is not None and not depth > least:
        return f"depth {depth:.2f} mag is not beyond {least:.2f} mag"
    return ""


def _figures(name: str, values: np.ndarray[Any, Any]) -> dict[str, float]:
    figures = {"median": np.median(values), "std": values.std(), "min": values.min(), "max": values.max()}
    return {f"{name}_{word}": round(float(value), 4) for word, value in figures.items()}


def _number(cards: Mapping[str, Any], key: str) -> float:
    value = card_values.number(cards.get(key))
    if value is None or not np.isfinite(value):
        raise UnusableData(f"no {key} in its header")
    return value


def _moment(cards: Mapping[str, Any]) -> datetime:
    text = str(cards.get("DATE-OBS", ""))
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError as error:
        raise UnusableData(f"DATE-OBS {text!r} is no time") from error


def _astrometry(cards: Mapping[str, Any], ra_deg: float, dec_deg: float, scale_arcsec: float) -> Astrometry:
    def known(key: str) -> float:
        return card_values.number(cards.get(key)) or 0.0

    return Astrometry(
        matched=int(known("ASTNMAT")),
        rms_ra_arcsec=known("ASTRMSX"),
        rms_dec_arcsec=known("ASTRMSY"),
        offset_arcsec=0.0,
        scale_arcsec=scale_arcsec,
        ra_deg=ra_deg,
        dec_deg=dec_deg,
    )


def _photometry(cards: Mapping[str, Any], values: Mapping[str, float], catalogue: Path) -> Photometry:
    def by_aperture(name: str) -> dict[str, float]:
        values_by_key = {key: card_values.number(cards.get(f"{name}_{key}")) for key in APERTURES}
        return {key: value for key, value in values_by_key.items() if value is not None}

    return Photometry(
        catalogue=catalogue,
        stars=int(card_values.number(cards.get("STDNUMB")) or 0),
        seeing_arcsec=values["SEEING"],
        ellipticity=card_values.number(cards.get("ELLIP")) or 0.0,
        elongation=card_values.number(cards.get("ELONG")) or 1.0,
        sky_adu=values["SKYVAL"],
        sky_sigma_adu=values["SKYSIG"],
        zero_point_mag=by_aperture("ZP"),
        scatter_mag=by_aperture("EZP"),
        error_mag={},
        depth3_mag=by_aperture("UL3"),
        depth5_mag=by_aperture("UL5"),
    )
