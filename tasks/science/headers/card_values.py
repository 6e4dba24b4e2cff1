"""Values of header cards as numbers, in the forms that observatories write them."""

from __future__ import annotations

import math
import re
from typing import TypeAlias

Value: TypeAlias = str | int | float | bool
Header: TypeAlias = dict[str, Value]

DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+([Ee][+-]?\d+)?")
SEXAGESIMAL = re.compile(r"([+-]?)(\d{1,3})[: ](\d{1,2})[: ](\d{1,2}(?:\.\d*)?)")


def number(value: object) -> float | None:
    """Return a card's value as a finite number, with a decimal point or comma; None if it is not one."""
    if isinstance(value, str):
        text = value.strip()
        value = text.replace(",", ".") if DECIMAL_COMMA.fullmatch(text) else text
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        result = float(value)
    except (ValueError, OverflowError):
        return None
    return result if math.isfinite(result) else None


def sexagesimal(text: str) -> float | None:
    """Return ``12 34 56.7`` or ``-12:34:56.7`` as a number in its first unit; None if it is not sexagesimal."""
    match = SEXAGESIMAL.fullmatch(text.strip())
    if match is None or float(match[3]) >= 60 or float(match[4]) >= 60:
        return None
    size = float(match[2]) + float(match[3]) / 60 + float(match[4]) / 3600
    return -size if match[1] == "-" else size
