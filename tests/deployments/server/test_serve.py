"""``siren serve`` from the command line, and flows run by its workers."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from support import kafka, prefect_server

from deployments.server import serve
from tasks.errors import UnusableData

FLOWS = """
import logging
from datetime import date
from prefect import flow, task
from tasks import futures, runtime

@task(tags={"gpu"})
def where(number: int) -> str:
    import distributed
    logging.getLogger("tasks.where").info("task %d speaks", number)
    return str(distributed.get_worker().name)

@flow(task_runner=runtime.LateDaskRunner())
def night(night: date, count: int = 2) -> list[str]:
    logging.getLogger("tasks.night").info("the flow speaks of %s", night)
    names, failures = futures.gather(where.map(range(count)))
    assert not failures and set(names) == {"gpu-0"}
    return list(names)

@flow
def reconcile() -> None: "Mend."

@flow
def respond(path: str, sha256: str, topic: str | None, partition: int | None, offset: int | None) -> None:
    "Understand."
    logging.getLogger("tasks.respond").info("%s: %s", topic, open(path, "rb").read().decode())
"""
DEPLOYMENTS = """
name: brightsiren
pull: []
deployments:
  - name: prod
    entrypoint: served_flows.night
    work_pool: {name: nights}
    triggers:
      - name: siren-reduce-settled-night
        type: event
        enabled: true
        match: {prefect.resource.id: "siren.night.*"}
        expect: [night.settled]
        parameters: {night: "{{ event.payload.night }}"}
  - name: prod
    entrypoint: served_flows.reconcile
    work_pool: {name: alerts}
    schedules: [{interval: 600, slug: every-ten-minutes}]
  - name: prod
    entrypoint: served_flows.respond
    work_pool: {name: alerts}
"""


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served")
    (folder / "served_flows.py").write_text(FLOWS)
    (folder / "prefect.yaml").write_text(DEPLOYMENTS)
    return folder


def with_path(folder: Path) -> str:
    return os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))


@pytest.fixture(scope="module")
def broker() -> Iterator[kafka.Broker]:
    with kafka.broker() as started:
        yield started


@pytest.fixture(scope="module")
def server(
    checkout: Path, broker: kafka.Broker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[prefect_server.Server]:
    home = tmp_path_factory.mktemp("home")
    with prefect_server.running(
        home,
        prefect_file=checkout / "prefect.yaml",
        pools=("nights", "alerts"),
        variables={"PYTHONPATH": with_path(checkout), "SIREN_HOME": str(home)},
        listen=("--bootstrap", broker.address, "--topic", "igwn.gwalert"),
    ) as running:
        yield running


@pytest.mark.server
def test_a_deployment_runs_on_dask_workers_and_its_page_has_our_lines(server: prefect_server.Server) -> None:
    run = server.run("night/prod", {"night": "2026-01-15", "count": 3})
    assert run.state is not None
    assert run.state.is_completed(), server.logs(run)
    assert server.says(run, "the flow speaks of 2026-01-15")
    assert server.says(run, "task 2 speaks")


@pytest.mark.server
def test_a_parameter_that_does_not_fit_is_refused_before_the_run(server: prefect_server.Server) -> None:
    with pytest.raises(AssertionError, match="count"):
        server.command("deployment", "run", "night/prod", "-p", "night=2026-01-15", "-p", "count=many")


@pytest.mark.server
def test_a_notice_becomes_a_run_within_seconds_and_once(server: prefect_server.Server, broker: kafka.Broker) -> None:
    started = time.monotonic()
    broker.send("igwn.gwalert", b"a neutron star", b"a neutron star")
    while not (runs := runs_of("respond/prod")):
        server.system.check_runs()
        assert time.monotonic() - started < 60
        time.sleep(0.2)
    run = server.wait(runs[0])
    assert run.state is not None
    assert run.state.is_completed()
    assert server.says(run, "igwn.gwalert: a neutron star")
    assert len(runs_of("respond/prod")) == 1


@pytest.mark.server
def test_a_schedule_becomes_runs(server: prefect_server.Server) -> None:
    deadline = time.monotonic() + 90
    while not runs_of("reconcile/prod"):
        server.system.check_runs()
        assert time.monotonic() < deadline
        time.sleep(0.5)


def runs_of(name: str) -> list[FlowRun]:
    with get_client(sync_client=True) as client:
        deployment = client.read_deployment_by_name(name)
        return [run for run in client.read_flow_runs() if run.deployment_id == deployment.id]


@pytest.mark.server
def test_siren_serve_starts_everything_and_stops_it(checkout: Path, tmp_path: Path) -> None:
    port = serve.free_port()
    words = ["serve", "--home", str(tmp_path), "--port", str(port), "--file", str(checkout / "prefect.yaml"), "--json"]
    command = [sys.executable, "-c", "from deployments.cli import main; main()", *words]
    environment = os.environ | {"PYTHONPATH": with_path(checkout)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as siren:
        try:
            line = siren.stdout.readline() if siren.stdout else ""
            told = json.loads(line or "{}")
            assert told.get("ui") == f"http://127.0.0.1:{port}", siren.stderr.read() if siren.stderr else ""
            assert ask(f"{told['api']}/health") is True
            assert {each["name"] for each in ask(f"{told['api']}/deployments/filter", {})} == {"prod"}
            for pool in ("alerts", "nights"):
                workers = ask(f"{told['api']}/work_pools/{pool}/workers/filter", {})
                assert [each["status"] for each in workers] == ["ONLINE"]
            with urllib.request.urlopen(f"{told['ui']}/ui-settings", timeout=10) as settings:
                assert json.load(settings)["api_url"] == told["api"]
        finally:
            siren.send_signal(signal.SIGINT)
        assert siren.wait(40) == 0
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0
    assert {path.name for path in (tmp_path / "logs").iterdir()} == {
        "server.log",
        "worker-alerts.log",
        "worker-nights.log",
    }


def test_a_port_that_is_taken_is_bad_input(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UnusableData, match=f"port {port} cannot be used"), serve.serving(home=tmp_path, port=port):
            pass
    assert not list(tmp_path.iterdir())


def ask(url: str, body: object | None = None) -> object:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)
