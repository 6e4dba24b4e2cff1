"""Times to look again for follow-up data of a burst."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from tasks.options import RevisitOptions
from tasks.records import Notice


def moments(trigger: datetime, options: RevisitOptions) -> tuple[datetime, ...]:
    """Return the times of the searches, in order."""
    minutes = {options.xrt_minutes, *(options.bat_minutes if options.bat_page else ())}
    return tuple(trigger + timedelta(minutes=delay) for delay in sorted(minutes))


def following(trigger: datetime, options: RevisitOptions, now: datetime) -> datetime | None:
    """Return the next time after ``now``; None after the last one."""
    return next((moment for moment in moments(trigger, options) if moment > now), None)


def misses_xrt(notices: Sequence[Notice], options: RevisitOptions, *, trigger: datetime, now: datetime) -> bool:
    """Return whether it is time to report that a BAT burst still has no XRT or UVOT position."""
    instruments = {(notice.instrument or "").upper() for notice in notices}
    late = now >= trigger + timedelta(minutes=options.xrt_minutes)
    return late and "BAT" in instruments and not instruments & {"XRT", "UVOT"}
