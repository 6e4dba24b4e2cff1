"""When one looks again for what comes after a burst."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from tasks.options import RevisitOptions
from tasks.records import Notice


def moments(trigger: datetime, options: RevisitOptions) -> tuple[datetime, ...]:
    """Return the times at which something is to be looked for, in order."""
    minutes = {options.xrt_minutes, *(options.bat_minutes if options.bat_page else ())}
    return tuple(trigger + timedelta(minutes=each) for each in sorted(minutes))


def following(trigger: datetime, options: RevisitOptions, now: datetime) -> datetime | None:
    """Return the next time after ``now``; None when there is none left."""
    return next((moment for moment in moments(trigger, options) if moment > now), None)


def misses_xrt(notices: Sequence[Notice], options: RevisitOptions, *, trigger: datetime, now: datetime) -> bool:
    """Tell whether it is time to say that BAT has a burst and no better position has come."""
    heard = {(notice.instrument or "").upper() for notice in notices}
    late = now >= trigger + timedelta(minutes=options.xrt_minutes)
    return late and "BAT" in heard and not heard & {"XRT", "UVOT"}
