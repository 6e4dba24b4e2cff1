"""Which of an event's positions to believe."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from tasks import constants
from tasks.records import Alert, Kind, Notice
from tasks.records.bursts import Burst

# what each instrument reaches when a notice does not say, in degrees: missions' user guides, rounded
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
UNKNOWN_ERROR_DEG = 10.0
FROM_FIRST = ("time", "rate_snr", "image_snr", "duration_trigger_s", "energy_kev")
FROM_LAST = ("slew_status", "magnitude")


def best(alerts: Sequence[Alert]) -> Notice | None:
    """Return the notice with the best position: of each instrument the latest, of these the smallest error.

    Parameters
    ----------
    alerts
        What is known of one event, in any order.

    Returns
    -------
    Notice or None
        None where no notice has a position.
    """
    latest: dict[str, Notice] = {}
    for alert in sorted(alerts, key=_age):
        notice = alert.notice
        if notice.ra_deg is not None and notice.dec_deg is not None and not notice.retraction:
            latest[(notice.instrument or "").upper()] = notice
    return min(latest.values(), key=error90_deg, default=None)


def trail(alerts: Sequence[Alert]) -> tuple[Notice, ...]:
    """Return the positions that were the best one after another, as the notices were made: the last is ``best``'s."""
    ordered = sorted(alerts, key=_age)
    found: list[Notice] = []
    for known in range(1, len(ordered) + 1):
        now = best(ordered[:known])
        if now is not None and (not found or found[-1] is not now):
            found.append(now)
    return tuple(found)


def located(alerts: Sequence[Alert]) -> Alert | None:
    """Return the alert of a burst with the best position; None where none has one, and for gravitational waves."""
    chosen = best([alert for alert in alerts if alert.notice.kind is Kind.GRB])
    return next((alert for alert in reversed(alerts) if alert.notice is chosen), None)


def burst(alerts: Sequence[Alert]) -> Burst:
    """Put together what all notices of one burst say, whatever the order in which they came.

    Parameters
    ----------
    alerts
        What is known of one event, at least one.
    """
    told = [alert.notice for alert in sorted(alerts, key=_age) if not alert.notice.retraction] or [alerts[0].notice]
    dated = [notice for notice in told if notice.time_created is not None]
    path = trail(alerts)
    facts = replace(
        (dated or told)[0],
        **{name: _known(told, name) for name in FROM_FIRST},
        **{name: _known(told[::-1], name) for name in FROM_LAST},
        flags=tuple(dict.fromkeys(flag for notice in told for flag in notice.flags)),
    )
    return Burst(facts=facts, position=path[-1] if path else None, before=path[-2] if len(path) > 1 else None)


def _known(notices: Sequence[Notice], name: str) -> Any:
    return next((value for notice in notices if (value := getattr(notice, name)) is not None), None)


def error_deg(notice: Notice) -> float:
    """Return a position's error in degrees: as given, else what its instrument usually reaches."""
    if notice.error_deg is not None and notice.error_deg > 0:
        return notice.error_deg
    return TYPICAL_ERROR_DEG.get((notice.instrument or "").upper(), UNKNOWN_ERROR_DEG)


def error90_deg(notice: Notice) -> float:
    """Return the radius in degrees that holds 90 %, so that what missions state can be compared.

    For a two-dimensional Gaussian r goes with sqrt(-ln(1 - p)): 1.42 r68 is r90.
    """
    stated = notice.containment if notice.containment and 0 < notice.containment < 1 else constants.USUAL_CONTAINMENT
    return error_deg(notice) * math.sqrt(math.log1p(-constants.USUAL_CONTAINMENT) / math.log1p(-stated))


def _age(alert: Alert) -> tuple[bool, float, int]:
    """Order by time of creation, then by record number; an undated notice comes first."""
    notice = alert.notice
    created = notice.time_created.timestamp() if notice.time_created else 0.0
    return notice.time_created is not None, created, notice.record_number or 0
