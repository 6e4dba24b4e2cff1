"""A long life: memory and open files of the processes that never end stay as they are.

Seventy-two hours are compressed into the notices of that time, taken at 10^6 in 72 h, sent as fast as they are taken in.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from support import kafka, notice_bytes, river, tally
from support.stages import Stage, bring, staged

from tasks.registry import models

NOTICES_PER_HOUR = 1e6 / 72
SLOPE_MIB_PER_HOUR = 1.0
SAMPLE_S = 0.5


@dataclass
class Record:
    """How many notices a process had taken in, its resident memory in MiB and its open files, again and again."""

    process: BaseProcess
    rows: list[tuple[int, float, int]] = field(default_factory=list)

    def sample(self, count: int) -> None:
        proc = Path(f"/proc/{self.process.pid}")
        status = dict(line.split(":", 1) for line in (proc / "status").read_text().splitlines())
        files = sum(1 for _ in (proc / "fd").iterdir())
        self.rows.append((count, int(status["VmRSS"].split()[0]) / 1024, files))

    def settled(self) -> np.ndarray:
        """Return the second half of the samples: the first fills caches."""
        table = np.array(self.rows)
        return table[table[:, 0] >= table[-1, 0] / 2]

    def slope_mib_per_hour(self) -> float:
        half = self.settled()
        return float(np.polyfit(half[:, 0], half[:, 1], 1)[0] * NOTICES_PER_HOUR)


def taken_in(stage: Stage, *states: str) -> int:
    with stage.book.read() as session:
        query = sa.select(sa.func.count()).select_from(models.Notice)
        return session.scalar(query.where(models.Notice.state.in_(states)) if states else query) or 0


def soaked(stage: Stage, process: BaseProcess, count: int, states: tuple[str, ...], *, label: str) -> None:
    record = Record(process)
    began = time.monotonic()
    while (done := taken_in(stage, *states)) < count:
        assert process.exitcode is None
        assert time.monotonic() - began < 120 + 0.1 * count, f"{done} of {count} in {time.monotonic() - began:.0f} s"
        record.sample(done)
        time.sleep(SAMPLE_S)
    seconds = time.monotonic() - began
    river.finish(process)
    half = record.settled()
    spread, slope = int(np.ptp(half[:, 2])), record.slope_mib_per_hour()
    tally.count(
        f"R24 long life of the {label}",
        notices=count,
        hours_at_the_real_pace=round(count / NOTICES_PER_HOUR, 1),
        seconds=round(seconds),
        restarts=0,
        MiB=round(float(half[-1, 1])),
        MiB_per_hour=round(slope, 2),
        open_files=int(half[-1, 2]),
        open_files_vary_by=spread,
    )
    assert spread <= 2
    assert slope < SLOPE_MIB_PER_HOUR


def small(count: int) -> list[bytes]:
    return [notice_bytes.mission(f"soak{number}") for number in range(count)]


def listened(broker: kafka.Broker, root: Path, count: int) -> None:
    with staged(root / "listened", broker) as stage:
        process = river.start(river.listen, stage.river)
        sending = threading.Thread(target=broker.send, args=(stage.river.topic, *small(count)))
        sending.start()
        soaked(stage, process, count, ("dispatched",), label=f"listener ({broker.kind})")
        sending.join()


def heard_out(root: Path, count: int) -> None:
    with staged(root / "heard-out") as stage:
        bring(stage, *small(count))
        process = river.start(river.respond_only, stage.river)
        soaked(stage, process, count, ("understood",), label="worker")


@pytest.mark.gate
@pytest.mark.timeout(1800)
def test_a_listener_lives_long(broker: kafka.Broker, scratch: Path) -> None:
    listened(broker, scratch, 100_000)


@pytest.mark.gate
@pytest.mark.timeout(1800)
def test_a_worker_lives_long(scratch: Path) -> None:
    heard_out(scratch, 6_000)
