"""A run with killed processes is marked as crashed; the state of an ended run does not change."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from support import prefect_server

from deployments.server import automations

pytestmark = [pytest.mark.gate, pytest.mark.server]

FLOWS = """
import os, time
from pathlib import Path
from prefect import flow

@flow
def night(mark: Path, seconds: float) -> None:
    "Write the process id, then wait."
    mark.write_text(str(os.getpid()))
    time.sleep(seconds)

@flow
def reconcile() -> None: "Mend."
"""
DEPLOYMENTS = """
name: brightsiren
pull: []
deployments:
  - {name: prod, entrypoint: silent_flows.night, work_pool: {name: nights}}
  - {name: prod, entrypoint: silent_flows.reconcile, work_pool: {name: alerts}}
"""
HEARTBEAT_S = 30
SILENCE_S = 95


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[prefect_server.Server]:
    folder = tmp_path_factory.mktemp("silent")
    (folder / "silent_flows.py").write_text(FLOWS)
    (folder / "prefect.yaml").write_text(DEPLOYMENTS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(automations, "SILENCE", timedelta(seconds=SILENCE_S))
        patch.setenv("PREFECT_FLOWS_HEARTBEAT_FREQUENCY", str(HEARTBEAT_S))
        with prefect_server.running(
            folder / "home", prefect_file=folder / "prefect.yaml", variables={"PYTHONPATH": str(folder)}
        ) as running:
            yield running


def test_a_run_whose_host_was_killed_is_crashed_within_minutes_and_reconciled(
    server: prefect_server.Server, tmp_path: Path
) -> None:
    mark, ended_mark = tmp_path / "pid", tmp_path / "ended"
    ended = server.run("night/prod", {"mark": str(ended_mark), "seconds": 40})
    server.command("deployment", "run", "night/prod", "-p", f"mark={mark}", "-p", "seconds=600")
    while not mark.exists():
        server.system.check_runs()
        time.sleep(0.5)
    time.sleep(HEARTBEAT_S + 5)

    [worker] = [each for each in server.system.services if each.name == "worker-nights"]
    os.killpg(worker.process.pid, signal.SIGKILL)
    os.kill(int(mark.read_text()), signal.SIGKILL)
    killed = time.monotonic()

    with get_client(sync_client=True) as client:
        [silent] = [run for run in client.read_flow_runs() if str(mark) == run.parameters.get("mark")]
        while not (state := client.read_flow_run(silent.id).state) or not state.is_final():
            assert time.monotonic() - killed < 300
            time.sleep(1)
        assert state.is_crashed()
        assert client.read_flow_run(ended.id).state.is_completed()
        reconcile = client.read_deployment_by_name("reconcile/prod").id
        while not [run for run in client.read_flow_runs() if run.deployment_id == reconcile]:
            assert time.monotonic() - killed < 330
            time.sleep(1)
