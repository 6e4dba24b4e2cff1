"""The journal of nights: the state of each unit's night, and a log as CSV."""

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
    """The state of one unit's night: ``running``, ``done``, ``partial`` or ``failed``; ``note`` gives details.

    A ``partial`` night lost frames or products for a temporary reason; like a failed one, it is retried.
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
    """Return a state as JSON."""
    return _STATE.dump_json(state, indent=1) + b"\n"


def read_state(path: Path) -> NightState | None:
    """Read a state; None if the file is missing or not a state."""
    try:
        return _STATE.validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def night_log(states: Iterable[NightState]) -> str:
    """Return the log of one unit as CSV, a row per folder, sorted by night."""
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
