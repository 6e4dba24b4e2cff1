"""What this machine has, what it lacks, and how to mend it: questions with a deadline, none of which changes anything."""

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
    """One answer. ``remedy`` is empty where all is well; without a ``required`` part little works."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""
    required: bool = False


@dataclass(frozen=True, kw_only=True)
class Probe:
    """One question: ``ask`` returns what it found, or raises a ``SirenError`` that says what is wrong."""

    name: str
    ask: Callable[[], str]
    remedy: str
    required: bool = False


def examine(probes: Sequence[Probe] | None = None, *, deadline_s: float = DEADLINE_S) -> tuple[Check, ...]:
    """Ask all questions at once; what has not answered by the deadline is not well."""
    probes = all_probes() if probes is None else probes
    answers: queue.SimpleQueue[Check] = queue.SimpleQueue()
    for probe in probes:
        # a daemon: a question that hangs must not keep the command from ending
        threading.Thread(target=lambda probe=probe: answers.put(ask(probe)), daemon=True).start()
    known = _collect(answers, len(probes), deadline=time.monotonic() + deadline_s)
    late = f"no answer within {deadline_s:g} s"
    return tuple(known.get(probe.name) or _ill(probe, late) for probe in probes)


def ask(probe: Probe) -> Check:
    """Ask one question."""
    try:
        return Check(name=probe.name, ok=True, detail=probe.ask(), required=probe.required)
    except SirenError as error:
        return _ill(probe, str(error))
    except Exception as error:  # noqa: BLE001 - a doctor does not fall ill of what it finds
        return _ill(probe, f"{type(error).__name__}: {error}")


def all_probes() -> tuple[Probe, ...]:
    """Return all questions, in the order of the answers."""
    return (*machine_probes(), *program_probes(), *vital_probes())


def machine_probes() -> tuple[Probe, ...]:
    """Return the questions about Python, disk and GPU."""
    return (
        Probe(name="python", ask=python, remedy="make picks the newest Python of 3.11 to 3.14", required=True),
        Probe(name="packages", ask=packages, remedy="make, which installs requirements.lock", required=True),
        Probe(name="disk", ask=disk, remedy="free space, or choose another folder with SIREN_HOME"),
        Probe(
            name="gpu", ask=gpu, remedy="only where there is a GPU: install the extra `gpu` (CuPy); NumPy does without"
        ),
    )


def program_probes() -> tuple[Probe, ...]:
    """Return the questions about external programs."""
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


def vital_probes() -> tuple[Probe, ...]:
    """Return the questions about server, database, blocks, workers and catalogues."""
    bootstrap = "siren bootstrap"
    return (
        Probe(
            name="server", ask=service_checks.server, remedy="siren serve, or set PREFECT_API_URL to a server that runs"
        ),
        Probe(
            name="database", ask=service_checks.database, remedy="set SIREN_REGISTRY_URL, or mend the database it names"
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
    """Say which Python this is."""
    if not PYTHON[0] <= sys.version_info[:2] <= PYTHON[1]:
        raise MissingPart(f"Python {platform.python_version()}; 3.11 to 3.14 are supported")
    return f"{platform.python_version()} at {sys.prefix}"


def packages() -> str:
    """Say which versions decide whether the server works."""
    versions = {name: metadata.version(name) for name in SHOWN}
    for name, limit in BELOW.items():
        if tuple(int(part) for part in versions[name].split(".")[:2]) >= limit:
            raise MissingPart(f"{name} {versions[name]}: the Prefect server needs one below {limit[0]}.{limit[1]}")
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def disk() -> str:
    """Say how much room there is where products go."""
    home = default_paths.home()
    folder = next(each for each in (home, *home.parents) if each.is_dir())
    free = shutil.disk_usage(folder).free
    words = f"{free / GIGABYTE:.0f} GB free for {home}"
    if free < RESERVE_BYTES:
        raise MissingPart(f"{words}; a night needs {RESERVE_BYTES / GIGABYTE:.0f} GB in reserve")
    return words


def gpu() -> str:
    """Say whether images are computed on a GPU."""
    if not arrays.has_gpu():
        raise MissingPart("no GPU that CuPy can use; images are computed with NumPy")
    free = arrays.free_memory_bytes() or 0
    return f"CuPy, {free / GIGABYTE:.0f} GB of GPU memory free"


def version(names: Sequence[str]) -> str:
    """Say where a program is and what it says of itself."""
    found = run.find(names)
    with tempfile.TemporaryDirectory(prefix="siren-doctor-") as folder:
        try:
            said = run.run([str(found), "--version"], folder=Path(folder), timeout_s=VERSION_S).log_text()
        except ProgramError as error:
            raise MissingPart(f"{found} does not run: {error}") from error
    return f"{said.strip().splitlines()[0] if said.strip() else 'no version'} at {found}"


def present(names: Sequence[str]) -> str:
    """Say where a program is."""
    return str(run.find(names))


def is_fit(checks: Sequence[Check]) -> bool:
    """Tell whether every required part is well."""
    return all(check.ok for check in checks if check.required)


def _collect(answers: queue.SimpleQueue[Check], count: int, *, deadline: float) -> dict[str, Check]:
    known: dict[str, Check] = {}
    while len(known) < count:
        try:
            check = answers.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            break
        known[check.name] = check
    return known


def _ill(probe: Probe, detail: str) -> Check:
    return Check(name=probe.name, ok=False, detail=detail, remedy=probe.remedy, required=probe.required)
