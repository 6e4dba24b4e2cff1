"""Options of a whole night: one record for each stage."""

from __future__ import annotations

from pydantic.dataclasses import dataclass

from tasks.options.calibration import CalibrateOptions
from tasks.options.config import CONFIG
from tasks.options.reduction import ReduceOptions
from tasks.options.search import SearchOptions
from tasks.options.stacking import StackOptions
from tasks.records import Stage


@dataclass(config=CONFIG, kw_only=True)
class NightOptions:
    """All that determines a night's products besides its frames."""

    until: Stage = Stage.SEARCH
    """Last stage that is run."""

    objects: tuple[str, ...] = ()
    """Objects or tiles that are reduced; none means all."""

    calibration: CalibrateOptions = CalibrateOptions()
    """How masters are combined and lights calibrated."""

    reduction: ReduceOptions = ReduceOptions()
    """How frames get their WCS and zero points."""

    stacking: StackOptions = StackOptions()
    """Which frames are stacked together, and how."""

    searching: SearchOptions = SearchOptions()
    """How references are subtracted and what counts as a detection."""
