"""Set up the Prefect server: blocks, pools, limits, deployments, automations.

Idempotent: each object is created or updated by its name. Changes by an operator are kept: whether a schedule or an
automation is on, and blocks without variables in the environment.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectNotFound
from prefect.settings import get_current_settings

from deployments.server import automations, blocks_from_environment
from tasks.errors import MissingPart, Unavailable
from tasks.programs import run

log = logging.getLogger(__name__)

PREFECT_FILE = Path(__file__).resolve().parents[2] / "prefect.yaml"
POOLS = {
    "alerts": "Urgent work: notices, plans, messages. Its worker polls every second.",
    "nights": "Work of hours: nights and their stages, on the machine with disks and GPUs.",
}
# queues of a pool, the most urgent first: a free worker takes its next run from there
QUEUES = {"nights": ("urgent", "default")}
# shared external services, and how many of our tasks may use each at a time
LIMITS = {"store": 4, "catalogues": 2}
WAIT_S = 60.0
DEPLOY_S = 300.0
POLL_S = 0.25


@dataclass(frozen=True, kw_only=True)
class ServerSetup:
    """Names of the objects on the server after a bootstrap, and the variables that are missing."""

    server: str
    blocks: tuple[str, ...]
    pools: tuple[str, ...]
    limits: tuple[str, ...]
    deployments: tuple[str, ...]
    automations: tuple[str, ...]
    missing: tuple[str, ...]


def bootstrap(*, prefect_file: Path = PREFECT_FILE, home: Path | None = None, wait_s: float = WAIT_S) -> ServerSetup:
    """Set up the server that ``PREFECT_API_URL`` names.

    Parameters
    ----------
    prefect_file
        Deployments to apply.
    home
        Folder of the default paths in new blocks.
    wait_s
        Longest wait for the server, in s.

    Raises
    ------
    Unavailable
        If the server does not answer.
    MissingPart
        If the file of deployments does not exist.
    ProgramError
        If a deployment is refused; the message is Prefect's.
    """
    if not prefect_file.is_file():
        raise MissingPart(f"{prefect_file} does not exist: run in a checkout, or name the file with --file")
    with get_client(sync_client=True) as client:
        server = wait_for_health(client, wait_s=wait_s)
        saved_blocks = blocks_from_environment.save_blocks(
            defaults=blocks_from_environment.local_defaults(home) if home else {}
        )
        make_pools(client)
        make_queues(client)
        make_limits(client)
        schedules = schedules_of(client)
        deploy(prefect_file)
        restore(client, schedules)
        return ServerSetup(
            server=server,
            blocks=saved_blocks.saved,
            pools=tuple(POOLS),
            limits=tuple(LIMITS),
            deployments=deployment_names(client),
            automations=automations.upsert_all(client),
            missing=saved_blocks.missing,
        )


def wait_for_health(client: SyncPrefectClient, *, wait_s: float) -> str:
    """Wait until the server answers; return its address."""
    deadline = time.monotonic() + wait_s
    while (trouble := client.api_healthcheck()) is not None:
        if time.monotonic() > deadline:
            raise Unavailable(f"the Prefect server at {client.api_url} does not answer: {trouble}")
        time.sleep(POLL_S)
    return str(client.api_url)


def make_pools(client: SyncPrefectClient) -> None:
    """Create the work pools that are missing."""
    for name, description in POOLS.items():
        try:
            client.read_work_pool(name)
        except ObjectNotFound:
            client.create_work_pool(WorkPoolCreate(name=name, type="process", description=description))
            log.info("work pool %s created", name)


def make_queues(client: SyncPrefectClient) -> None:
    """Create the queues that are missing, and set their priorities."""
    for pool, names in QUEUES.items():
        for priority, name in enumerate(names, start=1):
            try:
                queue = client.read_work_queue_by_name(name, work_pool_name=pool)
            except ObjectNotFound:
                client.create_work_queue(name, work_pool_name=pool, priority=priority)
            else:
                if queue.priority != priority:
                    client.update_work_queue(queue.id, priority=priority)


def make_limits(client: SyncPrefectClient) -> None:
    """Create or update the limits on shared services."""
    for name, limit in LIMITS.items():
        client.upsert_global_concurrency_limit_by_name(name, limit)


def deploy(prefect_file: Path) -> None:
    """Apply every deployment of the file with Prefect's own command, which replaces the automations of triggers."""
    with tempfile.TemporaryDirectory(prefix="siren-deploy-") as folder:
        command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file"]
        run.run(
            [*command, str(prefect_file)], folder=Path(folder), timeout_s=DEPLOY_S, environment=server_environment()
        )


def server_environment() -> Mapping[str, str]:
    """Return our environment with the Prefect settings of this process, for a process that uses the same server."""
    return os.environ | get_current_settings().to_environment_variables(exclude_unset=True, include_secrets=True)


def deployment_names(client: SyncPrefectClient) -> tuple[str, ...]:
    """Return the deployments of the server, as ``flow/deployment``."""
    flows = {flow.id: flow.name for flow in client.read_flows()}
    return tuple(sorted(f"{flows[item.flow_id]}/{item.name}" for item in client.read_deployments()))


def schedules_of(client: SyncPrefectClient) -> dict[tuple[UUID, str], bool]:
    """Return which schedules are on, by deployment and slug."""
    return {
        (deployment.id, schedule.slug): schedule.active
        for deployment in client.read_deployments()
        for schedule in deployment.schedules
        if schedule.slug
    }


def restore(client: SyncPrefectClient, before: Mapping[tuple[UUID, str], bool]) -> None:
    """Turn schedules on or off as they were before; deploying sets them to the state in the file."""
    for deployment in client.read_deployments():
        for schedule in deployment.schedules:
            active = before.get((deployment.id, schedule.slug or ""), schedule.active)
            if active != schedule.active:
                client.update_deployment_schedule(deployment.id, schedule.id, active=active)
