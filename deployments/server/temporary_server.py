"""A Prefect server of one command's own: for verbs that run flows on a machine where nobody serves."""

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

# nobody waits for a silent run here: it ends with this process. A flow with heartbeats ends up to 1 s late
SETTINGS = {PREFECT_LOGGING_EXTRA_LOGGERS: "tasks", PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}
# what a server does for deployments and automations, of which this one has none
UNUSED = (
    "SCHEDULER",
    "LATE_RUNS",
    "FOREMAN",
    "PAUSE_EXPIRATIONS",
    "CANCELLATION_CLEANUP",
    "TRIGGERS",
    "EVENT_PERSISTER",
)
# each write into SQLite may have another one refused, whose client waits 2 s: few and large ones
SERVICES = {f"PREFECT_SERVER_SERVICES_{name}_ENABLED": "false" for name in UNUSED} | {
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "50",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
}
LEVEL = "PREFECT_LOGGING_LEVEL"
# a person at a terminal reads our own lines; the states of runs are on the server's pages
CHATTY = ("prefect", "prefect.flow_runs", "prefect.task_runs", "httpx")


@contextmanager
def prefect(home: Path) -> Iterator[str]:
    """Run a server whose state lies in ``home`` for the length of a block; give its address.

    Raises
    ------
    ProgramError
        Where the server does not start, with the tail of its log.
    """
    home = home.resolve()
    port = serve.free_port()
    environment = serve.local_environment(home, port) | SERVICES
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    with _quiet_workers(), temporary_settings(SETTINGS):
        if not arrays.gpus():
            # while the server starts; a process that opened a GPU could not be forked
            runtime.prepare("flows.nights.night")
        _drain()
        with serve.server(home, port, environment):
            try:
                yield f"http://{serve.HOST}:{port}"
            finally:
                _drain()


def _drain() -> None:
    """Send what is on its way to the server of now, while it is there; what comes later goes to the one of then."""
    APILogWorker.drain_all()
    EventsWorker.drain_all()


@contextmanager
def _quiet_workers() -> Iterator[None]:
    """Have the processes that are started meanwhile, Dask's workers, say no more than this one does."""
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

    No slots asked for means a CPU slot for each core and a GPU slot for each GPU; where NumPy does that work, each core has
    one worker with a slot of both kinds.
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
