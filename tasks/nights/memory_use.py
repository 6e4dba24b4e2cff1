"""Memory use of a running night: its process, its workers, and the GPUs if there are any."""

from __future__ import annotations

import csv
import io
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from prefect import task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE

from tasks import products
from tasks.errors import SirenError
from tasks.io.nights import process_memory as files
from tasks.programs import nvidia_smi
from tasks.records import NightReport

log = logging.getLogger(__name__)

EVERY_S = 5.0
# rows of the table on the run's page; the file has them all
MOST_ROWS = 120
COLUMNS = (
    "seconds",
    "resident_mb",
    "processes",
    "gpu",
    "gpu_memory_mb",
    "gpu_utilisation_percent",
    "gpu_temperature_c",
)
MB = 1e6


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Resident memory of a process and its descendants, and the state of each GPU, at a time after the start."""

    seconds: float
    resident_mb: float
    processes: int
    gpus: tuple[nvidia_smi.Gpu, ...] = ()


@dataclass(kw_only=True)
class Gauge:
    """Memory readings of a run."""

    readings: list[Reading] = field(default_factory=list)

    @property
    def peak_mb(self) -> float:
        """Return the largest resident memory in MB; 0 without readings."""
        return max((each.resident_mb for each in self.readings), default=0.0)


@contextmanager
def memory(*, every_s: float = EVERY_S) -> Iterator[Gauge]:
    """Read memory every ``every_s`` seconds while the block runs, and at its start and end."""
    gauge, done, began = Gauge(), threading.Event(), time.monotonic()

    def watch() -> None:
        while not done.wait(every_s):
            gauge.readings.append(_read(began))

    gauge.readings.append(_read(began))
    thread = threading.Thread(target=watch, name="memory", daemon=True)
    thread.start()
    try:
        yield gauge
    finally:
        done.set()
        thread.join()
        gauge.readings.append(_read(began))


@task(cache_policy=NO_CACHE, task_run_name="memory-{report.night}")
def show(report: NightReport, gauge: Gauge) -> float:
    """Write the readings beside the night's page and show them on the run's page; return the peak in MB."""
    rows = [row for each in gauge.readings for row in _rows(each)]
    if report.page is not None:
        products.write_text(report.page.with_name("memory.csv"), table(gauge))
    step = max(1, -(-len(rows) // MOST_ROWS))
    create_table_artifact(
        [dict(zip(COLUMNS, row, strict=True)) for row in rows[::step]],
        key="night-memory",
        description=f"Memory of {report.night}: at most {gauge.peak_mb:.0f} MB",
    )
    log.info("%s: at most %.0f MB resident", report.night, gauge.peak_mb)
    return gauge.peak_mb


def table(gauge: Gauge) -> str:
    """Return readings as CSV, one row per GPU if there are any."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(row for each in gauge.readings for row in _rows(each))
    return text.getvalue()


def _rows(reading: Reading) -> list[tuple[float | int | str, ...]]:
    start = (round(reading.seconds, 1), round(reading.resident_mb, 1), reading.processes)
    gpus = [(each.index, each.memory_mb, each.utilisation_percent, each.temperature_c) for each in reading.gpus]
    return [(*start, *gpu) for gpu in gpus] or [(*start, "", "", "", "")]


def _read(began: float) -> Reading:
    sizes = [size for pid in files.family(os.getpid()) if (size := files.resident_bytes(pid)) is not None]
    return Reading(seconds=time.monotonic() - began, resident_mb=sum(sizes) / MB, processes=len(sizes), gpus=_gpus())


def _gpus() -> tuple[nvidia_smi.Gpu, ...]:
    try:
        return nvidia_smi.gpus() if nvidia_smi.installed() else ()
    except SirenError as error:
        log.debug("the GPUs do not answer: %s", error)
        return ()
