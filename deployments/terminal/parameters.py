"""Types of the verbs' parameters: finite numbers, and times in the range of the calendar and the ephemerides."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import click

from tasks import constants


class Number(click.FloatRange):
    """A finite number, within bounds if any are given: NaN compares with no bound, and passes each."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number, or fail with what was given."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number

    def _describe_range(self) -> str:
        return "" if self.min is None and self.max is None else super()._describe_range()


class Moment(click.ParamType[datetime]):
    """An ISO time; without a zone it is UTC."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Return the time in UTC, or fail with what was given and what is allowed."""
        if isinstance(value, datetime):
            return value
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is not an ISO time such as 2026-01-15T03:00:00", param, ctx)
        if not constants.FIRST_YEAR <= moment.year <= constants.LAST_YEAR:
            self.fail(f"{value!r}: the years {constants.FIRST_YEAR} to {constants.LAST_YEAR} are allowed", param, ctx)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
