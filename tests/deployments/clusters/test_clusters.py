"""Cluster files: their commands start a cluster with the declared slots."""

from __future__ import annotations

import os
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import distributed
import pytest

from deployments import clusters
from deployments.server import serve
from tasks import runtime
from tasks.errors import UnusableData
from tasks.programs import run

FILE = """
[scheduler]
host = "127.0.0.1"
port = {port}
[[workers]]
host = "127.0.0.1"
cpus = 1
gpus = [3]
"""


def test_the_commands_of_a_file_start_its_slots(tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text(FILE.format(port=serve.free_port()))
    small = clusters.load(tmp_path / "small.toml")
    with ExitStack() as stack:
        for process in clusters.processes(small, python=sys.executable):
            stack.enter_context(
                run.service(process.command, folder=tmp_path, name=process.name, environment=process.environment)
            )
        client = stack.enter_context(distributed.Client(small.address, set_as_default=False, timeout=30))
        deadline = time.monotonic() + 60
        while runtime.slots(client) != {"CPU": 1, "GPU": 1}:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert client.submit(os.getenv, "CUDA_VISIBLE_DEVICES", resources={"GPU": 1}, pure=False).result(20) == "3"
        assert client.submit(os.getenv, "CUDA_VISIBLE_DEVICES", resources={"CPU": 1}, pure=False).result(20) == ""


@pytest.mark.parametrize("name", clusters.names())
def test_a_cluster_that_we_describe_has_slots_of_both_kinds(name: str) -> None:
    lines = [each.line() for each in clusters.processes(clusters.load(name))]
    assert any("CPU=1" in line for line in lines)
    assert any("GPU=1" in line for line in lines)


@pytest.mark.parametrize(
    "content", ["[scheduler", "[scheduler]\nhost='x'\n", FILE.format(port=70000), FILE.format(port=1) + "colour=1"]
)
def test_a_file_that_describes_no_cluster_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text(content)
    with pytest.raises(UnusableData, match="describes no cluster"):
        clusters.load(tmp_path / "bad.toml")


def test_an_unknown_cluster_names_the_known_ones() -> None:
    with pytest.raises(UnusableData, match=r"known are .*observatory"):
        clusters.load("nowhere")
