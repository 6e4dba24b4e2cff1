"""Headers of raw frames, rewritten from any observatory software to one vocabulary and parsed to a ``Frame``.

Raw files are never rewritten: ``normalise`` returns new cards and a list of its changes; ``parse`` converts them
to a record or raises the reason why the frame is unusable.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

from tasks import constants, naming
from tasks.errors import UnusableData
from tasks.options import HeaderRewrite
from tasks.records import Camera, Frame, FrameType, HeaderRules, QaBit
from tasks.science.headers import card_values, dialects
from tasks.science.headers.card_values import Header, Value, number

Rewrite: TypeAlias = HeaderRewrite
Rule: TypeAlias = Callable[[Mapping[str, Value]], Header]

TYPES = {
    "light": FrameType.LIGHT,
    "lights": FrameType.LIGHT,
    "light frame": FrameType.LIGHT,
    "object": FrameType.LIGHT,
    "science": FrameType.LIGHT,
    "expose": FrameType.LIGHT,
    "bias": FrameType.BIAS,
    "biases": FrameType.BIAS,
    "zero": FrameType.BIAS,
    "bias frame": FrameType.BIAS,
    "dark": FrameType.DARK,
    "darks": FrameType.DARK,
    "dark frame": FrameType.DARK,
    "darkflat": FrameType.DARK,
    "flat": FrameType.FLAT,
    "flats": FrameType.FLAT,
    "flat field": FrameType.FLAT,
    "flat frame": FrameType.FLAT,
    "skyflat": FrameType.FLAT,
    "lampflat": FrameType.FLAT,
    "dome flat": FrameType.FLAT,
}
FILTERS = {
    "U101": "U",
    "1": "U",
    "B102": "B",
    "2": "B",
    "V103": "V",
    "3": "V",
    "R104": "R",
    "4": "R",
    "0": "R",
    "I105": "I",
    "5": "I",
    "Y": "y",
    "Z": "z",
    "sloan_g": "g",
    "sloan_r": "r",
    "sloan_i": "i",
    "sloan_z": "z",
}
NGC = re.compile(r"ngc[ _]?0*(\d{1,4})", re.IGNORECASE)
GRAVITATIONAL_WAVE = ("S2", "MS2")
FULL_NAMES = {"SDSSJ1430": "SDSSJ1430+2303"}
NAMED_TYPE = re.compile(r"(bias|zero|dark|flat|light|object)[^a-z]", re.IGNORECASE)
HOURS = 24
ANY_GAIN = "any"
NO_RULES = HeaderRules()
# no camera exposes for a shorter time (CMOS: tens of microseconds), and no frame lasts longer than a day
SHORTEST_EXPOSURE_S, LONGEST_EXPOSURE_S = 1e-5, constants.DAY_S
# e-/ADU of any camera
EGAINS = (1e-3, 1e3)
# arcsec per radian, for pixel sizes in um and focal lengths in mm
ARCSEC_PER_UM_PER_MM = 206.264806


def normalise(
    header: Mapping[str, Value],
    *,
    name: str,
    unit: str,
    table: Sequence[Rewrite] = (),
    rules: HeaderRules = NO_RULES,
    folder: str = "",
) -> tuple[Header, tuple[str, ...]]:
    """Rewrite a raw header to one vocabulary.

    Parameters
    ----------
    header
        Cards as read.
    name
        Name of the file; its beginning gives the frame type if the header lacks it.
    unit
        Name of the telescope unit, written as ``OBS``.
    table
        A user's rewrites, applied last.
    rules
        How the camera's software names the facts, applied first.
    folder
        Name of the file's folder; it gives the frame type if header and file name lack it.

    Returns
    -------
    header, changes
        New cards, and a phrase for each changed value. Cards without a rule are kept.
    """
    new = dict(header)
    changes: list[str] = []
    chain: tuple[Rule, ...] = (
        _comma_rule,
        dialects.by_rules(rules),
        dialects.filter_of_two_wheels,
        dialects.aliases,
        dialects.gain,
        dialects.temperature,
        _type_rule(name, folder),
        _filter_rule,
        _object_rule,
        _date_rule,
        dialects.midnight,
        _julian_rule,
    )
    for rule in chain:
        _apply(new, rule(new), changes)
    if str(header.get("FILTER", "")).strip() == "0":
        changes.append("warning: FILTER 0 names no filter and is taken for R")
    _apply(new, {"OBS": unit}, changes)
    for row in table:
        if row.key in new and new[row.key] == row.value:
            _apply(new, {row.key: row.new}, changes)
    return new, tuple(changes)


def parse(
    header: Mapping[str, Value], *, path: Path, unit: str, shape: tuple[int, int], changes: tuple[str, ...] = ()
) -> Frame:
    """Convert normalised cards to a frame.

    Raises
    ------
    UnusableData
        If type, time, exposure or (of a light or flat) filter is missing or unknown.
    """
    type_ = _type(header)
    return Frame(
        path=path,
        type=type_,
        unit=unit,
        date_obs=_date_obs(header),
        exposure_s=_exposure(header, type_),
        filter=_filter(header) if type_ in (FrameType.LIGHT, FrameType.FLAT) else "",
        object=str(header.get("OBJECT", "")).strip() if type_ is FrameType.LIGHT else "",
        ra_deg=_angle(header, "RA", "OBJCTRA", hours=True, limits=(0.0, 360.0)),
        dec_deg=_angle(header, "DEC", "OBJCTDEC", hours=False, limits=(-90.0, 90.0)),
        gain_setting=_gain_setting(header),
        egain=_egain(header),
        binning=_whole(header, "XBINNING") or 1,
        temperature_c=number(header.get("CCD-TEMP")),
        shape=shape,
        changes=changes,
    )


def compared(frame: Frame, header: Mapping[str, Value], camera: Camera) -> Frame:
    """Return a frame with missing values filled from the camera, and a doubt for each that disagrees."""
    gains = camera.egain_e_per_adu
    nominal_egain = gains.get(str(frame.gain_setting), gains.get(ANY_GAIN))
    qa, doubts = QaBit(frame.qa), list(frame.doubts)
    if nominal_egain and frame.egain and abs(frame.egain / nominal_egain - 1) > camera.tolerance:
        qa |= QaBit.GAIN_DISAGREES
        doubts.append(f"EGAIN {frame.egain:.4g}, the camera has {nominal_egain:.4g} at {frame.gain_setting}")
    scale = _scale_arcsec(header)
    nominal = camera.pixel_scale_arcsec
    # some software writes the size of a binned pixel, some that of the chip's
    sizes = {1, frame.binning}
    if scale and nominal and all(abs(scale / (nominal * size) - 1) > camera.tolerance for size in sizes):
        qa |= QaBit.SCALE_DISAGREES
        doubts.append(f'scale {scale:.4g}" by XPIXSZ and FOCALLEN, the camera has {nominal:.4g}"')
    size = nominal * frame.binning if nominal else None
    return replace(frame, egain=frame.egain or nominal_egain, scale_arcsec=size, qa=int(qa), doubts=tuple(doubts))


def check_filter(frame: Frame, known: Collection[str]) -> None:
    """Raise ``UnusableData`` if the telescope lacks a light's or flat's filter; empty ``known`` allows any."""
    if frame.filter and known and frame.filter not in known:
        raise UnusableData(f"FILTER is {frame.filter!r} (allowed: {', '.join(sorted(known))})")


def julian_date(moment: datetime) -> float:
    """Return the Julian date (UTC) of an aware time."""
    return moment.timestamp() / constants.DAY_S + constants.UNIX_EPOCH_JD


def _apply(header: Header, values: Header, changes: list[str]) -> None:
    for key, value in values.items():
        before = header.get(key)
        if before != value or type(before) is not type(value):
            header[key] = value
            changes.append(f"{key}: {'nothing' if before is None else before} -> {value}")


def _comma_rule(header: Mapping[str, Value]) -> Header:
    return {
        key: float(value.replace(",", "."))
        for key, value in header.items()
        if isinstance(value, str) and card_values.DECIMAL_COMMA.fullmatch(value)
    }


def _type_rule(name: str, folder: str) -> Rule:
    def rule(header: Mapping[str, Value]) -> Header:
        word = str(header.get("IMAGETYP", "")).strip().lower()
        if not word and (match := NAMED_TYPE.match(name)) is not None:
            word = match[1].lower()
        if not word and is_type_folder(folder):
            word = folder.lower()
        return {"IMAGETYP": TYPES[word].value} if word in TYPES else {}

    return rule


def _filter_rule(header: Mapping[str, Value]) -> Header:
    word = str(header.get("FILTER", "")).strip()
    # a wheel position that stands for no known filter gets a name of its own
    return {"FILTER": FILTERS.get(word, f"W{word}" if word.isdigit() else word)} if word else {}


def _object_rule(header: Mapping[str, Value]) -> Header:
    name = str(header.get("OBJECT", "")).strip()
    if not name:
        return {}
    if (match := NGC.fullmatch(name)) is not None:
        return {"OBJECT": f"NGC{int(match[1]):04d}"}
    if not name.startswith(GRAVITATIONAL_WAVE):
        name = name.upper()
    return {"OBJECT": FULL_NAMES.get(name, name)}


def _date_rule(header: Mapping[str, Value]) -> Header:
    day = str(header.get("DATE-OBS", "")).strip()
    if not day or "T" in day:
        return {}
    times = (str(header[key]).strip() for key in dialects.TIME_KEYS if str(header.get(key, "")).strip())
    time = next(times, None)
    return {} if time is None else {"DATE-OBS": f"{day}T{time.replace(' ', ':')}"}


def _julian_rule(header: Mapping[str, Value]) -> Header:
    try:
        date = julian_date(_date_obs(header))
    except UnusableData:
        return {}
    return {"JD": date, "MJD": date - constants.MJD_ZERO_JD}


def _type(header: Mapping[str, Value]) -> FrameType:
    word = str(header.get("IMAGETYP", "")).strip()
    try:
        return FrameType(word)
    except ValueError:
        where = f"looked at {dialects.looked_at('IMAGETYP')}, the file's name and its folder"
        got = f"IMAGETYP is {word!r}" if word else f"IMAGETYP is missing ({where})"
        raise UnusableData(f"{got} (allowed: {', '.join(sorted(TYPES))})") from None


def _date_obs(header: Mapping[str, Value]) -> datetime:
    text = str(header.get("DATE-OBS", "")).strip()
    if "T" not in text:
        where = f"looked at {dialects.looked_at('DATE-OBS')}"
        raise UnusableData(
            f"DATE-OBS is {text!r} ({where}) and none of {', '.join(dialects.TIME_KEYS)} gives the time of day"
        )
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UnusableData(f"DATE-OBS is {text!r} (allowed: YYYY-MM-DDThh:mm:ss)") from None
    try:
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except OverflowError:
        raise UnusableData(f"DATE-OBS is {text!r}, beyond the calendar") from None


def _exposure(header: Mapping[str, Value], type_: FrameType) -> float:
    exposure = number(header.get("EXPTIME"))
    if type_ is FrameType.BIAS:
        return max(0.0, exposure or 0.0)
    if exposure is None or not SHORTEST_EXPOSURE_S <= exposure <= LONGEST_EXPOSURE_S:
        got = header.get("EXPTIME", "missing")
        raise UnusableData(f"EXPTIME is {got!r} (allowed: {SHORTEST_EXPOSURE_S:g} to {LONGEST_EXPOSURE_S:g} s)")
    return exposure


def _filter(header: Mapping[str, Value]) -> str:
    word = str(header.get("FILTER", "")).strip()
    if not word:
        where = dialects.looked_at("FILTER")
        raise UnusableData(f"FILTER is missing (needed for lights and flats; looked at {where})")
    return naming.filter_name(word)


def _angle(
    header: Mapping[str, Value], key: str, text_key: str, *, hours: bool, limits: tuple[float, float]
) -> float | None:
    """Return a coordinate in degrees: numbers are in degrees; sexagesimal RA is in hours."""
    for value in (header.get(key), header.get(text_key)):
        angle = number(value)
        if angle is None and isinstance(value, str) and (parts := card_values.sexagesimal(value)) is not None:
            # of some software right ascension is in degrees and minutes of arc
            angle = 15 * parts if hours and parts < HOURS else parts
        if angle is not None and limits[0] <= angle <= limits[1]:
            return angle
    return None


def is_type_folder(name: str) -> bool:
    """Return whether a folder's name says of which type its frames are: bias, darks, flats, lights."""
    return name.lower() in TYPES


def _gain_setting(header: Mapping[str, Value]) -> int | None:
    """Return the camera's setting; e-/ADU in ``GAIN`` is none."""
    return None if number(header.get("GAIN")) == number(header.get("EGAIN")) else _whole(header, "GAIN")


def _egain(header: Mapping[str, Value]) -> float | None:
    value = number(header.get("EGAIN"))
    return value if value is not None and EGAINS[0] <= value <= EGAINS[1] else None


def _scale_arcsec(header: Mapping[str, Value]) -> float | None:
    """Return the scale in arcsec per pixel from pixel size (um) and focal length (mm), None without both."""
    pixel, focal = number(header.get("XPIXSZ")), number(header.get("FOCALLEN"))
    return ARCSEC_PER_UM_PER_MM * pixel / focal if pixel and focal and min(pixel, focal) > 0 else None


def _whole(header: Mapping[str, Value], key: str) -> int | None:
    value = number(header.get(key))
    return int(value) if value is not None and value >= 0 and value == int(value) else None
