"""Counts of the long test runs: printed at once, and as one table at the end.

Runs side by side share the table through the file that ``SIREN_TALLY`` names; ``python tests/support/tally.py`` prints it.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from pathlib import Path
from typing import TypedDict

FILE = "SIREN_TALLY"


class Note(TypedDict):
    """Counts for one threat, and the time they took, in s."""

    threat: str
    words: str
    seconds: float


NOTES: list[Note] = []
BROKERS: dict[str, None] = {}


def count(threat: str, **counts: object) -> None:
    """Print counts of one threat and keep them for the end of the run."""
    words = ", ".join(f"{value} {name.replace('_', ' ')}" for name, value in counts.items())
    NOTES.append({"threat": threat, "words": words, "seconds": 0.0})
    print(f"\n{threat}: {words}")  # noqa: T201 - what `make gate` is for


def timed(began: float, first: int) -> None:
    """Set the time of the notes from ``first`` on to that since ``began``, and append them to the shared file."""
    for note in NOTES[first:]:
        note["seconds"] = time.monotonic() - began
        if path := os.environ.get(FILE):
            with Path(path).open("a", encoding="utf-8") as file:
                file.write(json.dumps(note) + "\n")


def lines(notes: list[Note] | None = None) -> list[str]:
    """Return the lines of the table, sorted by the number of the threat."""
    table = sorted(NOTES if notes is None else notes, key=_rank)
    return [f"broker: {name}" for name in BROKERS] + [
        f"{note['seconds']:6.0f} s  {note['threat']}: {note['words']}" for note in table
    ]


def _rank(note: Note) -> tuple[int, str]:
    number = re.match(r"R(\d+)", note["threat"])
    return int(number[1]) if number else 99, note["threat"]


def main() -> None:
    """Print the table of all runs that shared a file."""
    notes = [json.loads(line) for line in Path(os.environ[FILE]).read_text(encoding="utf-8").splitlines()]
    sys.stdout.write("\n".join(lines(notes)) + "\n")


if __name__ == "__main__":
    main()
