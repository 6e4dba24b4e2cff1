"""Output of a verb: one JSON object or text on stdout, logs on stderr."""

from __future__ import annotations

import json
import logging
import math
import sys
from collections.abc import Mapping
from typing import Any

from pydantic_core import to_jsonable_python

OURS = ("tasks", "deployments")
DONE, FAILED, BAD_INPUT = 0, 1, 2


def send_logs_to_stderr(level: int = logging.INFO) -> None:
    """Send our own log lines to stderr, once."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S"))
    for log in map(logging.getLogger, OURS):
        if not log.handlers:
            log.addHandler(handler)
            log.setLevel(level)
            # Prefect's console handler would print the line again
            log.propagate = False


def show(result: Mapping[str, Any], text: str, *, as_json: bool) -> None:
    """Print ``result`` as JSON, or ``text``."""
    sys.stdout.write((to_json(result) if as_json else text.rstrip()) + "\n")


def to_json(result: Mapping[str, Any]) -> str:
    """Return an object as strict JSON, without NaN and infinity."""
    return json.dumps(_finite(to_jsonable_python(result)), allow_nan=False)


def rejected(reason: str, *, as_json: bool) -> int:
    """Report bad input; return the exit code."""
    if as_json:
        sys.stdout.write(to_json({"rejected": reason}) + "\n")
    sys.stderr.write(f"siren: {reason}\n")
    return BAD_INPUT


def failed(reason: str, *, as_json: bool) -> int:
    """Report a failure with good input; return the exit code."""
    if as_json:
        sys.stdout.write(to_json({"failed": reason}) + "\n")
    sys.stderr.write(f"siren: {reason}\n")
    return FAILED


def _finite(value: Any) -> Any:
    """Replace non-finite numbers by None, at any depth."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return value
