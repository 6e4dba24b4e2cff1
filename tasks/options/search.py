"""Options of the search for new sources: subtraction and candidates."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from tasks.options.config import CONFIG


@dataclass(config=CONFIG, kw_only=True)
class SearchOptions:
    """Options of subtraction and detection."""

    engine: Literal["siren", "hotpants", "sfft"] = "siren"
    """Subtraction engine tried first."""

    align: Literal["auto", "wcs", "stars", "none"] = "auto"
    """How the reference is aligned with the science image's pixels."""

    detect_sigma: Annotated[float, Field(gt=0)] = 5.0
    """Smallest significance of a detection, in sigma."""

    program_timeout_s: Annotated[float, Field(gt=0)] = 300.0
    """Deadline of an external engine, in s."""
