"""Peak memory of a block: the kernel's high-water mark, reset at the start.

``ru_maxrss`` will not do: it is inherited from the process that started this one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Growth:
    """Largest growth of the resident memory in KiB; set when the block ends."""

    kib: int = 0


@contextmanager
def grown() -> Iterator[Growth]:
    """Measure the growth of this process's resident memory during a block."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # sets VmHWM back to VmRSS
    before = _status("VmRSS")
    growth = Growth()
    yield growth
    growth.kib = peak_kib() - before


def peak_kib() -> int:
    """Return the peak resident memory of this process."""
    return _status("VmHWM")


def _status(key: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith(f"{key}:")).split()[1])
