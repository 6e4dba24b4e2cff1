"""Which master of another night serves best."""

from __future__ import annotations

from datetime import date


def preference(
    master_night: date, name: str, *, night: date, limit_days: float, master_s: float = 0.0, exposure_s: float = 0.0
) -> tuple[bool, float, int, date, str]:
    """Return what to sort archived masters by, the best first.

    Within the age limit before beyond it; then (darks) the same exposure time, or the nearest in ratio; then the
    nearest date, before or after; of two as near the earlier; then the name.

    Parameters
    ----------
    master_night, name
        Of the archived master.
    night
        Night that needs one.
    limit_days
        Age limit, in days.
    master_s, exposure_s
        Exposure time of the master and of what it shall serve, in s; 0 where it does not matter.
    """
    age = age_days(master_night, night)
    ratio = max(master_s / exposure_s, exposure_s / master_s) if master_s > 0 and exposure_s > 0 else 1.0
    return age > limit_days, ratio, age, master_night, name


def age_days(master_night: date, night: date) -> int:
    """Return the days between two nights, whichever comes first."""
    return abs((night - master_night).days)
