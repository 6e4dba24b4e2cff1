"""The only place that starts a process.

Every program runs in its own process group and its own scratch folder, with a deadline and a limit of memory of ours;
when the deadline passes, or a file named ``CANCEL`` appears in the scratch folder or one of those above it, the whole
group is killed. It also ends when the process that waits for it is killed. Its log is kept in a file.
"""

from __future__ import annotations

import contextlib
import logging
import os
import resource
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tasks.errors import MissingPart, ProgramError, Unavailable

log = logging.getLogger(__name__)

POLL_S = 0.05
LOG_TAIL_BYTES = 4000
CANCEL_FILE = "CANCEL"
# a scratch folder lies at most this deep below the folder of its unit's night
CANCEL_LEVELS = 4
# address space: SWarp maps 8 GiB by its own settings, everything else needs less than half of that
MEMORY_BYTES = 24 << 30
# one plane of a full frame; where less is left, a failed program tells of the disk and not of its input
FULL_BYTES = 256 << 20
# what a child may see of our environment: enough to run, nothing that may hold a secret
ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "OMP_NUM_THREADS")


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A program that ended with exit code 0, and the log it wrote."""

    seconds: float
    log_file: Path

    def log_text(self) -> str:
        """Return the whole log."""
        return self.log_file.read_text(encoding="utf-8", errors="replace")


@dataclass(frozen=True, kw_only=True)
class Service:
    """A program that runs until it is told to stop."""

    name: str
    log_file: Path
    process: subprocess.Popen[bytes]

    def check_runs(self) -> None:
        """Raise ``ProgramError`` with the tail of its log where the program has ended."""
        if (returncode := self.process.poll()) is not None:
            raise ProgramError(f"{self.name} {_exit_words(returncode)}", log_tail=tail(self.log_file))

    def say(self, line: str) -> None:
        """Write a line to a program that talks; one that has just ended is known by its silence."""
        if self.process.stdin is not None and not self.process.stdin.closed:
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.write(f"{line}\n".encode())
                self.process.stdin.flush()

    def hear(self, wait_s: float, *, bell: int) -> str | None:
        """Return the next line of a program that talks, empty where it has ended, None where it is silent for a while.

        A byte that can be read from the file ``bell`` ends the wait too, and is taken.
        """
        if self.process.stdout is None:
            return ""
        ready, _, _ = select.select([self.process.stdout.fileno(), bell], [], [], wait_s)
        if bell in ready:
            os.read(bell, select.PIPE_BUF)
        return self.process.stdout.readline().decode() if self.process.stdout.fileno() in ready else None

    def end_input(self, wait_s: float) -> None:
        """Tell a program that talks that nothing more will be said, and give it time to end by itself."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(wait_s)


def find(names: Sequence[str]) -> Path:
    """Return the first of ``names`` on PATH; raise ``MissingPart`` naming all of them."""
    for name in names:
        if (found := shutil.which(name)) is not None:
            return Path(found)
    raise MissingPart(f"none of the programs {', '.join(names)} is on PATH")


def run(
    command: Sequence[str],
    *,
    folder: Path,
    timeout_s: float,
    environment: Mapping[str, str] | None = None,
    cancel_folder: Path | None = None,
    memory_bytes: int = MEMORY_BYTES,
) -> Finished:
    """Run ``command`` in ``folder`` and wait for it.

    Parameters
    ----------
    command
        Program and arguments; never a shell's line.
    folder
        Its working folder, made if missing; the log is kept there as ``<program>.log``.
    timeout_s
        Wall time after which the whole process group is killed.
    environment
        Variables to add to the few that a program inherits.
    cancel_folder
        One more folder where a file ``CANCEL`` means: stop at once.
    memory_bytes
        Address space that it may have; more of it is refused, as if the machine had none left.

    Raises
    ------
    ProgramError
        On a deadline, a cancellation, a signal or an exit code other than 0; with the tail of the log.
    Unavailable
        If it failed where the disk is as good as full.
    MissingPart
        If the program cannot be started.
    """
    folder.mkdir(parents=True, exist_ok=True)
    name = Path(command[0]).name
    log_file = folder / f"{name}.log"
    started = time.monotonic()
    program = [*_ends_with_us("KILL"), str(find([command[0]])), *command[1:]]
    with log_file.open("wb") as output:
        process = _start(program, folder=folder, output=output, environment=environment)
        _limit_memory(process, memory_bytes)
        try:
            trouble = _wait(process, deadline=started + timeout_s, cancelled=_cancel_files(folder, cancel_folder))
        finally:
            _kill_group(process)
    if trouble is None and process.returncode != 0:
        trouble = _exit_words(process.returncode)
    if trouble is not None:
        if (free := shutil.disk_usage(folder).free) < FULL_BYTES:
            raise Unavailable(f"{name} {trouble}; only {free >> 20} MiB are left for it in {folder}")
        raise ProgramError(f"{name} {trouble} (allowed: exit code 0 within {timeout_s:g} s)", log_tail=tail(log_file))
    seconds = time.monotonic() - started
    log.debug("%s finished in %.2f s", name, seconds)
    return Finished(seconds=seconds, log_file=log_file)


@contextmanager
def service(
    command: Sequence[str],
    *,
    folder: Path,
    name: str,
    environment: Mapping[str, str] | None = None,
    grace_s: float = 10.0,
    talks: bool = False,
) -> Iterator[Service]:
    """Keep a program running for the length of a block; then ask it to stop, and kill its group after ``grace_s``.

    Parameters
    ----------
    command
        Program and arguments.
    folder
        Its working folder, made if missing; its log is ``<name>.log`` there, appended to.
    name
        What to call it.
    environment
        Variables to add to the few that a program inherits.
    grace_s
        How long it may take to stop.
    talks
        Give it pipes of ours for standard input and output, and keep only its standard error in the log. Where we are
        killed it sees the end of its input, and decides for itself when to end.
    """
    folder.mkdir(parents=True, exist_ok=True)
    log_file = folder / f"{name}.log"
    program = str(find([command[0]]))
    with log_file.open("ab") as output:
        process = _start(
            [*([] if talks else _ends_with_us("TERM")), program, *command[1:]],
            folder=folder,
            output=output,
            environment=environment,
            talks=talks,
        )
    try:
        yield Service(name=name, log_file=log_file, process=process)
    finally:
        _ask_to_stop(process, grace_s=grace_s)
        _kill_group(process)
        _close(process.stdin, process.stdout)


def _ends_with_us(signal_name: str) -> list[str]:
    """Have the kernel end the program where we are killed ourselves; the tool is part of util-linux."""
    found = shutil.which("setpriv")
    return [found, "--pdeathsig", signal_name, "--"] if found else []


def _limit_memory(process: subprocess.Popen[bytes], limit_bytes: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # it has ended already
        resource.prlimit(process.pid, resource.RLIMIT_AS, (limit_bytes, limit_bytes))


def _cancel_files(folder: Path, also: Path | None) -> list[Path]:
    places = [folder, *folder.absolute().parents[:CANCEL_LEVELS], *([also] if also is not None else [])]
    return [place / CANCEL_FILE for place in places]


def _ask_to_stop(process: subprocess.Popen[bytes], *, grace_s: float) -> None:
    # the leader alone: it knows how to end its own children in order
    for request in (signal.SIGINT, signal.SIGTERM):
        if process.poll() is None:
            process.send_signal(request)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=grace_s / 2)


def tail(log_file: Path) -> str:
    """Return the last few kilobytes of a log."""
    with log_file.open("rb") as file:
        file.seek(max(0, log_file.stat().st_size - LOG_TAIL_BYTES))
        return file.read().decode("utf-8", "replace")


def _start(
    command: Sequence[str],
    *,
    folder: Path,
    output: IO[bytes],
    environment: Mapping[str, str] | None,
    talks: bool = False,
) -> subprocess.Popen[bytes]:
    """Start a program in a process group of its own."""
    inherited = {key: os.environ[key] for key in ENVIRONMENT if key in os.environ}
    try:
        return subprocess.Popen(
            list(command),
            cwd=folder,
            stdin=subprocess.PIPE if talks else subprocess.DEVNULL,
            stdout=subprocess.PIPE if talks else output,
            stderr=output,
            env={**inherited, **(environment or {})},
            start_new_session=True,
        )
    except OSError as error:
        raise MissingPart(f"{Path(command[0]).name} cannot be started: {error}") from error


def _wait(process: subprocess.Popen[bytes], *, deadline: float, cancelled: Sequence[Path]) -> str | None:
    """Wait for the process; return what went wrong in words, or None."""
    # Popen.wait would look every 50 ms: it sleeps through a twentieth of the half second that a program takes
    descriptor = os.pidfd_open(process.pid)
    try:
        end = select.poll()
        end.register(descriptor, select.POLLIN)
        while not end.poll(POLL_S * 1000):
            if time.monotonic() > deadline:
                return "ran past its deadline and was killed"
            if any(file.exists() for file in cancelled):
                return "was cancelled"
    finally:
        os.close(descriptor)
    process.wait()
    return None


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill the process and whatever it started; a finished group is no error."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _close(*pipes: IO[bytes] | None) -> None:
    for pipe in pipes:
        if pipe is not None:
            with contextlib.suppress(BrokenPipeError):
                pipe.close()


def _exit_words(returncode: int) -> str:
    if returncode < 0:
        return f"was ended by signal {signal.Signals(-returncode).name}"
    return f"ended with exit code {returncode}"
