"""Which worker ran what, on a real cluster of one CPU and one GPU slot."""

from __future__ import annotations

import logging
import os
import resource
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import distributed
import numpy as np
import pytest
from prefect import flow, task, unmapped
from prefect.cache_policies import NO_CACHE
from prefect.futures import PrefectFuture
from prefect.task_runners import ThreadPoolTaskRunner

from tasks import futures as futures_module
from tasks import runtime
from tasks.errors import MissingPart, Unavailable, UnusableData
from tasks.records import Rejected

pytestmark = [pytest.mark.server, pytest.mark.usefixtures("prefect_api")]


def worker_name() -> str:
    return str(distributed.get_worker().name)


@task(cache_policy=NO_CACHE)
def on_cpu(number: int, offset: int = 0) -> tuple[str, int]:
    return worker_name(), number + offset


@task(tags={"gpu"}, cache_policy=NO_CACHE)
def on_gpu(number: int, offset: int = 0) -> tuple[str, int]:
    return worker_name(), number + offset


@task(tags={"gpu"}, cache_policy=NO_CACHE)
def hold_gpu(folder: Path, number: int) -> int:
    """Return how many tasks held a GPU slot while this one did."""
    mark = folder / str(number)
    mark.touch()
    time.sleep(0.05)
    together = len(list(folder.iterdir()))
    mark.unlink()
    return together


@task(cache_policy=NO_CACHE, task_run_name="reduce-{number}")
def fail_when_odd(number: int) -> int:
    if number == 3:
        raise ValueError("three")
    if number % 2:
        raise UnusableData(f"frame {number} is odd (allowed: even)")
    return number


@task(cache_policy=NO_CACHE)
def add_one(number: int) -> int:
    return number + 1


@task(cache_policy=NO_CACHE, tags={"gpu"})
def die_once(mark: Path) -> str:
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return worker_name()


@task(cache_policy=NO_CACHE, task_run_name="always-dies")
def die_always() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with runtime.cluster(runtime.ClusterSpec(cpu_slots=1, gpu_slots=1)) as address:
        yield address


@flow
def inner() -> tuple[list[str], list[str]]:
    cpu, _ = futures_module.gather(on_cpu.submit(i) for i in range(3))
    gpu, _ = futures_module.gather(on_gpu.submit(i) for i in range(3))
    return [name for name, _ in cpu], [name for name, _ in gpu]


def test_submit_map_and_subflow_run_on_the_worker_with_the_slot(address: str) -> None:
    @flow(task_runner=runtime.runner_for(address))
    def outer() -> tuple[list[str], list[str]]:
        cpu, _ = futures_module.gather([on_cpu.submit(1), *on_cpu.map([1, 2, 3], offset=unmapped(10))], stage="x")
        first = on_gpu.submit(1)
        chained = on_gpu.submit(2, wait_for=[first])
        gpu, _ = futures_module.gather([first, chained, *on_gpu.map([1, 2, 3], offset=unmapped(10))])
        assert [value for _, value in cpu] == [1, 11, 12, 13]
        names = inner.with_options(task_runner=runtime.runner_for(address))()
        return [name for name, _ in cpu] + names[0], [name for name, _ in gpu] + names[1]

    cpu, gpu = outer()
    assert Counter(cpu) == {"cpu-0": 7}
    assert Counter(gpu) == {"gpu-0": 8}


def test_a_gpu_never_runs_two_tasks_at_a_time(address: str, tmp_path: Path) -> None:
    @flow(task_runner=runtime.runner_for(address))
    def many() -> tuple[int, ...]:
        return futures_module.gather([hold_gpu.submit(tmp_path, i) for i in range(20)])[0]

    together = many()
    assert together == (1,) * 20


def test_a_slot_that_nobody_has_fails_at_once() -> None:
    with runtime.cluster(runtime.ClusterSpec(cpu_slots=1, gpu_slots=0)) as cpu_only:

        @flow(task_runner=runtime.runner_for(cpu_only))
        def needs_gpu() -> None:
            on_gpu.submit(1).wait()

        started = time.monotonic()
        with pytest.raises(MissingPart, match=r"no Dask worker .* has a GPU slot \(there are: 1 CPU\)"):
            needs_gpu()
    assert time.monotonic() - started < 10


def test_a_task_whose_worker_is_killed_runs_again(address: str, tmp_path: Path) -> None:
    @flow(task_runner=runtime.runner_for(address))
    def survives() -> tuple[str, ...]:
        first = futures_module.gather([die_once.submit(tmp_path / "mark")])[0]
        return first + futures_module.gather([on_gpu.submit(1)])[0][0][:1]

    assert survives() == ("gpu-0", "gpu-0")


def test_a_slot_whose_worker_restarts_is_waited_for(address: str, tmp_path: Path) -> None:
    with distributed.Client(address, set_as_default=False) as client:
        client.submit(die_once.fn, tmp_path / "mark", resources={"GPU": 1}, key="death")
        while runtime.slots(client)["GPU"]:
            time.sleep(0.01)
        runtime.require(client, runtime.Slot.GPU)
        assert runtime.slots(client) == {"CPU": 1, "GPU": 1}


def outcome(futures: list[PrefectFuture[int]]) -> tuple[tuple[int, ...], tuple[Rejected, ...]]:
    return futures_module.gather(futures, stage="reduce")


@pytest.mark.parametrize("where", ["threads", "dask"])
def test_gather_gives_results_in_order_and_every_failure_in_words(where: str, request: pytest.FixtureRequest) -> None:
    runner = runtime.runner_for(request.getfixturevalue("address") if where == "dask" else None)

    @flow(task_runner=runner)
    def mixed() -> tuple[tuple[int, ...], tuple[Rejected, ...]]:
        return outcome([fail_when_odd.submit(i) for i in range(5)])

    results, failures = mixed()
    assert results == (0, 2, 4)
    assert failures == (
        Rejected(name="reduce-1", stage="reduce", reason="frame 1 is odd (allowed: even)"),
        Rejected(name="reduce-3", stage="reduce", reason="ValueError: three", passing=True),
    )


@pytest.mark.parametrize("where", ["threads", "dask"])
def test_a_task_whose_predecessor_failed_is_no_loss_of_its_own(where: str, request: pytest.FixtureRequest) -> None:
    """Kind: states of type PENDING with the name NotReady, told as "UnfinishedRun" beside the true reason."""
    runner = runtime.runner_for(request.getfixturevalue("address") if where == "dask" else None)

    @flow(task_runner=runner)
    def chained() -> tuple[tuple[tuple[int, ...], tuple[Rejected, ...]], tuple[tuple[int, ...], tuple[Rejected, ...]]]:
        firsts = [futures_module.submit(fail_when_odd, number) for number in range(3)]
        seconds = [futures_module.submit(add_one, first, name=f"add-{n}") for n, first in enumerate(firsts)]
        return outcome(firsts), outcome(seconds)

    (results, failures), (later, lost) = chained()
    assert (results, later, lost) == ((0, 2), (1, 3), ())
    assert [each.reason for each in failures] == ["frame 1 is odd (allowed: even)"]


def test_a_stage_called_alone_starts_a_cluster_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime.os, "cpu_count", lambda: 1)

    @flow(task_runner=runtime.LateDaskRunner())
    def stage() -> list[str]:
        return [name for name, _ in futures_module.gather([on_cpu.submit(1), on_gpu.submit(1)])[0]]

    assert stage() == ["cpu-0", "gpu-0"]


@pytest.mark.gate
def test_gather_reports_a_task_that_kills_every_worker(address: str) -> None:
    @flow(task_runner=runtime.runner_for(address))
    def deadly() -> tuple[tuple[None, ...], tuple[Rejected, ...]]:
        return futures_module.gather([die_always.submit()], stage="search")

    results, failures = deadly()
    assert results == ()
    assert "KilledWorker" in failures[0].reason


def test_a_whole_parameter_is_the_very_object_and_not_searched_for_futures() -> None:
    @task(cache_policy=NO_CACHE)
    def kind(value: object) -> str:
        return type(value).__name__

    @flow
    def hand_over() -> tuple[str, str]:
        future = kind.submit(1)
        return kind(future), kind(futures_module.unwrapped(future))

    assert hand_over() == ("str", "PrefectConcurrentFuture")


def test_without_an_address_tasks_run_in_threads() -> None:
    assert isinstance(runtime.runner_for(None), ThreadPoolTaskRunner)
    assert isinstance(runtime.runner_for("tcp://127.0.0.1:1"), runtime.TaggedDaskRunner)


def test_an_address_where_nothing_answers_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "CONNECT_S", 1.0)
    with (
        pytest.raises(Unavailable, match="no Dask scheduler answers"),
        runtime.cluster(runtime.ClusterSpec(address="tcp://127.0.0.1:1")),
    ):
        pass


def test_a_worker_whose_nanny_gave_up_is_replaced() -> None:
    with (
        runtime.cluster(runtime.ClusterSpec(cpu_slots=1, gpu_slots=0)) as started,
        distributed.Client(started, set_as_default=False) as client,
    ):
        client.retire_workers(names=["cpu-0"], close_workers=True)
        deadline = time.monotonic() + 60
        while runtime.slots(client)[runtime.Slot.CPU.value]:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        runtime.require(client, runtime.Slot.CPU)
        assert client.submit(lambda: 7, resources={"CPU": 1}).result(timeout=30) == 7


def chatter() -> None:
    logging.getLogger("distributed.core").info("a connection was opened")
    logging.getLogger("distributed.core").error("a worker is in trouble")


def test_workers_tell_of_trouble_alone(capfd: pytest.CaptureFixture[str]) -> None:
    with (
        runtime.cluster(runtime.ClusterSpec(cpu_slots=1, gpu_slots=0)) as started,
        distributed.Client(started, set_as_default=False) as client,
    ):
        client.submit(chatter, resources={"CPU": 1}).result(timeout=30)
    told = [line for line in capfd.readouterr().err.splitlines() if "distributed" in line]
    assert len(told) == 1
    assert "a worker is in trouble" in told[0]


def faults_of_planes() -> int:
    """Make and drop planes of 16 MiB; return how many pages had to be made for them."""
    for _ in range(3):
        np.ones(2 << 20)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(50):
        np.ones(2 << 20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def test_a_worker_keeps_the_memory_of_planes_that_it_drops() -> None:
    with (
        runtime.cluster(runtime.ClusterSpec(cpu_slots=1, gpu_slots=0)) as started,
        distributed.Client(started, set_as_default=False) as client,
    ):
        made = client.submit(faults_of_planes, resources={"CPU": 1}).result(timeout=30)
    # if it were given back at once: 50 times 4,096 pages, or 8 of 2 MiB
    assert made < 50


def test_where_there_is_no_gpu_few_workers_hold_slots_of_both_kinds() -> None:
    with runtime.cluster(runtime.ClusterSpec(cpu_slots=1, gpu_slots=2, shared=True)) as both:

        @flow(task_runner=runtime.runner_for(both))
        def stage() -> set[str]:
            found, _ = futures_module.gather([*on_cpu.map([1, 2, 3]), *on_gpu.map([1, 2, 3])])
            return {name for name, _ in found}

        with distributed.Client(both, set_as_default=False) as client:
            assert runtime.slots(client) == {"CPU": 2, "GPU": 2}
        assert stage() <= {"both-0", "both-1"}
