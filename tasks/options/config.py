"""How pydantic treats every record of options."""

from pydantic import ConfigDict

CONFIG = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
