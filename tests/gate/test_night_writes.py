"""SIGKILL at 200 random writes: under a final name there is a whole file or none, and the next run goes on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support import hostile_frames, simulated, tally

pytestmark = [pytest.mark.gate, pytest.mark.timeout(3600)]

KILLS = 200


def test_writers_are_killed_200_times(tmp_path, scratch):
    night = simulated.make_night(tmp_path / "night", filters=("r",), lights=2)
    folder = tmp_path / "cut"
    folder.mkdir()
    for path in night.raw("*.fits"):
        (folder / path.name).write_bytes(hostile_frames.small(path))
    tests = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "support.write_kills", folder, scratch, str(KILLS), "13"],
        env={**os.environ, "PYTHONPATH": f"{tests.parent}:{tests}"},
        stdout=subprocess.PIPE,
        check=True,
    )
    found = json.loads(done.stdout.splitlines()[-1])
    tally.count(
        "R13 kill -9 at a write",
        kills=found["kills"],
        nights=found["nights"],
        invalid_files=len(found["invalid"]),
        half_files_left=len(found["left"]),
        finished_batches_done_again=found["done_again"],
        products_that_differ=found["differ"],
        of=found["of"],
    )
    assert found["kills"] == KILLS
    assert (found["invalid"], found["left"]) == ([], [])
    assert (found["differ"], found["done_again"]) == (0, 0)
