"""Processes in Linux's ``/proc``: their children and their resident memory."""

from __future__ import annotations

import os
from pathlib import Path

PROC = Path("/proc")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def family(pid: int) -> tuple[int, ...]:
    """Return the ids of a process and all its descendants."""
    family_pids, left = [], [pid]
    while left:
        member = left.pop()
        family_pids.append(member)
        left += _children(member)
    return tuple(family_pids)


def resident_bytes(pid: int) -> int | None:
    """Return the resident memory of a process in bytes; None if it has ended."""
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
