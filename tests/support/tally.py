"""What the long runs counted, to be printed when it was counted and at the end."""

from __future__ import annotations

NOTES: list[str] = []
BROKERS: dict[str, None] = {}


def count(threat: str, **counts: object) -> None:
    """Print counts of one threat and keep them for the end of the run."""
    words = ", ".join(f"{value} {name.replace('_', ' ')}" for name, value in counts.items())
    NOTES.append(f"{threat}: {words}")
    print(f"\n{NOTES[-1]}")  # noqa: T201 - what `make gate` is for


def lines() -> list[str]:
    """Return what there is to say at the end."""
    return [f"broker: {name}" for name in BROKERS] + NOTES
