"""Run external programs: the only module that starts processes.

Every program runs in its own process group and scratch folder, with a deadline and a memory limit. The whole group is
killed if the deadline passes, or if a file named ``CANCEL`` appears in the scratch folder or one of its parents. The
program also ends if the process that waits for it is killed. Its log is kept in a file.
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
# a scratch folder is at most this many levels below the folder of its unit's night
CANCEL_LEVELS = 4
# address space: SWarp maps 8 GiB by its own settings, other programs need less than half of that
MEMORY_BYTES = 24 << 30
# one plane of a full frame; with less free space, a failure is attributed to the disk and not to the input
FULL_BYTES = 256 << 20
# variables that a program inherits: enough to run, none that may hold a secret
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
    """A program that runs until it is stopped."""

    name: str
    log_file: Path
    process: subprocess.Popen[bytes]

    def check_runs(self) -> None:
        """Raise ``ProgramError`` with the tail of its log if the program has ended."""
        if (returncode := self.process.poll()) is not None:
            raise ProgramError(f"{self.name} {_exit_words(returncode)}", log_tail=tail(self.log_file))

    def write_line(self, line: str) -> None:
        """Write a line to the standard input of a piped program; ignored if it has just ended."""
        if self.process.stdin is not None and not self.process.stdin.closed:
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.write(f"{line}\n".encode())
                self.process.stdin.flush()

    def read_line(self, wait_s: float, *, wake: int) -> str | None:
        """Return the next line from a piped program; empty if it has ended, None if there is none within ``wait_s``.

        Data on the file descriptor ``wake`` also ends the wait and is consumed.
        """
        if self.process.stdout is None:
            return ""
        ready, _, _ = select.select([self.process.stdout.fileno(), wake], [], [], wait_s)
        if wake in ready:
            os.read(wake, select.PIPE_BUF)
        return self.process.stdout.readline().decode() if self.process.stdout.fileno() in ready else None

    def end_input(self, wait_s: float) -> None:
        """Close the standard input of a piped program, and wait up to ``wait_s`` for it to end."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(wait_s)


def find(names: Sequence[str]) -> Path:
    """Return the first of ``names`` on PATH; raise ``MissingPart`` naming all of them."""
    for name in names:
        if (path := shutil.which(name)) is not None:
            return Path(path)
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
        Program and arguments; never a shell command.
    folder
        Its working folder, created if missing; its log is ``<program>.log`` there.
    timeout_s
        Wall time after which the whole process group is killed.
    environment
        Variables in addition to the few inherited ones (``ENVIRONMENT``).
    cancel_folder
        A further folder in which a file ``CANCEL`` stops the program.
    memory_bytes
        Limit of its address space; larger allocations fail.

    Raises
    ------
    ProgramError
        On a passed deadline, a cancellation, a signal or an exit code other than 0; with the tail of the log.
    Unavailable
        If it failed and less than ``FULL_BYTES`` are free on the disk.
    MissingPart
        If the program cannot be started.
    """
    folder.mkdir(parents=True, exist_ok=True)
    name = Path(command[0]).name
    log_file = folder / f"{name}.log"
    started = time.monotonic()
    program = [*_with_parent_death_signal("KILL"), str(find([command[0]])), *command[1:]]
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
    piped: bool = False,
) -> Iterator[Service]:
    """Keep a program running while the block runs; then request it to stop, and kill its group after ``grace_s``.

    Parameters
    ----------
    command
        Program and arguments.
    folder
        Its working folder, created if missing; its output is appended to the log ``<name>.log`` there.
    name
        Its name, for the log and errors.
    environment
        Variables in addition to the few inherited ones (``ENVIRONMENT``).
    grace_s
        Time to stop before it is killed, in s.
    piped
        Connect its standard input and output to pipes, and write only its standard error to the log. If this process is
        killed, the program gets the end of its input and is not killed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    log_file = folder / f"{name}.log"
    program = str(find([command[0]]))
    with log_file.open("ab") as output:
        process = _start(
            [*([] if piped else _with_parent_death_signal("TERM")), program, *command[1:]],
            folder=folder,
            output=output,
            environment=environment,
            piped=piped,
        )
    try:
        yield Service(name=name, log_file=log_file, process=process)
    finally:
        _ask_to_stop(process, grace_s=grace_s)
        _kill_group(process)
        _close(process.stdin, process.stdout)


def _with_parent_death_signal(signal_name: str) -> list[str]:
    """Return a command prefix that ends the program if this process is killed (setpriv of util-linux)."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", signal_name, "--"] if setpriv else []


def _limit_memory(process: subprocess.Popen[bytes], limit_bytes: int) -> None:
    """Limit a program's address space; a lower limit that was inherited stays, since only root may raise one."""
    with contextlib.suppress(ProcessLookupError):  # it has ended already
        _, hard = resource.prlimit(process.pid, resource.RLIMIT_AS)
        allowed = limit_bytes if hard == resource.RLIM_INFINITY else min(limit_bytes, hard)
        resource.prlimit(process.pid, resource.RLIMIT_AS, (allowed, allowed))


def _cancel_files(folder: Path, also: Path | None) -> list[Path]:
    places = [folder, *folder.absolute().parents[:CANCEL_LEVELS], *([also] if also is not None else [])]
    return [place / CANCEL_FILE for place in places]


def _ask_to_stop(process: subprocess.Popen[bytes], *, grace_s: float) -> None:
    # the group's leader only: it ends its own children in order
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
    piped: bool = False,
) -> subprocess.Popen[bytes]:
    """Start a program in a process group of its own."""
    inherited = {key: os.environ[key] for key in ENVIRONMENT if key in os.environ}
    try:
        return subprocess.Popen(
            list(command),
            cwd=folder,
            stdin=subprocess.PIPE if piped else subprocess.DEVNULL,
            stdout=subprocess.PIPE if piped else output,
            stderr=output,
            env={**inherited, **(environment or {})},
            start_new_session=True,
        )
    except OSError as error:
        raise MissingPart(f"{Path(command[0]).name} cannot be started: {error}") from error


def _wait(process: subprocess.Popen[bytes], *, deadline: float, cancelled: Sequence[Path]) -> str | None:
    """Wait for the process; return the description of a failure, or None."""
    # Popen.wait polls every 50 ms, which would add up to a tenth to a program that takes half a second
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
    """Kill the process and its descendants; a group that has ended is no error."""
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
