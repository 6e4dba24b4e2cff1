"""Pydantic configuration of all option records."""

from pydantic import ConfigDict

CONFIG = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)
