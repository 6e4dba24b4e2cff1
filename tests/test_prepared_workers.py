"""Workers that are forked from a process which has imported what they need: quick to start, and no word of theirs is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import distributed
import pytest
from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.events import emit_event

from tasks import futures as futures_module
from tasks import runtime

pytestmark = [pytest.mark.server, pytest.mark.usefixtures("prefect_api")]

MODULE = "tasks.science.candidates.stamps"
FORKED = runtime.ClusterSpec(cpu_slots=2, gpu_slots=2, shared=True)


def has_imported() -> bool:
    return MODULE in sys.modules


def started_by() -> str:
    """Return the command of this process's parent."""
    return Path(f"/proc/{os.getppid()}/cmdline").read_text()


@task(cache_policy=NO_CACHE)
def number(value: int) -> int:
    """Return a number; that this has ended is told behind a thousand other words."""
    for _ in range(1000):
        emit_event("siren.test.chatter", resource={"prefect.resource.id": "siren.test"})
    return value


@pytest.fixture(scope="module", autouse=True)
def prepared() -> Iterator[None]:
    """Prepare under the settings of these tests, whatever was prepared before in this process."""
    before = runtime._prepared[:]
    runtime._prepared.clear()
    runtime.prepare(MODULE)
    yield
    runtime._prepared[:] = before


@pytest.fixture
def client() -> Iterator[distributed.Client]:
    with runtime.cluster(FORKED) as address, distributed.Client(address, set_as_default=False) as client:
        yield client


def look() -> None:
    """Tell what workers say that are the first of their process: other tests of this one may have prepared before."""
    runtime.prepare(MODULE)
    with runtime.cluster(FORKED) as address, distributed.Client(address, set_as_default=False) as client:
        told = *client.run(has_imported).values(), *("forkserver" in words for words in client.run(started_by).values())
    sys.stdout.write(" ".join(map(str, told)))


def test_workers_find_imported_what_was_prepared() -> None:
    script = "from test_prepared_workers import look\nif __name__ == '__main__': look()"
    folder = Path(__file__).parent
    environment = {**os.environ, "PYTHONPATH": f"{folder.parent}:{folder}"}
    told = subprocess.check_output([sys.executable, "-c", script], env=environment, text=True, timeout=60)
    assert told.split() == ["True"] * 4


def test_workers_have_the_environment_of_when_they_are_started(monkeypatch) -> None:
    monkeypatch.setenv("SOMETHING_LATER", "now")
    with runtime.cluster(FORKED) as address, distributed.Client(address, set_as_default=False) as client:
        told = client.run(lambda: [os.environ.get(name) for name in ("SOMETHING_LATER", "CUDA_VISIBLE_DEVICES")])
    assert list(told.values()) == [["now", ""], ["now", ""]]


@pytest.mark.parametrize("why", ["a GPU may be there", "Prefect's settings have changed"])
def test_they_are_started_anew_where_a_fork_would_be_wrong(monkeypatch, why) -> None:
    spec = FORKED
    if why.startswith("Prefect"):
        monkeypatch.setenv("PREFECT_LOGGING_LEVEL", "ERROR")
    else:
        spec = runtime.ClusterSpec(cpu_slots=1, gpu_slots=1)
    with runtime.cluster(spec) as address, distributed.Client(address, set_as_default=False) as client:
        assert list(client.run(has_imported).values()) == [False, False]
        assert not any("forkserver" in words for words in client.run(started_by).values())


def test_a_killed_worker_is_back_soon(client) -> None:
    first = client.run(os.getpid)
    os.kill(min(first.values()), signal.SIGKILL)
    began = time.monotonic()
    # the scheduler's own list: to ask the workers takes 30 s where one of them is no more
    while len(now := set(client.scheduler_info()["workers"])) < 2 or now == set(first):
        assert time.monotonic() - began < 20
        time.sleep(0.1)
    assert len(now & set(first)) == 1


def test_the_server_hears_of_the_end_of_every_task() -> None:
    with runtime.cluster(FORKED) as address:

        @flow(task_runner=runtime.runner_for(address))
        def stage() -> list[str]:
            futures = [number.submit(value) for value in range(4)]
            assert futures_module.gather(futures)[0] == tuple(range(4))
            return [str(future.task_run_id) for future in futures]

        runs = stage()
    deadline = time.monotonic() + 10
    with get_client(sync_client=True) as server:
        for run in runs:
            while not server.read_task_run(run).state.is_completed():
                assert time.monotonic() < deadline
                time.sleep(0.1)
