"""The best position of an event, from all its notices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from tasks import constants
from tasks.records import Alert, Kind, Notice
from tasks.records.bursts import Burst

# usual error of each instrument, for notices that state none, in degrees: missions' user guides, rounded
TYPICAL_ERROR_DEG = {
    "UVOT": 1 / 3600,
    "VT": 1 / 3600,
    "XRT": 5 / 3600,
    "FXT": 20 / 3600,
    "MXT": 2 / 60,
    "WXT": 3 / 60,
    "BAT": 3 / 60,
    "ECLAIRS": 10 / 60,
    "GBM": 5.0,
}
# wider than any above, so that a position of a known instrument is preferred
UNKNOWN_ERROR_DEG = 10.0
FROM_FIRST = ("time", "rate_snr", "image_snr", "duration_trigger_s", "energy_kev")
FROM_LAST = ("slew_status", "magnitude")


def best(alerts: Sequence[Alert]) -> Notice | None:
    """Return the notice with the best position: of each instrument's latest, the one with the smallest error.

    Parameters
    ----------
    alerts
        All alerts of one event, in any order.

    Returns
    -------
    Notice or None
        None if no notice has a position.
    """
    latest: dict[str, Notice] = {}
    for alert in sorted(alerts, key=_age):
        notice = alert.notice
        if notice.ra_deg is not None and notice.dec_deg is not None and not notice.retraction:
            latest[(notice.instrument or "").upper()] = notice
    return min(latest.values(), key=error90_deg, default=None)


def trail(alerts: Sequence[Alert]) -> tuple[Notice, ...]:
    """Return the successive best positions, in order of the notices' creation; the last is that of ``best``."""
    ordered = sorted(alerts, key=_age)
    positions: list[Notice] = []
    for number in range(1, len(ordered) + 1):
        now = best(ordered[:number])
        if now is not None and (not positions or positions[-1] is not now):
            positions.append(now)
    return tuple(positions)


def located(alerts: Sequence[Alert]) -> Alert | None:
    """Return the alert with the best position of a burst; None without any position, and for gravitational waves."""
    chosen = best([alert for alert in alerts if alert.notice.kind is Kind.GRB])
    return next((alert for alert in reversed(alerts) if alert.notice is chosen), None)


def burst(alerts: Sequence[Alert]) -> Burst:
    """Combine all notices of one burst; the order of arrival does not matter.

    Parameters
    ----------
    alerts
        All alerts of one event, at least one.
    """
    notices = [alert.notice for alert in sorted(alerts, key=_age) if not alert.notice.retraction] or [alerts[0].notice]
    dated = [notice for notice in notices if notice.time_created is not None]
    path = trail(alerts)
    facts = replace(
        (dated or notices)[0],
        **{name: _known(notices, name) for name in FROM_FIRST},
        **{name: _known(notices[::-1], name) for name in FROM_LAST},
        flags=tuple(dict.fromkeys(flag for notice in notices for flag in notice.flags)),
    )
    return Burst(facts=facts, position=path[-1] if path else None, before=path[-2] if len(path) > 1 else None)


def _known(notices: Sequence[Notice], name: str) -> Any:
    return next((value for notice in notices if (value := getattr(notice, name)) is not None), None)


def error_deg(notice: Notice) -> float:
    """Return a position's error in degrees: as stated, else the usual error of its instrument."""
    if notice.error_deg is not None and notice.error_deg > 0:
        return notice.error_deg
    return TYPICAL_ERROR_DEG.get((notice.instrument or "").upper(), UNKNOWN_ERROR_DEG)


def error90_deg(notice: Notice) -> float:
    """Return the 90 % error radius in degrees: missions state radii of different containment.

    For a two-dimensional Gaussian the radius is proportional to sqrt(-ln(1 - p)): r90 = 1.42 r68.
    """
    stated = notice.containment if notice.containment and 0 < notice.containment < 1 else constants.USUAL_CONTAINMENT
    return error_deg(notice) * math.sqrt(math.log1p(-constants.USUAL_CONTAINMENT) / math.log1p(-stated))


def _age(alert: Alert) -> tuple[bool, float, int]:
    """Return a sort key: time of creation, then record number; undated notices first."""
    notice = alert.notice
    created = notice.time_created.timestamp() if notice.time_created else 0.0
    return notice.time_created is not None, created, notice.record_number or 0
