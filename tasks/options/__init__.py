"""Options of the stages: frozen pydantic dataclasses; their docstrings describe the fields in Prefect's run form."""

from tasks.options.alerts import BackfillOptions, PlanOptions, RevisitOptions
from tasks.options.calibration import CalibrateOptions, HeaderRewrite, Reflection
from tasks.options.night import NightOptions
from tasks.options.reduction import ReduceOptions
from tasks.options.search import SearchOptions
from tasks.options.stacking import DeepOptions, StackOptions

__all__ = [
    "BackfillOptions",
    "CalibrateOptions",
    "DeepOptions",
    "HeaderRewrite",
    "NightOptions",
    "PlanOptions",
    "ReduceOptions",
    "Reflection",
    "RevisitOptions",
    "SearchOptions",
    "StackOptions",
]
