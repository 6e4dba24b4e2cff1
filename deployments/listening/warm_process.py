"""``python -m deployments.listening.warm_process DEPLOYMENT``: a process with everything imported, that does runs of it.

A run's id comes as a line on standard input; the same line goes back on standard output once that run has ended, or was
found in other hands. The first line of output is ``ready``. The process ends with its input, after the run in hand: where
the daemon is killed the run goes on. A run is begun only by who moves it out of the state ``HANDED``, which the server
allows once, so that two warm processes never do the same.
"""

from __future__ import annotations

import io
import logging
import os
import sys
import time
from contextlib import suppress
from typing import Any
from uuid import UUID

import httpx
from prefect import Flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import OrchestrationResult, SetStateStatus
from prefect.context import SyncClientContext
from prefect.exceptions import Abort, ObjectNotFound, PrefectHTTPStatusError
from prefect.flow_engine import run_flow
from prefect.flows import load_flow_from_entrypoint
from prefect.states import Pending

from deployments.listening import dispatch

log = logging.getLogger(__name__)

READY = "ready"
BEGUN = "Begun"
RETRY_S = 2.0


def main(deployment: str) -> None:
    """Do the runs that are named, until there is no more input."""
    answers = _own_output()
    flow = await_flow(deployment)
    # one client and its connections for all runs: to make one takes a tenth of a second
    with SyncClientContext.get_or_create():
        answers.write(f"{READY}\n")
        for line in sys.stdin:
            execute(flow, UUID(line.strip()))
            answers.write(line)


def await_flow(deployment: str) -> Flow[..., Any]:
    """Return the flow of a deployment, as a worker would load it; wait for the server, and for the deployment."""
    while True:
        try:
            with get_client(sync_client=True) as client:
                found = client.read_deployment_by_name(deployment)
        except (httpx.HTTPError, PrefectHTTPStatusError, ObjectNotFound, RuntimeError) as trouble:
            # RuntimeError: Prefect's words for a server that cannot be reached
            log.warning("%s cannot be read yet: %s", deployment, trouble)
            time.sleep(RETRY_S)
        else:
            return load_flow_from_entrypoint(str(found.entrypoint))


def execute(flow: Flow[..., Any], run_id: UUID) -> bool:
    """Do a run, unless it is in other hands; return whether it was done here. A flow that fails is a run that failed."""
    with get_client(sync_client=True) as client:
        run = client.read_flow_run(run_id)
        if not claim(client, run):
            log.info("run %s is in other hands", run_id)
            return False
    with suppress(Abort):  # the server's word that it was called off
        run_flow(flow, flow_run=run, return_type="state")
    return True


def claim(client: SyncPrefectClient, run: FlowRun) -> bool:
    """Move a run out of the state ``HANDED``; false where somebody else did so before."""
    if run.state is None or run.state.name != dispatch.HANDED:
        return False
    message = f"by process {os.getpid()} of {os.uname().nodename}"
    answer: OrchestrationResult[Any] = client.set_flow_run_state(run.id, Pending(name=BEGUN, message=message))
    return answer.status is SetStateStatus.ACCEPT


def _own_output() -> io.TextIOWrapper:
    """Keep standard output for our answers; whatever else is printed goes to the log."""
    answers = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)
    return answers


if __name__ == "__main__":
    main(*sys.argv[1:])
