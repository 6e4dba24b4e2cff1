"""Engine ``sfft``, whose package is not among brightsiren's dependencies."""

from __future__ import annotations

from importlib import util
from typing import NoReturn

from tasks.errors import MissingPart


def subtract() -> NoReturn:
    """Raise ``MissingPart`` with the missing part."""
    if util.find_spec("sfft") is None:
        raise MissingPart("the engine sfft needs the package sfft, which is not installed; use siren or hotpants")
    raise MissingPart("the engine sfft is not connected to this version; use siren or hotpants")
