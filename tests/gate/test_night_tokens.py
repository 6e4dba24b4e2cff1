"""GPU tokens: never two tasks on one, none without one, and the same bytes when a device is full."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import distributed
import numpy as np
import pytest
from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from support import devices, night_runs, simulated, tally

from tasks import futures, products, runtime
from tasks.options import CalibrateOptions
from tasks.records import FrameType
from tasks.reduction import calibration, inventory
from tasks.reduction import masters as mastering
from tasks.science import arrays

pytestmark = [pytest.mark.gate, pytest.mark.timeout(1800)]

GPU_TASKS = 200
CPU_TASKS = 40
TOKENS = 2
BUSY_S = 0.02


def hold(folder: Path, number: int) -> tuple[str, int]:
    """Return this worker's name and how many tasks it had at a time, this one included."""
    name = str(distributed.get_worker().name)
    mark = folder / f"{name}.{number}"
    mark.touch()
    time.sleep(BUSY_S)
    together = len(list(folder.glob(f"{name}.*")))
    mark.unlink()
    return name, together


@task(tags={"gpu"}, cache_policy=NO_CACHE)
def on_gpu(folder: Path, number: int) -> tuple[str, int]:
    return hold(folder, number)


@task(cache_policy=NO_CACHE)
def on_cpu(folder: Path, number: int) -> tuple[str, int]:
    return hold(folder, number)


@pytest.mark.server
def test_200_gpu_tasks_hold_one_token_each(tmp_path):
    spec = runtime.ClusterSpec(cpu_slots=1, gpu_slots=TOKENS)
    with night_runs.server(tmp_path / "server"), runtime.cluster(spec) as address:
        (tmp_path / "marks").mkdir()

        @flow(task_runner=runtime.runner_for(address))
        def many() -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
            gpu, cpu = [], []
            for number in range(GPU_TASKS):
                gpu.append(on_gpu.submit(tmp_path / "marks", number))
                if number % (GPU_TASKS // CPU_TASKS) == 0:
                    cpu.append(on_cpu.submit(tmp_path / "marks", GPU_TASKS + number))
            return list(futures.gather(gpu)[0]), list(futures.gather(cpu)[0])

        gpu, cpu = many()
    where = Counter(name for name, _ in gpu)
    tally.count(
        "R17 GPU tokens",
        gpu_tasks=len(gpu),
        tokens=len(where),
        at_most_together_on_one=max(together for _, together in gpu),
        on_cpu_workers=sum(count for name, count in where.items() if not name.startswith("gpu")),
        cpu_tasks=len(cpu),
        of_them_on_a_token=sum(name.startswith("gpu") for name, _ in cpu),
    )
    assert len(gpu) == GPU_TASKS
    assert len(cpu) == CPU_TASKS
    assert set(where) == {f"gpu-{i}" for i in range(TOKENS)}
    assert {together for _, together in gpu} == {1}
    assert {name for name, _ in cpu} == {"cpu-0"}


def test_a_full_device_halves_its_batch_then_gives_way_to_the_cpu_with_the_same_bytes(tmp_path, monkeypatch):
    night = simulated.make_night(tmp_path / "night", filters=("r",), lights=2)
    taken = inventory.take_inventory.fn(night.folder(), "7DT01", night_runs.NIGHT)
    biases, (rows, width) = len(taken.of(FrameType.BIAS)), taken.frames[0].shape
    monkeypatch.setattr(arrays, "out_of_memory", lambda: MemoryError)
    plane = rows * width * np.dtype(np.uint16).itemsize
    # room for all, for a quarter of the rows of the bias frames, for less than a plane, for nothing
    rooms = {"all": 100 * plane, "quarter": biases * plane // 4, "no plane": plane // 2, "nothing": 0}
    made = {name: _calibrate(taken, tmp_path / name, devices.Small(room), monkeypatch) for name, room in rooms.items()}
    first, _ = made["all"]
    different = sum(hashes != first for hashes, _ in made.values())
    tally.count(
        "R17 a full device",
        runs=len(made),
        refusals=sum(len(device.refused) for _, device in made.values()),
        products=len(first),
        runs_that_differ=different,
    )
    assert different == 0
    assert not made["all"][1].refused
    assert {shape[1] for shape in made["quarter"][1].taken if len(shape) == 3 and shape[0] == biases} == {rows // 4}
    assert not [shape for shape in made["nothing"][1].taken if len(shape) > 1]


def _calibrate(taken, out, device, monkeypatch):
    """Return the hashes of all products of a unit calibrated on a device, and the device."""
    monkeypatch.setattr(arrays, "device", lambda: device)
    masters = mastering.make_masters.fn(taken, out, CalibrateOptions())
    calibration.calibrate_lights.fn(taken.of(FrameType.LIGHT), masters, taken.night, out, CalibrateOptions())
    return {path.name: products.sha256_of(path) for path in sorted(out.rglob("*.fits"))}, device
