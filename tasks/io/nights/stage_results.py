"""Ledgers: the result of each stage of a unit's night as JSON, read by the next stage."""

from __future__ import annotations

from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from tasks.errors import UnusableData
from tasks.records import StageResult

_STAGE = TypeAdapter(StageResult)


def stage_bytes(result: StageResult) -> bytes:
    """Return a stage's result as JSON."""
    return _STAGE.dump_json(result, indent=1) + b"\n"


def read_stage(path: Path) -> StageResult:
    """Read a stage's result.

    Raises
    ------
    UnusableData
        If the file is missing (the stage has not run) or is not a stage's result.
    """
    try:
        return _STAGE.validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise UnusableData(f"{path} is missing: run that stage of the night first") from error
    except (OSError, ValidationError) as error:
        raise UnusableData(f"{path} is not the result of a stage: {error}") from error
