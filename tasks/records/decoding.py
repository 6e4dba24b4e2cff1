"""What reads records back from plain values."""

from __future__ import annotations

import functools
from typing import Any

from pydantic import TypeAdapter


@functools.cache
def reader(kind: Any) -> TypeAdapter[Any]:
    """Return what reads a kind of record, made once: to make it from the record's description takes 10 ms."""
    return TypeAdapter(kind)
