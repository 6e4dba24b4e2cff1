"""The Prefect server of one command: it records runs, and needs nothing of a deployment."""

from __future__ import annotations

import time

import pytest
from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.settings import get_current_settings

from deployments.server import temporary_server

pytestmark = pytest.mark.server
LIMIT_S = 10.0


@task(cache_policy=NO_CACHE, task_run_name="add-{number}")
def add(number: int) -> int:
    return number + 1


@flow
def inner() -> int:
    return add(1)


@flow
def outer() -> list[int | None]:
    return [get_current_settings().flows.heartbeat_frequency for _ in range(4) if inner() == 2]


@pytest.fixture(scope="module", autouse=True)
def address(tmp_path_factory: pytest.TempPathFactory):
    with temporary_server.prefect(tmp_path_factory.mktemp("private")) as address:
        yield address


def test_flows_have_no_heartbeats_which_would_end_each_up_to_a_second_late() -> None:
    assert outer() == [None] * 4


def test_the_server_keeps_every_run_with_its_name_and_end() -> None:
    outer()
    deadline = time.monotonic() + LIMIT_S
    with get_client(sync_client=True) as client:
        while [run.name for run in client.read_task_runs() if run.state and run.state.is_completed()].count(
            "add-1"
        ) < 4:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert all(run.state and run.state.is_completed() for run in client.read_flow_runs())
