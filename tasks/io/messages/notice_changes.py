"""Notable changes from one notice to the next, as sentences."""

from __future__ import annotations

import math
from collections.abc import Iterable

from tasks.io.messages import number_words
from tasks.records import Alert, Decision, Kind, Notice, SkyMapSummary
from tasks.records.skymaps import Overlap

# smaller changes do not matter to an observer
AREA_FACTOR = 1.05
DISTANCE_FACTOR = 1.03
CLASS_STEP = 0.02
RATE_FACTOR = 1.1
# if both maps have the same 90 % region, it holds 90 % of the new probability and no area lies outside
OUTSIDE_STEP = 0.15


def between(
    previous: Alert | None,
    alert: Alert,
    previous_decision: Decision | None = None,
    decision: Decision | None = None,
    overlap: Overlap | None = None,
) -> list[str]:
    """Return the notable changes in ``alert``; empty if there are none."""
    if previous is None:
        return []
    facts = _gw(previous, alert) if alert.notice.kind is Kind.GW else _grb(previous.notice, alert.notice)
    return [*facts, *_kept(overlap), *_decisions(previous_decision, decision)]


def _kept(overlap: Overlap | None) -> Iterable[str]:
    """Report how much of the old 90 % region is still likely, if the maps differ."""
    if overlap is not None and (overlap.outside >= OUTSIDE_STEP or overlap.held <= 1 - OUTSIDE_STEP):
        held, outside = (f"{100 * part:.1f} %" for part in (overlap.held, overlap.outside))
        yield f"the old 90 % region holds {held} of the new probability; {outside} of its area lies outside the new one"


def _gw(previous: Alert, alert: Alert) -> Iterable[str]:
    before, now = previous.notice, alert.notice
    yield from _maps(previous.best_map, alert.best_map)
    if alert.combined is not None and previous.combined is None:
        yield "combined sky map available: areas and distance are now from it"
    yield from _classes(before, now)
    yield from _rates(before.far_hz, now.far_hz)
    if before.instruments != now.instruments:
        yield f"instruments {number_words.sites(before.instruments)} → {number_words.sites(now.instruments)}"
    if now.coincidence is not None and before.coincidence is None:
        yield f"coincidence with {now.coincidence.observatory or 'another observatory'}"
    if before.significant is False and now.significant:
        yield "now significant"


def _grb(before: Notice, now: Notice) -> Iterable[str]:
    if now.retraction:
        return
    if now.ra_deg is not None and now.dec_deg is not None:
        place = f"{number_words.right_ascension(now.ra_deg)} {number_words.declination(now.dec_deg)}"
        yield f"{now.instrument or now.mission} position {place}, {number_words.radius(now)}"
    yield from _offset(before, now)
    if now.magnitude is not None and now.magnitude != before.magnitude:
        yield f"magnitude {now.magnitude:.2f}"
    if now.slew_status and now.slew_status != before.slew_status:
        yield f"slew: {now.slew_status}"
    if added := [flag for flag in now.flags if flag not in before.flags]:
        yield f"flagged {', '.join(added)}"


def _offset(before: Notice, now: Notice) -> Iterable[str]:
    if words := number_words.offset(now, before):
        yield words


def _maps(before: SkyMapSummary | None, now: SkyMapSummary | None) -> Iterable[str]:
    if now is None:
        return
    if before is None:
        yield f"first sky map: {number_words.area(now.area90_deg2)} (90 %), {number_words.distance(now)}"
        return
    if _differs(before.area90_deg2, now.area90_deg2, AREA_FACTOR):
        yield f"90 % area {number_words.area(before.area90_deg2)} → {number_words.area(now.area90_deg2)}"
    if _differs(before.area50_deg2, now.area50_deg2, AREA_FACTOR):
        yield f"50 % area {number_words.area(before.area50_deg2)} → {number_words.area(now.area50_deg2)}"
    if _differs(before.distance_mpc, now.distance_mpc, DISTANCE_FACTOR):
        yield f"distance {number_words.distance(before)} → {number_words.distance(now)}"


def _classes(before: Notice, now: Notice) -> Iterable[str]:
    old, new = before.classification or {}, now.classification or {}
    for label in sorted({*old, *new}):
        was, became = old.get(label), new.get(label)
        if was is None or became is None or abs(was - became) >= CLASS_STEP:
            yield f"{label} {number_words.percent(was)} → {number_words.percent(became)}"


def _rates(before: float | None, now: float | None) -> Iterable[str]:
    if _differs(before, now, RATE_FACTOR):
        yield f"false-alarm rate {number_words.rate(before)} → {number_words.rate(now)}"


def _decisions(before: Decision | None, now: Decision | None) -> Iterable[str]:
    if before is None or now is None:
        return
    if before.action != now.action or before.score != now.score:
        yield f"decision {_verdict(before)} → {_verdict(now)}"


def _verdict(decision: Decision) -> str:
    return decision.action if decision.score is None else f"{decision.action} ({decision.score})"


def _differs(before: float | None, now: float | None, factor: float) -> bool:
    """Return whether two positive numbers differ by more than a factor, or only one of them is known."""
    if before is None or now is None:
        return before is not now
    if min(before, now) <= 0 or not (math.isfinite(before) and math.isfinite(now)):
        return before != now
    return max(before, now) / min(before, now) > factor
