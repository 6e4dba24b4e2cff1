"""Memory readings of a process and its descendants."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from support import simulated_reduction

from tasks.errors import ProgramError
from tasks.io.nights import process_memory
from tasks.nights import memory_use
from tasks.programs import nvidia_smi

CHILD = "import time; block = bytearray(200_000_000); print(1, flush=True); time.sleep(60)"


def test_the_peak_holds_what_was_taken_meanwhile_and_children_count():
    with memory_use.memory(every_s=0.05) as gauge:
        block = np.ones(40_000_000)
        with subprocess.Popen([sys.executable, "-c", CHILD], stdout=subprocess.PIPE) as child:
            child.stdout.readline()
            time.sleep(0.3)
            child.kill()
        del block
    first, last = gauge.readings[0], gauge.readings[-1]
    assert gauge.peak_mb > first.resident_mb + 0.9 * (320 + 200)
    assert last.resident_mb < gauge.peak_mb - 0.9 * (320 + 200)
    assert max(each.processes for each in gauge.readings) > first.processes
    rows = list(csv.DictReader(memory_use.table(gauge).splitlines()))
    assert [float(row["seconds"]) for row in rows] == sorted(float(row["seconds"]) for row in rows)


def test_memory_is_that_of_the_kernel_and_a_process_that_ended_has_none():
    own = process_memory.resident_bytes(os.getpid())
    status = Path("/proc/self/status").read_text().splitlines()
    [line] = [line for line in status if line.startswith("VmRSS")]
    assert own == pytest.approx(1024 * int(line.split()[1]), rel=0.1)
    assert process_memory.resident_bytes(2**22 + 1) is None
    assert process_memory.family(2**22 + 1) == (2**22 + 1,)


def test_gpus_are_asked_by_their_program(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    simulated_reduction.fake(tmp_path, "nvidia-smi", "echo '0, 1024, 37, 61'; echo '1, 5, [N/A], 40'")
    with memory_use.memory() as gauge:
        pass
    last = gauge.readings[-1].gpus
    assert [(each.index, each.memory_mb, each.utilisation_percent, each.temperature_c) for each in last] == [
        (0, 1024, 37, 61),
        (1, 5, -1, 40),
    ]
    assert memory_use.table(gauge).splitlines()[-1].endswith(",1,5,-1,40")


@pytest.mark.parametrize("script", ["exit 9", "echo No devices were found"])
def test_gpus_that_do_not_answer_are_none(tmp_path, monkeypatch, script):
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    simulated_reduction.fake(tmp_path, "nvidia-smi", script)
    with pytest.raises(ProgramError):
        nvidia_smi.gpus()
    with memory_use.memory() as gauge:
        pass
    assert gauge.readings[-1].gpus == ()
