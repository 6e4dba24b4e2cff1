"""Choice of a master from another night."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Protocol, TypeVar


class ArchivedMaster(Protocol):
    """A master of another night; ``exposure_s`` is 0 if it does not matter."""

    @property
    def path(self) -> Path:
        """Return its file."""

    @property
    def night(self) -> date:
        """Return its night."""

    @property
    def exposure_s(self) -> float:
        """Return its exposure time."""


M = TypeVar("M", bound=ArchivedMaster)


def ranked(masters: Iterable[M], *, night: date, limit_days: float, exposure_s: float = 0.0) -> list[M]:
    """Return masters of other nights, the best first.

    The order is: within the age limit first; then (darks) the nearest exposure time in ratio; then the nearest date,
    before or after, and of two as near the earlier; then the name.

    Parameters
    ----------
    masters
        Masters of one kind.
    night
        Night that needs a master.
    limit_days
        Age limit, in days.
    exposure_s
        Exposure time that the dark is for, in s; 0 for other kinds.
    """

    def preference(master: M) -> tuple[bool, float, int, date, str]:
        comparable = master.exposure_s > 0 and exposure_s > 0
        ratio = max(master.exposure_s / exposure_s, exposure_s / master.exposure_s) if comparable else 1.0
        age = age_days(master.night, night)
        return age > limit_days, ratio, age, master.night, master.path.name

    return sorted(masters, key=preference)


def age_days(master_night: date, night: date) -> int:
    """Return the number of days between two nights, in either order."""
    return abs((night - master_night).days)
