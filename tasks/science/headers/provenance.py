"""Provenance cards of masters and calibrated lights, and their figures for the next stage."""

from __future__ import annotations

import functools
import operator
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from tasks import constants
from tasks.options import HeaderRewrite
from tasks.records import Frame, HeaderRules, MaskBit, MasterQuality, QaBit
from tasks.science.headers import card_values, raw_headers
from tasks.science.headers.card_values import Header

# the numbers of these cards have three digits
MOST_INPUTS = 999
# cards of the raw array that do not hold for the calibrated one
# a raw frame's own WCS is dropped: programs written in C would parse it, and we solve again
WCS_CARD = re.compile(
    r"(CTYPE|CRVAL|CRPIX|CUNIT|CDELT|CROTA|CRDER|CSYER|CNAME)\d+[A-Z]?|(CD|PC|PV|PS|DP|DQ)\d+_\d+[A-Z]?"
    r"|(LONPOLE|LATPOLE|WCSAXES|WCSNAME|RADESYS|EQUINOX|SPECSYS)[A-Z]?|RADECSYS|EPOCH"
    r"|[AB]P?_(ORDER|DMAX|\d_\d)|(PROJP|PV|TR)\d+.*|(CPDIS|CQDIS|CPERR|CQERR|DVERR)\d+.*"
)
RAW_ONLY = ("BZERO", "BSCALE", "PEDESTAL", "CBLACK", "CWHITE", "DATAMIN", "DATAMAX")


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Figures of one calibrated light: gain in e-/ADU, read noise in e-, saturation in units of the image."""

    gain: float
    read_noise_e: float
    saturation_adu: float
    dark_scale: float
    bits: Mapping[MaskBit, int]
    unevenness: float = 0.0
    qa: int = 0
    doubts: tuple[str, ...] = ()


def master_cards(
    frames: Sequence[Frame],
    raw: Sequence[Mapping[str, card_values.Value]],
    table: Sequence[HeaderRewrite] = (),
    rules: HeaderRules = raw_headers.NO_RULES,
) -> Header:
    """Return the cards of the first input, with the mean time and the names of all inputs."""
    first = _normalised(frames[0], raw[0], table, rules)
    mean = datetime.fromtimestamp(sum(frame.date_obs.timestamp() for frame in frames) / len(frames), UTC)
    names = {f"IMCMB{number:03d}": frame.path.name for number, frame in enumerate(frames[:MOST_INPUTS], start=1)}
    return {**_without_raw(first), **_times(mean), "NCOMBINE": len(frames), **names}


def _normalised(
    frame: Frame, raw: Mapping[str, card_values.Value], table: Sequence[HeaderRewrite], rules: HeaderRules
) -> Header:
    name, folder = frame.path.name, frame.path.parent.name
    return raw_headers.normalise(raw, name=name, unit=frame.unit, table=table, rules=rules, folder=folder)[0]


def light_cards(
    frame: Frame,
    raw: Mapping[str, card_values.Value],
    facts: Facts,
    masters: Mapping[str, tuple[str, datetime | None]],
    table: Sequence[HeaderRewrite] = (),
    rules: HeaderRules = raw_headers.NO_RULES,
) -> Header:
    """Return the cards of a calibrated light.

    Parameters
    ----------
    frame
        The light.
    raw
        Its cards as read.
    facts
        Its gain, read noise and saturation.
    masters
        Name and mean time of each master, by ``BIAS``, ``DARK``, ``FLAT`` and ``BPM``.
    table, rules
        A user's rewrites of the raw cards, and how the camera's software names the facts.
    """
    header = _normalised(frame, raw, table, rules)
    position = {"RA": frame.ra_deg, "DEC": frame.dec_deg}
    ages = {
        f"{key}AGE": round(abs((frame.date_obs - moment).total_seconds()) / constants.DAY_S, 4)
        for key, (_, moment) in masters.items()
        if moment is not None
    }
    return {
        **_without_raw(header),
        **_times(frame.date_obs),
        **{key: value for key, value in position.items() if value is not None},
        "EXPTIME": frame.exposure_s,
        "FILTER": frame.filter,
        "OBJECT": frame.object,
        "BUNIT": "adu",
        "EGAIN": facts.gain,
        "RDNOISE": facts.read_noise_e,
        "SATURATE": facts.saturation_adu,
        "DARKSCAL": facts.dark_scale,
        "SKYUNEV": round(facts.unevenness, 4),
        **{f"{key}NAME": name for key, (name, _) in masters.items()},
        **ages,
        **{f"NMASK{bit.value}": number for bit, number in facts.bits.items()},
        **qa_cards(facts.qa, facts.doubts),
    }


def fringe_cards(name: str, scale: float) -> Header:
    """Return the cards of the subtracted fringe frame, name and scale; none if none was subtracted."""
    return {"FRNGNAME": name, "FRNGSCAL": scale} if name else {}


def judged(facts: Facts, *, unevenness: float, spared: int = 0, fwhm_px: float = 0.0) -> Facts:
    """Return a light's facts with the flags of its planes.

    They are that of an uneven sky, if its noise exceeds the limit ``unevenness``, and that of sharp stars, if the search for
    cosmic rays took ``spared`` of them, of ``fwhm_px``, for rays.
    """
    if facts.unevenness > unevenness:
        words = f"sky noise off by {facts.unevenness:.0%} in a part of the frame"
        facts = replace(facts, qa=facts.qa | QaBit.SKY_UNEVEN, doubts=(*facts.doubts, words))
    if spared:
        words = f"{spared} stars of {fwhm_px:g} px looked like cosmic rays and were spared"
        facts = replace(facts, qa=facts.qa | QaBit.STARS_SPARED, doubts=(*facts.doubts, words))
    return facts


def qa_cards(bits: int, words: Sequence[str]) -> Header:
    """Return the quality cards, flag and text; the text is cut to the length of one card."""
    text = "; ".join(words)
    return {
        "QAFLAG": bits,
        "QATEXT": text if len(text) <= constants.CARD_TEXT else f"{text[: constants.CARD_TEXT - 3]}...",
    }


def joined_doubts(inputs: Sequence[Mapping[str, card_values.Value]]) -> Header:
    """Return the quality cards of a product of several images: all their bits, and each text once."""
    flags = [int(card_values.number(cards.get("QAFLAG")) or 0) for cards in inputs]
    words = [word for cards in inputs for word in str(cards.get("QATEXT", "")).split("; ") if word]
    return qa_cards(functools.reduce(operator.or_, flags, 0), list(dict.fromkeys(words)))


def with_doubt(header: Mapping[str, card_values.Value], bit: QaBit, words: str) -> Header:
    """Return the quality cards of a header with a doubt added; empty ``words`` clear its bit."""
    flag, text = int(card_values.number(header.get("QAFLAG")) or 0), str(header.get("QATEXT", ""))
    earlier = [doubt for doubt in text.split("; ") if doubt and doubt != words]
    return qa_cards(flag | bit if words else flag & ~bit, [words, *earlier] if words else earlier)


def quality(
    sources: Sequence[MasterQuality], limits_days: Mapping[str, float], *, scale: float
) -> tuple[int, list[str]]:
    """Return the bits of ``QaBit`` that a light inherits from its masters, and their texts.

    Parameters
    ----------
    sources
        Quality of its masters.
    limits_days
        Age limit by kind.
    scale
        Exposure of the light over that of its dark.
    """
    bits, words = QaBit(0), []
    for master in sources:
        kind = master.kind.upper()
        if master.status == "doubtful":
            bits |= QaBit[f"{kind}_DOUBTFUL"]
            words.append(f"doubtful {master.kind}: {', '.join(master.faults)}")
        if master.status == "borrowed":
            bits |= QaBit[f"{kind}_BORROWED"]
            words.append(f"{master.kind} {master.age_days:g} d old")
        if master.age_days > limits_days[master.kind]:
            bits |= QaBit[f"{kind}_OLD"]
    if scale != 1:
        bits |= QaBit.DARK_SCALED
        words.append(f"dark scaled by {scale:g}")
    return int(bits), words


def mean_time(cards: Mapping[str, card_values.Value]) -> datetime | None:
    """Return a master's mean time, or None if its cards lack it."""
    try:
        return datetime.fromisoformat(str(cards.get("DATE-OBS", ""))).replace(tzinfo=UTC)
    except ValueError:
        return None


def _times(moment: datetime) -> Header:
    date = raw_headers.julian_date(moment)
    text = moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds")
    return {"DATE-OBS": text, "JD": date, "MJD": date - constants.MJD_ZERO_JD}


def _without_raw(header: Mapping[str, card_values.Value]) -> Header:
    return {key: value for key, value in header.items() if key not in RAW_ONLY and not WCS_CARD.fullmatch(key)}
