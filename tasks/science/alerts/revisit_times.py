"""Times to look again for follow-up data of a burst, and for the sky map of a notice."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from tasks.options import RevisitOptions
from tasks.records import Notice


def moments(trigger: datetime, options: RevisitOptions) -> tuple[datetime, ...]:
    """Return the times of the searches, in order."""
    minutes = {options.xrt_minutes, *(options.bat_minutes if options.bat_page else ())}
    return tuple(trigger + timedelta(minutes=delay) for delay in sorted(minutes))


def map_moments(received: datetime, options: RevisitOptions) -> tuple[datetime, ...]:
    """Return the times of the searches for a sky map after its notice came, in order."""
    return tuple(received + timedelta(minutes=delay) for delay in sorted(options.map_minutes))


def following(moments: Sequence[datetime], now: datetime) -> datetime | None:
    """Return the first of some times in order that is after ``now``; None after the last one."""
    return next((moment for moment in moments if moment > now), None)


def misses_xrt(notices: Sequence[Notice], options: RevisitOptions, *, trigger: datetime, now: datetime) -> bool:
    """Return whether it is time to report that a BAT burst still has no XRT or UVOT position."""
    instruments = {(notice.instrument or "").upper() for notice in notices}
    late = now >= trigger + timedelta(minutes=options.xrt_minutes)
    return late and "BAT" in instruments and not instruments & {"XRT", "UVOT"}
