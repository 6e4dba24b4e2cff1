"""The journal of nights: what became of each unit's night, and the log in the columns that observers know."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

COLUMNS = ("date", "start", "end", "note", "status")
MOMENT = "%Y-%m-%d_%H:%M:%S_(UTC)"
NOTHING = "-"


@dataclass(frozen=True, kw_only=True)
class NightState:
    """What became of one unit's night. ``state``: ``running``, ``done``, ``partial`` or ``failed``; ``note`` says more.

    ``partial`` is a night that lost something which may succeed another time; it is tried again like a failed one.
    """

    unit: str
    night: date
    folders: tuple[Path, ...]
    state: str
    start: datetime
    end: datetime | None = None
    note: str = ""


_STATE = TypeAdapter(NightState)


def state_bytes(state: NightState) -> bytes:
    """Write a state as JSON."""
    return _STATE.dump_json(state, indent=1) + b"\n"


def read_state(path: Path) -> NightState | None:
    """Read a state; None where there is none, or another file is in its place."""
    try:
        return _STATE.validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def night_log(states: Iterable[NightState]) -> str:
    """Write the log of one unit as CSV, a row per folder, by night."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for state in sorted(states, key=lambda each: each.night):
        for folder in state.folders:
            end = _moment(state.end) if state.end else NOTHING
            writer.writerow((folder, _moment(state.start), end, state.note or NOTHING, state.state))
    return text.getvalue()


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime(MOMENT)
