"""Checks of this machine, each with a remedy and a deadline; no check changes anything."""

from __future__ import annotations

import platform
import queue
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path

from deployments.server import default_paths, service_checks
from tasks.errors import MissingPart, ProgramError, SirenError
from tasks.programs import missfits, run, scamp, solve_field, source_extractor, swarp
from tasks.science import arrays

DEADLINE_S = 12.0
VERSION_S = 5.0
PYTHON = ((3, 11), (3, 14))
# newer FastAPI stops the Prefect 3.8 server; with newer SQLAlchemy it runs, but never turns a schedule into a run
BELOW = {"fastapi": (0, 151), "sqlalchemy": (2, 1)}
SHOWN = ("brightsiren", "prefect", "prefect-dask", "distributed", "fastapi", "sqlalchemy")
RESERVE_BYTES = 20e9
GIGABYTE = 1e9
APT = "apt-get install source-extractor scamp missfits swarp astrometry.net (make does it)"


@dataclass(frozen=True, kw_only=True)
class Check:
    """Result of one check. ``remedy`` is empty if ``ok``; without a ``required`` part little works."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""
    required: bool = False


@dataclass(frozen=True, kw_only=True)
class Probe:
    """One check: ``ask`` returns a description, or raises a ``SirenError`` that describes the problem."""

    name: str
    ask: Callable[[], str]
    remedy: str
    required: bool = False


def examine(probes: Sequence[Probe] | None = None, *, deadline_s: float = DEADLINE_S) -> tuple[Check, ...]:
    """Run all checks in parallel; a check without an answer by the deadline fails."""
    probes = all_probes() if probes is None else probes
    answers: queue.SimpleQueue[Check] = queue.SimpleQueue()
    for probe in probes:
        # a daemon thread, so that a check that hangs does not keep the command from exiting
        threading.Thread(target=lambda probe=probe: answers.put(ask(probe)), daemon=True).start()
    checks = _collect(answers, len(probes), deadline=time.monotonic() + deadline_s)
    late = f"no answer within {deadline_s:g} s"
    return tuple(checks.get(probe.name) or _failed(probe, late) for probe in probes)


def ask(probe: Probe) -> Check:
    """Run one check."""
    try:
        return Check(name=probe.name, ok=True, detail=probe.ask(), required=probe.required)
    except SirenError as error:
        return _failed(probe, str(error))
    except Exception as error:  # noqa: BLE001 - an unexpected error is a result of the check
        return _failed(probe, f"{type(error).__name__}: {error}")


def all_probes() -> tuple[Probe, ...]:
    """Return all checks, in the order of the output."""
    return (*machine_probes(), *program_probes(), *service_probes())


def machine_probes() -> tuple[Probe, ...]:
    """Return the checks of Python, disk and GPU."""
    return (
        Probe(name="python", ask=python, remedy="make picks the newest Python of 3.11 to 3.14", required=True),
        Probe(name="packages", ask=packages, remedy="make, which installs requirements.lock", required=True),
        Probe(name="disk", ask=disk, remedy="free space, or choose another folder with SIREN_HOME"),
        Probe(
            name="gpu",
            ask=gpu,
            remedy="only on a machine with a GPU: install the extra `gpu` (CuPy); else NumPy is used",
        ),
    )


def program_probes() -> tuple[Probe, ...]:
    """Return the checks of external programs."""
    needed = {
        "source-extractor": source_extractor.NAMES,
        "scamp": scamp.NAMES,
        "missfits": missfits.NAMES,
        "swarp": swarp.NAMES,
    }
    return (
        *(Probe(name=name, ask=partial(version, names), remedy=APT, required=True) for name, names in needed.items()),
        Probe(name="solve-field", ask=partial(version, solve_field.NAMES), remedy=f"optional; {APT}"),
        Probe(
            name="hotpants", ask=partial(present, ("hotpants",)), remedy="optional: another engine is used without it"
        ),
    )


def service_probes() -> tuple[Probe, ...]:
    """Return the checks of server, database, blocks, workers and catalogues."""
    bootstrap = "siren bootstrap"
    return (
        Probe(
            name="server", ask=service_checks.server, remedy="siren serve, or set PREFECT_API_URL to a running server"
        ),
        Probe(
            name="database",
            ask=service_checks.database,
            remedy="set SIREN_REGISTRY_URL, or repair the database it names",
        ),
        Probe(
            name="outbox",
            ask=service_checks.outbox,
            remedy="mend the cause that is named, then siren outbox retry",
        ),
        Probe(
            name="store",
            ask=service_checks.store,
            remedy="correct address, user or password in the block `store`; what waits then goes out by itself",
        ),
        Probe(
            name="blocks",
            ask=service_checks.blocks,
            remedy=f"set the variables that `{bootstrap}` names, then run it again",
        ),
        Probe(name="pools", ask=service_checks.pools, remedy=bootstrap),
        Probe(name="deployments", ask=service_checks.deployments, remedy=bootstrap),
        Probe(name="workers", ask=service_checks.workers, remedy="siren serve, or prefect worker start --pool NAME"),
        Probe(name="listener", ask=service_checks.listener, remedy="siren listen"),
        Probe(
            name="slots",
            ask=service_checks.slots,
            remedy="start workers with --resources CPU=1 and GPU=1, or clear the address",
        ),
        Probe(
            name="catalogues",
            ask=service_checks.catalogues,
            remedy="put the files there, or change the block `observatory`",
        ),
    )


def python() -> str:
    """Return version and place of Python."""
    if not PYTHON[0] <= sys.version_info[:2] <= PYTHON[1]:
        raise MissingPart(f"Python {platform.python_version()}; 3.11 to 3.14 are supported")
    return f"{platform.python_version()} at {sys.prefix}"


def packages() -> str:
    """Return the versions on which the server depends."""
    versions = {name: metadata.version(name) for name in SHOWN}
    for name, limit in BELOW.items():
        if tuple(int(part) for part in versions[name].split(".")[:2]) >= limit:
            raise MissingPart(f"{name} {versions[name]}: the Prefect server needs one below {limit[0]}.{limit[1]}")
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def disk() -> str:
    """Return the free space of the disk for products."""
    home = default_paths.home()
    folder = next(path for path in (home, *home.parents) if path.is_dir())
    free = shutil.disk_usage(folder).free
    text = f"{free / GIGABYTE:.0f} GB free for {home}"
    if free < RESERVE_BYTES:
        raise MissingPart(f"{text}; a night needs {RESERVE_BYTES / GIGABYTE:.0f} GB in reserve")
    return text


def gpu() -> str:
    """Return the GPU memory that is free for images."""
    if not arrays.has_gpu():
        raise MissingPart("no GPU that CuPy can use; images are computed with NumPy")
    free = arrays.free_memory_bytes() or 0
    return f"CuPy, {free / GIGABYTE:.0f} GB of GPU memory free"


def version(names: Sequence[str]) -> str:
    """Return the path of a program and the first line of its ``--version``."""
    program = run.find(names)
    with tempfile.TemporaryDirectory(prefix="siren-doctor-") as folder:
        try:
            printed = run.run([str(program), "--version"], folder=Path(folder), timeout_s=VERSION_S).log_text()
        except ProgramError as error:
            raise MissingPart(f"{program} does not run: {error}") from error
    return f"{printed.strip().splitlines()[0] if printed.strip() else 'no version'} at {program}"


def present(names: Sequence[str]) -> str:
    """Return the path of a program."""
    return str(run.find(names))


def is_fit(checks: Sequence[Check]) -> bool:
    """Return whether all required checks passed."""
    return all(check.ok for check in checks if check.required)


def _collect(answers: queue.SimpleQueue[Check], count: int, *, deadline: float) -> dict[str, Check]:
    checks: dict[str, Check] = {}
    while len(checks) < count:
        try:
            check = answers.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            break
        checks[check.name] = check
    return checks


def _failed(probe: Probe, detail: str) -> Check:
    return Check(name=probe.name, ok=False, detail=detail, remedy=probe.remedy, required=probe.required)
