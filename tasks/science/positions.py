"""Which of an event's positions to believe."""

from __future__ import annotations

from collections.abc import Sequence

from tasks.records import Alert, Notice

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
    return min(latest.values(), key=error_deg, default=None)


def error_deg(notice: Notice) -> float:
    """Return a position's error in degrees: as given, else what its instrument usually reaches."""
    if notice.error_deg is not None and notice.error_deg > 0:
        return notice.error_deg
    return TYPICAL_ERROR_DEG.get((notice.instrument or "").upper(), UNKNOWN_ERROR_DEG)


def _age(alert: Alert) -> tuple[bool, float, int]:
    """Order by time of creation, then by record number; an undated notice comes first."""
    notice = alert.notice
    created = notice.time_created.timestamp() if notice.time_created else 0.0
    return notice.time_created is not None, created, notice.record_number or 0
