"""The Dask cluster with declared slots, and the runner that gives every task the slot it needs.

A task with the tag ``gpu`` takes a GPU slot, any other task a CPU slot. A slot is a Dask resource that the workers
declare, so a GPU never runs two tasks at a time and is never blocked by CPU work. Dask waits forever for a slot that no
worker has; the runner checks first and raises ``MissingPart``.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from multiprocessing import forkserver
from typing import Any, TypeVar

import dask
import distributed
from dask.base import annotate
from prefect import Task
from prefect.context import FlowRunContext
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner
from prefect_dask.task_runners import DaskTaskRunner

from tasks.errors import MissingPart, Unavailable

log = logging.getLogger(__name__)

R = TypeVar("R")
T = TypeVar("T")

GPU_TAG = "gpu"
CONNECT_S = 10.0
# a killed worker is restarted by its nanny within seconds; a known slot may be missing for this long
RETURN_S = 60.0
START_S = 60.0
LAUNCHES = 3
# Dask itself removes a lost worker after 15 s
REPLACE_S = 3.0
POLL_S = 0.2
# Values that glibc would reach by itself in a process that allocates and frees images. Dask's setting returns all memory
# at once, and the pages of each plane are then allocated again for every operation: calibration takes twice as long
KEPT_MEMORY = {"MALLOC_TRIM_THRESHOLD_": str(64 << 20), "MALLOC_MMAP_THRESHOLD_": str(32 << 20)}
# Dask logs every connection; only errors matter at a terminal
QUIET = {"DASK_LOGGING__DISTRIBUTED": "error"}
PRE_SPAWN = "distributed.nanny.pre-spawn-environ"

# Prefect's settings when the process was started from which workers are forked
_prepared: list[dict[str, str]] = []


class Slot(StrEnum):
    """The resource that a task holds while it runs; the value is the Dask resource's name."""

    CPU = "CPU"
    GPU = "GPU"


@dataclass(frozen=True, kw_only=True)
class ClusterSpec:
    """A cluster to join (``address``) or to start on this machine.

    ``cpu_slots`` workers of one thread each have a CPU slot; ``gpu_slots`` workers have a GPU slot and one of the
    visible GPUs each. Without a GPU the tasks of a GPU slot compute with NumPy: ``shared`` then gives both slots to the
    same workers, as many as the larger number. ``memory_limit`` is Dask's, for each CPU worker (``auto``: its share of
    the machine's memory).
    """

    address: str | None = None
    cpu_slots: int = field(default_factory=lambda: os.cpu_count() or 1)
    gpu_slots: int = 1
    shared: bool = False
    memory_limit: str = "auto"


def slot_of(task: Task[..., Any]) -> Slot:
    """Return the slot that a task needs."""
    return Slot.GPU if GPU_TAG in task.tags else Slot.CPU


class TaggedDaskRunner(DaskTaskRunner):
    """Give a GPU slot to tasks tagged ``gpu`` and a CPU slot to every other task.

    Raises
    ------
    MissingPart
        On ``submit`` and ``map``, if no worker of the cluster has the slot that the task needs.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._present: set[Slot] = set()

    def submit(self, task: Any, parameters: Any, wait_for: Any = None, dependencies: Any = None) -> Any:
        """Submit a task to the workers that have its slot."""
        slot = slot_of(task)
        if slot not in self._present:
            require(self.client, slot)
            self._present.add(slot)
        with annotate(resources={slot.value: 1}):
            return super().submit(task, parameters, wait_for=wait_for, dependencies=dependencies)


class LateDaskRunner(TaggedDaskRunner):
    """A ``TaggedDaskRunner`` that starts its own cluster on this machine at the first submitted task.

    A stage that is called alone runs on it; a flow that calls stages gives them a runner for the common cluster.
    """

    def __init__(self, **kwargs: Any) -> None:
        own = {} if kwargs.get("address") or kwargs.get("cluster_class") else {"cluster_class": cluster}
        super().__init__(**{**kwargs, **own})


def require(client: distributed.Client, slot: Slot, *, return_s: float = RETURN_S) -> None:
    """Raise ``MissingPart`` if no worker has ``slot``: at once if none ever had, else after ``return_s`` seconds."""
    deadline = time.monotonic() + return_s
    while not (offered := slots(client)).get(slot.value):
        if slot.value not in offered or time.monotonic() > deadline:
            raise MissingPart(
                f"no Dask worker of {_address(client)} has a {slot.value} slot (there are: {_words(offered)}); "
                f"start one with: dask worker ADDRESS --nthreads 1 --resources {slot.value}=1"
            )
        time.sleep(POLL_S)


def slots(client: distributed.Client) -> dict[str, float]:
    """Return the number of slots of each kind in the cluster; 0 for a kind whose workers are lost."""
    return dict(client.run_on_scheduler(_slots_of_scheduler))  # type: ignore[no-untyped-call]  # Dask's own


def runner_for(address: str | None) -> TaskRunner[Any]:
    """Return a runner for the cluster at ``address``; without an address, one with threads of this process."""
    return TaggedDaskRunner(address=address) if address else ThreadPoolTaskRunner(max_workers=os.cpu_count() or 1)


def own_runner() -> TaskRunner[Any]:
    """Return the runner of a stage that is called alone: it starts its own cluster at the first task."""
    return LateDaskRunner()


@contextmanager
def cluster(spec: ClusterSpec | None = None) -> Iterator[str]:
    """Yield the address of a cluster with the slots of ``spec``; one started here stops with the block.

    Raises
    ------
    Unavailable
        If nothing answers at the address of ``spec``, or the workers do not start.
    """
    spec = spec or ClusterSpec()
    if spec.address:
        _check_answers(spec.address)
        yield spec.address
        return
    folder = tempfile.TemporaryDirectory(prefix="siren-dask-")
    with folder as name, local_cluster(spec, folder=name) as started, _complete(started):
        yield str(started.scheduler_address)


@contextmanager
def _complete(started: distributed.SpecCluster) -> Iterator[None]:
    """Replace lost workers while the block runs.

    A nanny restarts a worker that crashes, but gives up if it crashes again during its start; its slot would be lost
    and tasks would wait for it forever.
    """
    stop = threading.Event()

    def keep() -> None:
        while not stop.wait(REPLACE_S):
            started.scale(len(started.worker_spec))  # type: ignore[no-untyped-call]  # Dask's own

    keeper = threading.Thread(target=keep, name="siren-workers", daemon=True)
    keeper.start()
    try:
        yield
    finally:
        stop.set()
        keeper.join()


def prepare(*modules: str) -> None:
    """Start to import modules in a process from which ``shared`` workers are forked later; return at once.

    Otherwise each worker imports them itself, which takes seconds. A worker with a real GPU is not forked, since it cannot
    use a device opened before the fork. There is one such process during the lifetime of this one.
    """
    if _prepared:
        return
    os.environ.update(_environment())  # it sets up memory and threads when it starts
    multiprocessing.get_context("forkserver").set_forkserver_preload(list(modules))
    forkserver.ensure_running()
    _prepared.append(_settings())


def _method(spec: ClusterSpec) -> str:
    """Return the start method of workers: a fork only if the prepared process has the present settings."""
    return "forkserver" if spec.shared and _settings() in _prepared else "spawn"


def _settings() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key.startswith("PREFECT_")}


def _environment() -> dict[str, str]:
    """Return the variables that a worker needs at its start; the nanny sets others later."""
    return {**{key: str(value) for key, value in dask.config.get(PRE_SPAWN).items()}, **QUIET, **KEPT_MEMORY}


def local_cluster(spec: ClusterSpec, *, folder: str) -> distributed.SpecCluster:
    """Start scheduler and workers on the loopback interface, each worker under a nanny, and wait for them."""
    logging.getLogger("distributed").setLevel(logging.ERROR)
    dask.config.set({PRE_SPAWN: _environment(), "distributed.worker.multiprocessing-method": _method(spec)})
    started = _launch(spec, folder=folder)
    try:
        started.wait_for_workers(len(started.worker_spec), timeout=START_S)
    except TimeoutError as error:
        started.close()
        raise Unavailable(f"the Dask workers did not start within {START_S:g} s") from error
    return started


def _launch(spec: ClusterSpec, *, folder: str) -> distributed.SpecCluster:
    """Start a cluster; retry, since a nanny gives up if its worker crashes during its start."""
    quiet = {"host": "127.0.0.1", "dashboard": False, "dashboard_address": "127.0.0.1:0"}
    trouble: RuntimeError | None = None
    for _ in range(LAUNCHES):
        try:
            return distributed.SpecCluster(  # type: ignore[no-untyped-call]  # Dask's own
                scheduler={"cls": distributed.Scheduler, "options": quiet},
                workers=_workers(spec, {**quiet, "local_directory": folder}),
                silence_logs=logging.ERROR,
            )
        except RuntimeError as error:
            trouble = error
    raise Unavailable(f"the Dask workers cannot be started: {trouble}") from trouble


def _workers(spec: ClusterSpec, quiet: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    if spec.shared:
        number = max(spec.cpu_slots, spec.gpu_slots)
        return {f"both-{i}": _worker((Slot.CPU, Slot.GPU), {**quiet, "memory_limit": 0}) for i in range(number)}
    limited = {**quiet, "memory_limit": spec.memory_limit}
    cpu = {f"cpu-{i}": _worker((Slot.CPU,), limited) for i in range(spec.cpu_slots)}
    devices = [device for device in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if device]
    gpu = {
        # no limit: a batch's memory follows from its options, and half of the machine's memory is free meanwhile
        f"gpu-{i}": _worker(
            (Slot.GPU,), {**quiet, "memory_limit": 0}, device=devices[i] if i < len(devices) else str(i)
        )
        for i in range(spec.gpu_slots)
    }
    return {**cpu, **gpu}


def _worker(held: Sequence[Slot], options: Mapping[str, Any], *, device: str = "") -> dict[str, Any]:
    """Describe a worker that holds these slots, runs one task at a time, and sees one GPU or none."""
    # a forked worker has the environment of the prepared process
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": device}
    named = {"nthreads": 1, "resources": {slot.value: 1 for slot in held}, "env": environment}
    return {"cls": distributed.Nanny, "options": {**options, **named}}


def _slots_of_scheduler(dask_scheduler: distributed.Scheduler) -> dict[str, float]:
    return {name: sum(workers.values()) for name, workers in dask_scheduler.resources.items()}


def _check_answers(address: str) -> None:
    try:
        client = distributed.Client(address, set_as_default=False, timeout=CONNECT_S)  # type: ignore[no-untyped-call]  # Dask's own
        client.close()  # type: ignore[no-untyped-call]  # Dask's own
    except OSError as error:
        raise Unavailable(f"no Dask scheduler answers at {address}: {error}") from error


def _address(client: distributed.Client) -> str:
    return str(client.scheduler.address) if client.scheduler else "a closed cluster"


def _words(offered: Mapping[str, float]) -> str:
    return ", ".join(f"{number:g} {name}" for name, number in offered.items()) or "none"


def seconds() -> float:
    """Return the wall time since the flow around this task began, or 0 outside a flow."""
    context = FlowRunContext.get()
    return (datetime.now(UTC) - context.start_time).total_seconds() if context else 0.0
