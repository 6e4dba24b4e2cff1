"""Permanent Dask clusters: a TOML file gives the workers of each machine and their slots.

``python -m deployments.clusters NAME`` prints the commands for a supervisor, one line per process.
"""

from __future__ import annotations

import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tasks.errors import UnusableData
from tasks.runtime import KEPT_MEMORY

FOLDER = Path(__file__).parent


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Scheduler(_Strict):
    """Address of the scheduler for workers and flows."""

    host: str
    port: int = Field(default=8786, ge=1, le=65535)


class Workers(_Strict):
    """Workers of one machine: ``cpus`` workers with a CPU slot each, and one with a GPU slot per device of ``gpus``."""

    host: str
    cpus: int = Field(default=0, ge=0)
    gpus: tuple[int, ...] = ()
    memory_gib: float = Field(default=0, ge=0)


class Specification(_Strict):
    """A cluster: one scheduler, and the workers of each machine."""

    scheduler: Scheduler
    workers: tuple[Workers, ...]

    @property
    def address(self) -> str:
        """Return the address for the block ``cluster``."""
        return f"tcp://{self.scheduler.host}:{self.scheduler.port}"


@dataclass(frozen=True, kw_only=True)
class Process:
    """One process of a cluster: machine, command and environment variables."""

    name: str
    host: str
    command: tuple[str, ...]
    environment: dict[str, str]

    def line(self) -> str:
        """Return the process as a line for a supervisor."""
        variables = " ".join(f"{key}={value}" for key, value in self.environment.items())
        return f"{self.host}: {variables} {' '.join(self.command)}".replace("  ", " ")


def names() -> tuple[str, ...]:
    """Return the names of the clusters in this folder."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))


def load(name: str | Path) -> Specification:
    """Read a cluster's file, by its name or path.

    Raises
    ------
    UnusableData
        If the file does not exist, or is not a valid description.
    """
    path = name if isinstance(name, Path) else FOLDER / f"{name}.toml"
    try:
        return Specification.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise UnusableData(f"there is no cluster {name}: known are {', '.join(names())}") from error
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        raise UnusableData(f"{path} describes no cluster: {error}") from error


def processes(specification: Specification, *, python: str = "python") -> tuple[Process, ...]:
    """Return every process of a cluster, the scheduler first."""
    where = specification.scheduler
    words = (python, "-m", "distributed.cli.dask_scheduler", "--host", where.host, "--port", str(where.port))
    scheduler = Process(name="scheduler", host=where.host, command=(*words, "--no-dashboard"), environment={})
    return scheduler, *(
        worker for workers in specification.workers for worker in _workers(specification, workers, python)
    )


def _workers(specification: Specification, workers: Workers, python: str) -> tuple[Process, ...]:
    program = (python, "-m", "distributed.cli.dask_worker", specification.address)
    base = (*program, "--host", workers.host, "--nthreads", "1", "--no-dashboard")
    limit = f"{workers.memory_gib:g}GiB" if workers.memory_gib else "auto"
    cpu = [
        Process(
            name=f"cpu-{number}",
            host=workers.host,
            command=(*base, "--name", f"{workers.host}-cpu-{number}", "--memory-limit", limit, "--resources", "CPU=1"),
            # a CPU task must not open the GPU
            environment={"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", **KEPT_MEMORY},
        )
        for number in range(workers.cpus)
    ]
    gpu = [
        Process(
            name=f"gpu-{device}",
            host=workers.host,
            command=(*base, "--name", f"{workers.host}-gpu-{device}", "--memory-limit", "0", "--resources", "GPU=1"),
            environment={"CUDA_VISIBLE_DEVICES": str(device), **KEPT_MEMORY},
        )
        for device in workers.gpus
    ]
    return (*cpu, *gpu)


def main(arguments: list[str]) -> None:
    """Print the commands of a cluster."""
    specification = load(arguments[0] if arguments else "observatory")
    for process in processes(specification):
        sys.stdout.write(process.line() + "\n")
