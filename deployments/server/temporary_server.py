"""A temporary Prefect server, for verbs that run flows without a deployment."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, PREFECT_LOGGING_EXTRA_LOGGERS, temporary_settings

from blocks import Cluster, Observatory
from deployments.server import serve
from tasks import runtime
from tasks.records import Places
from tasks.science import arrays

# no heartbeats: a run ends with this process, and with heartbeats a flow ends up to 1 s later
SETTINGS = {PREFECT_LOGGING_EXTRA_LOGGERS: "tasks", PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}
# services for deployments and automations, which a temporary server does not have
UNUSED = (
    "SCHEDULER",
    "LATE_RUNS",
    "FOREMAN",
    "PAUSE_EXPIRATIONS",
    "CANCELLATION_CLEANUP",
    "TRIGGERS",
    "EVENT_PERSISTER",
)
# a write into SQLite may block another one, whose client then waits 2 s: write few and large batches
SERVICES = {f"PREFECT_SERVER_SERVICES_{name}_ENABLED": "false" for name in UNUSED} | {
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "50",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
}
LEVEL = "PREFECT_LOGGING_LEVEL"
# loggers whose lines a terminal does not show below WARNING: the server has the states of runs
CHATTY = ("prefect", "prefect.flow_runs", "prefect.task_runs", "httpx")


@contextmanager
def prefect(home: Path) -> Iterator[str]:
    """Run a server with its state in ``home`` while the block runs; yield its address.

    Raises
    ------
    ProgramError
        If the server does not start; with the tail of its log.
    """
    home = home.resolve()
    port = serve.free_port()
    environment = serve.local_environment(home, port) | SERVICES
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    with _quiet_workers(), temporary_settings(SETTINGS):
        if not arrays.gpus():
            # in parallel to the start of the server; a process that has opened a GPU cannot be forked
            runtime.prepare("flows.nights.night")
        _drain()
        with serve.server(home, port, environment):
            try:
                yield f"http://{serve.HOST}:{port}"
            finally:
                _drain()


def _drain() -> None:
    """Send pending logs and events to this server; later ones go to the server of that time."""
    APILogWorker.drain_all()
    EventsWorker.drain_all()


@contextmanager
def _quiet_workers() -> Iterator[None]:
    """Limit the logs of child processes, Dask's workers, to warnings."""
    before = os.environ.get(LEVEL)
    os.environ[LEVEL] = "WARNING"
    try:
        yield
    finally:
        os.environ.pop(LEVEL)
        if before is not None:
            os.environ[LEVEL] = before


def place(places: Places, *, cpu_slots: int = 0, gpu_slots: int = 0) -> None:
    """Save the blocks ``observatory`` and ``cluster`` for the folders of one command.

    With 0 slots there is a CPU slot for each core and a GPU slot for each GPU. Without a GPU each core has one worker with a
    slot of both kinds.
    """
    cores, devices = os.cpu_count() or 1, arrays.gpus()
    Observatory(
        raw_root=str(places.raw_root),
        product_root=str(places.product_root),
        alert_root=str(places.alert_root),
        references=str(places.references),
        astrometric_catalogue=str(places.astrometric_catalogue),
        photometric_catalogue=str(places.photometric_catalogue),
        telescope=places.telescope,
    ).save("observatory", overwrite=True)
    Cluster(
        cpus=cpu_slots or cores,
        gpus=gpu_slots or devices or cores,
        shared=not (cpu_slots or gpu_slots or devices),
    ).save("cluster", overwrite=True)
