"""Header dialects: how cameras and their software name the facts of a frame, translated to one set of cards.

The names are those of 7DT, ASCOM and MaxIm DL, NINA, SBIG, INDI, LCO (BANZAI) and SAAO. What a telescope's own software
adds is told in its file, ``camera.header``; those rules come first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from tasks.records import HeaderRules
from tasks.science.headers import card_values
from tasks.science.headers.card_values import Header, Value

# our card -> the others that are looked at in turn where it is missing
ALIASES: Mapping[str, tuple[str, ...]] = {
    "IMAGETYP": ("IMAGETYPE", "IMGTYPE", "OBSTYPE", "OBS-TYPE", "FRAMETYP", "FRAME", "DATA-TYP"),
    "FILTER": ("FILTERS", "FILTER1", "FILTER2", "FILTNAM", "FILTERID", "INSFILTE", "FILT"),
    "EXPTIME": ("EXPOSURE", "EXP_TIME", "EXPOSED", "ITIME", "TEXPTIME"),
    "DATE-OBS": ("DATE_OBS", "DATEOBS", "DATE-BEG", "DATE-STA", "UTSHUT"),
    "RA": ("OBJCTRA", "TELRA", "RA_OBS", "OBJRA", "RA-TEL", "CAT-RA", "RA_OBJ"),
    "DEC": ("OBJCTDEC", "TELDEC", "DEC_OBS", "OBJDEC", "DEC-TEL", "CAT-DEC", "DEC_OBJ"),
    "CCD-TEMP": ("SET-TEMP", "CCDTEMP", "CCDATEMP", "DETTEMP", "CAMTEMP", "SENSTEMP", "TEMPERAT"),
    "XBINNING": ("BINX", "CCDXBIN", "XBIN"),
    "EGAIN": ("GAIN_E", "E-GAIN", "EPERADU"),
    "OBJECT": ("OBJNAME", "TARGNAME", "TARGET"),
}
TIME_KEYS = ("TIME-OBS", "UT", "UTSTART", "UT-OBS", "UTC-OBS", "STARTTIM")
# words for a filter wheel's open or empty place, beside which another wheel's filter counts
OPEN = frozenset({"", "air", "clear", "empty", "none", "open", "n/a", "unknown"})
PAIR = ("FILTER1", "FILTER2")
# no sensor runs at 150 C: such a number is in kelvin
KELVIN_FROM, KELVIN_ZERO = 150.0, 273.15
GAIN_WITH_UNIT = re.compile(r"\s*([0-9]*\.?[0-9]+)\s*/?\s*\(?(?:e-?|electrons?)\s*/\s*(?:adu|dn)\)?.*", re.IGNORECASE)
# LCO writes e-/ADU in GAIN, whole numbers too
E_PER_ADU_ORIGINS = frozenset({"LCOGT", "LCO/OCIW"})
MIDNIGHT = re.compile(r"(\d{4}-\d{2}-\d{2})T24:00:00(?:\.0*)?(Z?)$")
LEAP = re.compile(r"(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}):60(\.\d*)?(Z?)$")


def looked_at(card: str) -> str:
    """Return the cards that are looked at for a fact, for an error."""
    return ", ".join((card, *ALIASES.get(card, ())))


def by_rules(rules: HeaderRules) -> Callable[[Mapping[str, Value]], Header]:
    """Return the rule of a telescope's own cards: copied, computed, added where missing, and mapped, in this order."""

    def rule(header: Mapping[str, Value]) -> Header:
        made: Header = {}
        for card, sources in rules.copy_cards.items():
            if _is_empty(header.get(card)):
                found = next((header[source] for source in sources if not _is_empty(header.get(source))), None)
                made |= {} if found is None else {card: found}
        for card, line in rules.compute.items():
            number = card_values.number(header.get(line.card))
            if number is not None:
                made[card] = line.factor * number + line.offset
        made |= {card: value for card, value in rules.add.items() if _is_empty({**header, **made}.get(card))}
        for card, words in rules.map_values.items():
            word = str({**header, **made}.get(card, "")).strip()
            if word in words:
                made[card] = words[word]
        return made

    return rule


def aliases(header: Mapping[str, Value]) -> Header:
    """Return our cards that are missing, from the others that may hold the fact."""
    made: Header = {}
    for card, others in ALIASES.items():
        if _is_empty(header.get(card)):
            found = next((header[other] for other in others if not _is_empty(header.get(other))), None)
            made |= {} if found is None else {card: found}
    return made


def filter_of_two_wheels(header: Mapping[str, Value]) -> Header:
    """Return the filter of the wheel that is not open, where two are given and neither card ``FILTER``."""
    if not _is_empty(header.get("FILTER")) or not all(card in header for card in PAIR):
        return {}
    words = [str(header[card]).strip() for card in PAIR]
    used = [word for word in words if word.lower() not in OPEN]
    return {"FILTER": "+".join(used) if used else words[0]}


def gain(header: Mapping[str, Value]) -> Header:
    """Return e-/ADU as ``EGAIN`` where ``GAIN`` holds that: with its unit, not a whole number, or of such an origin.

    A whole number is a setting of a camera.
    """
    value = header.get("GAIN")
    if not _is_empty(header.get("EGAIN")) or isinstance(value, bool) or value is None:
        return {}
    if isinstance(value, str) and (stated := GAIN_WITH_UNIT.fullmatch(value)):
        return {"EGAIN": float(stated[1])}
    number = card_values.number(value)
    origin = str(header.get("ORIGIN", "")).strip() in E_PER_ADU_ORIGINS
    if number is not None and number > 0 and (number != int(number) or origin):
        return {"EGAIN": number}
    return {}


def temperature(header: Mapping[str, Value]) -> Header:
    """Return the sensor's temperature in C where it is given in kelvin."""
    number = card_values.number(header.get("CCD-TEMP"))
    return {} if number is None or number < KELVIN_FROM else {"CCD-TEMP": round(number - KELVIN_ZERO, 3)}


def midnight(header: Mapping[str, Value]) -> Header:
    """Return the start with a time of day that the calendar has: 24:00:00 is the next day, second 60 the next minute."""
    text = str(header.get("DATE-OBS", "")).strip()
    end, leap = MIDNIGHT.fullmatch(text), LEAP.fullmatch(text)
    try:
        if end:
            day = datetime.fromisoformat(end[1]) + timedelta(days=1)
            return {"DATE-OBS": f"{day:%Y-%m-%d}T00:00:00{end[2]}"}
        if leap:
            minute = datetime.fromisoformat(leap[1]) + timedelta(minutes=1)
            return {"DATE-OBS": f"{minute:%Y-%m-%dT%H:%M:00}{leap[2] or ''}{leap[3]}"}
    except (ValueError, OverflowError):
        pass
    return {}


def _is_empty(value: Value | None) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())
