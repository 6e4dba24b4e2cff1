"""nvidia-smi: the state of the GPUs of this machine."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from tasks.errors import MissingPart, ProgramError
from tasks.programs.run import find, run

NAMES = ("nvidia-smi",)
FIELDS = ("index", "memory.used", "utilization.gpu", "temperature.gpu")
TIMEOUT_S = 5.0


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """One GPU: its number, memory in use in MB (of 2^20 bytes), utilisation in percent, temperature in C."""

    index: int
    memory_mb: int
    utilisation_percent: int
    temperature_c: int


def installed() -> bool:
    """Return whether the program is on PATH."""
    try:
        find(NAMES)
    except MissingPart:
        return False
    return True


def command() -> list[str]:
    """Return the command line."""
    return [str(find(NAMES)), f"--query-gpu={','.join(FIELDS)}", "--format=csv,noheader,nounits"]


def gpus() -> tuple[Gpu, ...]:
    """Return the state of all GPUs.

    Raises
    ------
    ProgramError
        If it fails, hangs, or has unexpected output.
    """
    with tempfile.TemporaryDirectory(prefix="siren-gpus-") as folder:
        finished = run(command(), folder=Path(folder), timeout_s=TIMEOUT_S)
        return tuple(parse(line) for line in finished.log_file.read_text(errors="replace").splitlines() if line.strip())


def parse(line: str) -> Gpu:
    """Read one line, such as ``0, 1024, 37, 61``; a missing value is -1."""
    words = [word.strip() for word in line.split(",")]
    if len(words) != len(FIELDS) or not words[0].isdecimal():
        raise ProgramError(f"nvidia-smi wrote {line!r} (expected: {', '.join(FIELDS)})")
    index, memory, busy, warm = (int(word) if word.isdecimal() else -1 for word in words)
    return Gpu(index=index, memory_mb=memory, utilisation_percent=busy, temperature_c=warm)
