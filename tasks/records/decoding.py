"""Conversion of plain values to records."""

from __future__ import annotations

import functools
from typing import Any

from pydantic import TypeAdapter


@functools.cache
def reader(kind: Any) -> TypeAdapter[Any]:
    """Return the cached pydantic adapter of a record's class; to build it takes 10 ms."""
    return TypeAdapter(kind)
