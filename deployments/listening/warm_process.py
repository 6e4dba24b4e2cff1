"""``python -m deployments.listening.warm_process DEPLOYMENT``: a process with everything imported that executes its runs.

It reads the ids of runs from standard input, one per line, and writes each line back to standard output when that run has
ended or another process executes it. Its first line of output is ``ready``. At the end of input it finishes the current
run and exits, so a killed daemon does not stop a run. A process must move a run out of the state ``HANDED`` before it
starts it. The server allows that once, so two processes never execute the same run.
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
    """Execute the runs named on standard input, until its end."""
    answers = _own_output()
    flow = await_flow(deployment)
    # one client for all runs: creating one takes 0.1 s
    with SyncClientContext.get_or_create():
        answers.write(f"{READY}\n")
        for line in sys.stdin:
            execute(flow, UUID(line.strip()))
            answers.write(line)


def await_flow(deployment: str) -> Flow[..., Any]:
    """Return the flow of a deployment, loaded as a worker loads it; wait for the server and the deployment."""
    while True:
        try:
            with get_client(sync_client=True) as client:
                description = client.read_deployment_by_name(deployment)
        except (httpx.HTTPError, PrefectHTTPStatusError, ObjectNotFound, RuntimeError) as trouble:
            # Prefect raises RuntimeError if the server cannot be reached
            log.warning("%s cannot be read yet: %s", deployment, trouble)
            time.sleep(RETRY_S)
        else:
            return load_flow_from_entrypoint(str(description.entrypoint))


def execute(flow: Flow[..., Any], run_id: UUID) -> bool:
    """Execute a run unless another process does; return whether it ran here. A failed flow raises nothing."""
    with get_client(sync_client=True) as client:
        run = client.read_flow_run(run_id)
        if not claim(client, run):
            log.info("another process executes run %s", run_id)
            return False
    with suppress(Abort):  # the server cancelled the run
        run_flow(flow, flow_run=run, return_type="state")
    return True


def claim(client: SyncPrefectClient, run: FlowRun) -> bool:
    """Move a run out of the state ``HANDED``; return False if another process already did."""
    if run.state is None or run.state.name != dispatch.HANDED:
        return False
    message = f"by process {os.getpid()} of {os.uname().nodename}"
    answer: OrchestrationResult[Any] = client.set_flow_run_state(run.id, Pending(name=BEGUN, message=message))
    return answer.status is SetStateStatus.ACCEPT


def _own_output() -> io.TextIOWrapper:
    """Reserve standard output for our answers; send everything else printed to standard error."""
    answers = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)
    return answers


if __name__ == "__main__":
    main(*sys.argv[1:])
