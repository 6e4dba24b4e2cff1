"""Run everything on one machine: a Prefect server with its objects, a worker for each pool, optionally the listener.

All state is in one folder, all addresses are on the loopback interface, and all processes end with the block.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.logging.configuration import DEFAULT_LOGGING_SETTINGS_PATH
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings

from deployments.server import bootstrap
from tasks import products
from tasks.errors import ProgramError, Unavailable, UnusableData
from tasks.programs import run

log = logging.getLogger(__name__)

HOST = "127.0.0.1"
START_S = 120.0
POLL_S = 0.5
# interval in s at which a worker polls: a notice must not wait, a night may
ASK_S = {"alerts": 1, "nights": 3}
OUR_LOGGERS = """loggers:
  # added by brightsiren: our log lines appear on the page of their run
  tasks:
    level: INFO
    handlers: [api]

"""


@dataclass(frozen=True, kw_only=True)
class LocalSystem:
    """The running system: addresses of the UI and the API, and the environment for processes that join it."""

    ui_url: str
    api_url: str
    environment: Mapping[str, str]
    services: tuple[run.Service, ...]
    setup: bootstrap.ServerSetup

    def check_runs(self) -> None:
        """Raise ``ProgramError`` if a process has exited."""
        for service in self.services:
            service.check_runs()


@contextmanager
def serving(
    *,
    home: Path,
    port: int,
    prefect_file: Path = bootstrap.PREFECT_FILE,
    pools: Sequence[str] = tuple(ASK_S),
    listen: Sequence[str] = (),
) -> Iterator[LocalSystem]:
    """Run everything while the block runs.

    Parameters
    ----------
    home
        Folder of all state, created if missing.
    port
        Port of the server.
    prefect_file
        Deployments to apply.
    pools
        Work pools that get a worker here.
    listen
        Arguments of ``siren listen``, to run a listener as well; empty means no listener.

    Raises
    ------
    UnusableData
        If the port is in use.
    ProgramError
        If a process exits during its start; with the tail of its log.
    """
    check_free(port)
    home = home.resolve()
    environment = local_environment(home, port)
    with ExitStack() as stack:
        prefect_server = stack.enter_context(server(home, port, environment))
        setup = bootstrap.bootstrap(prefect_file=prefect_file, home=home)
        workers = [
            stack.enter_context(
                _service(home, f"worker-{pool}", worker_command(pool), worker_environment(environment, pool))
            )
            for pool in pools
        ]
        _await_workers(pools, workers)
        listeners = (
            [stack.enter_context(_service(home, "listener", listener_command(listen), environment))] if listen else []
        )
        yield LocalSystem(
            ui_url=f"http://{HOST}:{port}",
            api_url=environment["PREFECT_API_URL"],
            environment=environment,
            services=(prefect_server, *workers, *listeners),
            setup=setup,
        )


@contextmanager
def server(home: Path, port: int, environment: Mapping[str, str]) -> Iterator[run.Service]:
    """Run a Prefect server while the block runs, and let this process use it."""
    write_logging(home / "prefect")
    settings = {PREFECT_API_URL: environment["PREFECT_API_URL"], PREFECT_HOME: home / "prefect"}
    with temporary_settings(settings), _service(home, "server", server_command(port), environment) as started:
        _await_server(started)
        yield started


def watch(system: LocalSystem, stop: threading.Event) -> None:
    """Wait until ``stop`` is set; raise ``ProgramError`` if a process exits before."""
    while not stop.wait(POLL_S):
        system.check_runs()


def local_environment(home: Path, port: int) -> dict[str, str]:
    """Return the environment of the server and its clients: one folder, one address, no telemetry."""
    api = f"http://{HOST}:{port}/api"
    return {
        **os.environ,
        "PREFECT_HOME": str(home / "prefect"),
        "PREFECT_API_URL": api,
        # the UI uses this address; by default it looks for a server on port 4200
        "PREFECT_SERVER_UI_API_URL": api,
        "PREFECT_SERVER_API_HOST": HOST,
        "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": os.environ.get("PREFECT_FLOWS_HEARTBEAT_FREQUENCY", "60"),
        "PREFECT_LOGGING_EXTRA_LOGGERS": "tasks",
        "SIREN_HOME": str(home),
    }


def worker_environment(environment: Mapping[str, str], pool: str) -> dict[str, str]:
    """Return the environment of a pool's worker."""
    return {**environment, "PREFECT_WORKER_QUERY_SECONDS": str(ASK_S.get(pool, 5))}


def server_command(port: int) -> list[str]:
    """Return the command of the Prefect server."""
    return [*_prefect(), "server", "start", "--host", HOST, "--port", str(port)]


def worker_command(pool: str) -> list[str]:
    """Return the command of a pool's worker."""
    return [*_prefect(), "worker", "start", "--pool", pool, "--type", "process", "--name", f"siren-{pool}"]


def listener_command(arguments: Sequence[str]) -> list[str]:
    """Return the command of the listener."""
    return [sys.executable, "-c", "from deployments.cli import main; main()", "listen", *arguments]


def write_logging(prefect_home: Path) -> None:
    """Write Prefect's own logging configuration with our loggers added, to the path that all processes read."""
    configuration = DEFAULT_LOGGING_SETTINGS_PATH.read_text().replace("loggers:\n", OUR_LOGGERS, 1)
    products.write_text(prefect_home / "logging.yml", configuration)


def check_free(port: int) -> None:
    """Raise ``UnusableData`` if the port is in use."""
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((HOST, port))
        except OSError as error:
            raise UnusableData(f"port {port} cannot be used ({error.strerror}): choose another with --port") from error


def free_port() -> int:
    """Return a free port."""
    with socket.socket() as trial:
        trial.bind((HOST, 0))
        return int(trial.getsockname()[1])


def online_workers(client: SyncPrefectClient, pool: str) -> tuple[str, ...]:
    """Return the names of the workers of a pool that are online."""
    workers = client.read_workers_for_work_pool(pool)
    return tuple(worker.name for worker in workers if str(worker.status) in {"ONLINE", "WorkerStatus.ONLINE"})


def _prefect() -> list[str]:
    return [sys.executable, "-m", "prefect", "--no-prompt"]


def _service(
    home: Path, name: str, command: Sequence[str], environment: Mapping[str, str]
) -> AbstractContextManager[run.Service]:
    return run.service(command, folder=home / "logs", name=name, environment=environment)


def _await_server(server: run.Service) -> None:
    deadline = time.monotonic() + START_S
    with get_client(sync_client=True) as client:
        while True:
            server.check_runs()
            try:
                bootstrap.wait_for_health(client, wait_s=POLL_S)
            except Unavailable:
                if time.monotonic() > deadline:
                    raise
            else:
                return


def _await_workers(pools: Sequence[str], workers: Sequence[run.Service]) -> None:
    deadline = time.monotonic() + START_S
    with get_client(sync_client=True) as client:
        while not all(online_workers(client, pool) for pool in pools):
            for worker in workers:
                worker.check_runs()
            if time.monotonic() > deadline:
                raise ProgramError(f"no worker started within {START_S:g} s", log_tail=run.tail(workers[0].log_file))
            time.sleep(POLL_S)
