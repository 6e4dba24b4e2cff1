"""Numbers as text for messages and pages; a missing number is written as "not given"."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from astropy.coordinates import SkyCoord, angular_separation

from tasks import constants
from tasks.records import Alert, Kind, Notice, SkyMapSummary
from tasks.records.bursts import Outlook, View

HOUR_S = 3600.0
ABSENT = "not given"
THIN_SPACE = "\u202f"
MINUS = "\u2212"
ARCMIN, ARCSEC = "\u2032", "\u2033"

CLASS_SYMBOLS = {"BBH": "⚫⚫", "NSBH": "🌟⚫", "BNS": "🌟🌟", "Terrestrial": "🌍"}
TYPE_SYMBOLS = {"EARLYWARNING": "⏰", "PRELIMINARY": "🟡", "INITIAL": "🟢", "UPDATE": "🔄", "RETRACTION": "❌"}
SITES = {"H1": "Hanford", "L1": "Livingston", "V1": "Virgo", "K1": "KAGRA"}


def rate(far_hz: float | None) -> str:
    """Format a false-alarm rate in Hz as one event per time."""
    if far_hz is None or not math.isfinite(far_hz) or far_hz < 0:
        return ABSENT
    if far_hz == 0:
        return "practically never"
    seconds = 1 / far_hz
    if seconds < HOUR_S:
        return f"one per {seconds / 60:.1f} minutes"
    if seconds < constants.DAY_S:
        return f"one per {seconds / HOUR_S:.1f} hours"
    if seconds < constants.JULIAN_YEAR_S:
        return f"one per {seconds / constants.DAY_S:.1f} days"
    years = seconds / constants.JULIAN_YEAR_S
    if years < 10:
        return f"one per {years:.1f} years"
    return f"one per {grouped(years)} years" if years < 1e9 else "less than one per billion years"


def grouped(number: float) -> str:
    """Format a whole number in groups of three digits; four digits stay together."""
    digits = f"{number:.0f}"
    return digits if len(digits) <= 4 else f"{float(digits):,.0f}".replace(",", THIN_SPACE)


def area(deg2: float | None) -> str:
    """Format an area with about three digits."""
    if deg2 is None or not math.isfinite(deg2):
        return ABSENT
    if deg2 >= 100:
        return f"{grouped(deg2)} deg²"
    return f"{deg2:.1f} deg²" if deg2 >= 1 else f"{deg2:.2g} deg²"


def distance(summary: SkyMapSummary | None) -> str:
    """Format a map's distance with its standard deviation."""
    if summary is None:
        return "no map yet"
    if summary.distance_mpc is None or not math.isfinite(summary.distance_mpc):
        return "no distance"
    spread = "" if summary.distance_std_mpc is None else f" ± {grouped(summary.distance_std_mpc)}"
    return f"{grouped(summary.distance_mpc)}{spread} Mpc"


def interval(summary: SkyMapSummary | None) -> str:
    """Format the central 90 % interval of a map's distance; empty if it is unknown."""
    if summary is None or summary.distance_p05_mpc is None or summary.distance_p95_mpc is None:
        return ""
    return f"{grouped(summary.distance_p05_mpc)}-{grouped(summary.distance_p95_mpc)} Mpc (90 %)"


def percent(probability: float | None) -> str:
    """Format a probability in whole percents; 0 and 100 only if exact."""
    if probability is None or not math.isfinite(probability):
        return ABSENT
    if 0 < probability < 0.005:
        return "< 1 %"
    if 0.995 < probability < 1:
        return "> 99 %"
    return f"{100 * probability:.0f} %"


def ranked(classes: Mapping[str, float] | None) -> list[tuple[str, float]]:
    """Return classes by falling probability."""
    return sorted((classes or {}).items(), key=lambda item: (-item[1], item[0]))


def top_class(notice: Notice) -> str:
    """Return the most probable class with its probability."""
    classes = ranked(notice.classification)
    return f"{classes[0][0]} {percent(classes[0][1])}" if classes else f"class {ABSENT}"


def sites(instruments: tuple[str, ...] | None) -> str:
    """Return detectors with their sites; an unknown code stays as it is."""
    if not instruments:
        return ABSENT
    return ", ".join(f"{code} {SITES[code]}" if code in SITES else code for code in instruments)


def moment(time: datetime | None) -> str:
    """Format a time in UTC to the millisecond; a zero fraction is left out."""
    if time is None:
        return ABSENT
    utc = time.astimezone(UTC) + timedelta(microseconds=500)
    fraction = f".{utc.microsecond // 1000:03d}" if utc.microsecond >= 1000 else ""
    return f"{utc:%Y-%m-%d %H:%M:%S}{fraction} UTC"


def duration(seconds: float) -> str:
    """Format a duration in its two largest units."""
    total = abs(seconds)
    if total < 60:
        return f"{total:.0f} s" if total >= 10 else f"{total:.1f} s"
    units = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
    rest = round(total)
    words: list[str] = []
    for name, size in units:
        count, rest = divmod(rest, size)
        if count or words:
            words.append(f"{count} {name}")
    return " ".join(words[:2])


def delay(time: datetime | None, since: datetime | None) -> str:
    """Format the time after T0; an early warning may be before T0."""
    if time is None or since is None:
        return ""
    seconds = (time - since).total_seconds()
    return f"{duration(seconds)} {'before' if seconds < 0 else 'after'} T0"


def right_ascension(ra_deg: float) -> str:
    """Format a right ascension to 0.01 s."""
    hundredths = round(ra_deg / 15 * 360_000) % (24 * 360_000)
    return f"{hundredths // 360_000:02d}:{hundredths // 6000 % 60:02d}:{hundredths % 6000 / 100:05.2f}"


def declination(dec_deg: float) -> str:
    """Format a declination to 0.1 arcsec, with a typographic minus sign."""
    tenths = round(abs(dec_deg) * 36_000)
    sign = MINUS if dec_deg < 0 and tenths else "+"
    return f"{sign}{tenths // 36_000:02d}:{tenths // 600 % 60:02d}:{tenths % 600 / 10:04.1f}"


def degrees(ra_deg: float, dec_deg: float) -> str:
    """Format a position in degrees, to 0.04 arcsec."""
    return f"{ra_deg:.5f}°, {dec_deg:+.5f}°".replace("-", MINUS)


def place(ra_deg: float, dec_deg: float) -> tuple[str, str]:
    """Format a position sexagesimally and in degrees."""
    return f"{right_ascension(ra_deg)} {declination(dec_deg)}", degrees(ra_deg, dec_deg)


def outlook(position: Outlook | None) -> list[tuple[str, str]]:
    """Return label and text of each fact on a position's observability."""
    if position is None:
        return []
    return [
        ("Sun / Moon", f"{position.sun_deg:.1f}° / {position.moon_deg:.1f}°"),
        ("Visible", "; ".join(map(view, position.views))),
    ]


def view(seen: View) -> str:
    """Return when a telescope can observe a position, or why it cannot within a day."""
    if seen.start is None or seen.end is None:
        return f"{seen.telescope} not within a day: {seen.reason}"
    span = f"{seen.start:%m-%d %H:%M} to {seen.end:%H:%M} UTC"
    return f"{seen.telescope} {span}, up to {seen.highest_deg or 0.0:.0f}°"


def radius(notice: Notice) -> str:
    """Format a position's error in degrees, arcmin or arcsec by its size, with its containment if given."""
    error = notice.error_deg
    if error is None or not math.isfinite(error) or error < 0:
        return f"error {ABSENT}"
    if error >= 1:
        words = f"{error:.1f}°"
    elif error >= 1 / 60:
        words = f"{error * 60:.1f}{ARCMIN}"
    else:
        words = f"{error * 3600:.1f}{ARCSEC}"
    return words if notice.containment is None else f"{words} ({percent(notice.containment)})"


def galactic_latitude_deg(ra_deg: float, dec_deg: float) -> float:
    """Return the Galactic latitude of an ICRS position, in degrees."""
    return float(SkyCoord(ra_deg, dec_deg, unit="deg").galactic.b.deg)


def separation_deg(one: Notice, other: Notice) -> float | None:
    """Return the angle between the positions of two notices, in degrees; None if one has no position."""
    places = [angle for angle in (one.ra_deg, one.dec_deg, other.ra_deg, other.dec_deg) if angle is not None]
    return math.degrees(angular_separation(*map(math.radians, places))) if len(places) == 4 else None


def offset(now: Notice, before: Notice) -> str:
    """Return the distance of a position from the previous one, with a warning if it exceeds the errors of both."""
    apart = separation_deg(before, now)
    if apart is None:
        return ""
    whose = f"the {before.instrument} position" if before.instrument else "the previous position"
    words = f"{angle(apart)} from {whose}"
    return f"{words}, outside its error: check before pointing" if is_outside(now, before) else words


def is_outside(now: Notice, before: Notice) -> bool:
    """Return whether the distance between two positions exceeds their errors added in quadrature."""
    apart = separation_deg(before, now)
    return (
        apart is not None and before.error_deg is not None and apart > math.hypot(before.error_deg, now.error_deg or 0)
    )


def angle(deg: float) -> str:
    """Format an angle in degrees, arcmin or arcsec by its size."""
    if deg >= 1:
        return f"{deg:.1f}°"
    return f"{deg * 60:.2f}{ARCMIN}" if deg >= 1 / 60 else f"{deg * 3600:.1f}{ARCSEC}"


def name(notice: Notice) -> str:
    """Return an event's name as observers write it."""
    return notice.event_id if notice.kind is Kind.GW else f"{notice.mission} {notice.event_id}"


def sentence(alert: Alert, action: str = "") -> str:
    """Summarise an alert in one sentence: event, kind, class, area, distance, rate, decision."""
    notice = alert.notice
    test = "TEST " if notice.test else ""
    if notice.retraction:
        return f"{test}{name(notice)} was retracted."
    facts = _gw_facts(alert) if notice.kind is Kind.GW else _grb_facts(notice)
    decided = f"; {action}" if action else ""
    return f"{test}{name(notice)} {notice.alert_type}: {', '.join(facts)}{decided}."


def _gw_facts(alert: Alert) -> list[str]:
    best = alert.best_map
    where = f"{area(best.area90_deg2)} (90 %), {distance(best)}" if best else "no map yet"
    return [top_class(alert.notice), where, rate(alert.notice.far_hz)]


def _grb_facts(notice: Notice) -> list[str]:
    classes = [top_class(notice)] if notice.classification else []
    if notice.ra_deg is None or notice.dec_deg is None:
        return [notice.instrument or notice.mission, *classes, "no position"]
    place = f"{right_ascension(notice.ra_deg)} {declination(notice.dec_deg)} ± {radius(notice)}"
    return [notice.instrument or notice.mission, *classes, place.replace(f"± error {ABSENT}", f"(error {ABSENT})")]
