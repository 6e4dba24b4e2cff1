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
    """All options that determine a night's products."""

    until: Stage = Stage.SEARCH
    """Last stage to run."""

    objects: tuple[str, ...] = ()
    """Objects or tiles to reduce; empty for all."""

    calibration: CalibrateOptions = CalibrateOptions()
    """Masters and calibration of lights."""

    reduction: ReduceOptions = ReduceOptions()
    """Astrometry and photometry of frames."""

    stacking: StackOptions = StackOptions()
    """Grouping and stacking of frames."""

    searching: SearchOptions = SearchOptions()
    """Subtraction of references and detection of candidates."""
