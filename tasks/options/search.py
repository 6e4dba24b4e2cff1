"""Options of the search for new sources: subtraction and candidates."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from tasks.options.config import CONFIG


@dataclass(config=CONFIG, kw_only=True)
class SearchOptions:
    """How a reference is subtracted and what counts as a detection."""

    engine: Literal["siren", "hotpants", "sfft"] = "siren"
    """Engine that is tried first."""

    align: Literal["auto", "wcs", "stars", "none"] = "auto"
    """How the reference is brought onto the science image's pixels."""

    detect_sigma: Annotated[float, Field(gt=0)] = 5.0
    """Significance from which a detection is kept."""

    program_timeout_s: Annotated[float, Field(gt=0)] = 300.0
    """Deadline of an external engine, in s."""
