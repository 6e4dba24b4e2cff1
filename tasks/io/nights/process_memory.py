"""What the kernel says of processes: their children, and the memory that is resident (Linux's ``/proc``)."""

from __future__ import annotations

import os
from pathlib import Path

PROC = Path("/proc")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def family(pid: int) -> tuple[int, ...]:
    """Return a process and all that it started, directly or not."""
    found, left = [], [pid]
    while left:
        each = left.pop()
        found.append(each)
        left += _children(each)
    return tuple(found)


def resident_bytes(pid: int) -> int | None:
    """Return the resident memory of a process in bytes; None where it has ended."""
    try:
        return int((PROC / str(pid) / "statm").read_text().split()[1]) * PAGE_BYTES
    except (OSError, IndexError):
        return None


def _children(pid: int) -> list[int]:
    try:
        threads = list((PROC / str(pid) / "task").iterdir())
        return [int(child) for thread in threads for child in (thread / "children").read_text().split()]
    except OSError:
        return []
