"""Shared part of the benchmarks: races in ABAB order, equality checks, the machine's speed, the table.

A ratio is printed only where every gate of its row holds in the same run. Times are medians with the interquartile
range; the first, untimed round of each contender takes imports, compilation and first-touch memory away and is
reported apart as ``first``.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

RESULTS = Path(__file__).parent / "results"
SMALL, FULL = (1597, 2394), (6388, 9576)
STREAM_BYTES, DISK_BYTES = 1 << 28, 1 << 28
CORES = os.cpu_count() or 1


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Settings of a run. ``folder`` is scratch space, deleted at the end."""

    folder: Path
    quick: bool = False
    full: bool = False

    @property
    def repeats(self) -> int:
        return 2 if self.quick else 5

    @property
    def shape(self) -> tuple[int, int]:
        """Frame size (ny, nx)."""
        return FULL if self.full else SMALL


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Times of one contender in s: the first, untimed round, and the others.

    ``cpu`` is what all its threads and the programs that it ran took of the cores: it says what work there was where
    other processes kept the machine busy. Worker processes that continue are not counted.
    """

    first: float
    times: tuple[float, ...]
    cpu: tuple[float, ...] = ()

    @property
    def median(self) -> float:
        return statistics.median(self.times)

    @property
    def spread(self) -> float:
        """Interquartile range."""
        low, high = np.percentile(self.times, (25, 75))
        return float(high - low)

    def __str__(self) -> str:
        return f"{seconds(self.median)} ± {seconds(self.spread)}"


@dataclass(frozen=True, kw_only=True)
class Gate:
    """An equality that must hold before a ratio is reported."""

    what: str
    value: float
    limit: float
    at_least: bool = False

    @property
    def holds(self) -> bool:
        return bool(self.value >= self.limit if self.at_least else self.value <= self.limit)

    def __str__(self) -> str:
        sign = "≥" if self.at_least else "≤"
        return f"{'ok' if self.holds else 'FAILED'}: {self.what} {self.value:.4g} ({sign} {self.limit:g})"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of a table: our time against a peer's, or a value of ours against a target in its own unit."""

    what: str
    ours: Timing | None = None
    peer: Timing | None = None
    target: float | None = None
    gates: tuple[Gate, ...] = ()
    figure: str = ""
    met: bool | None = None

    @property
    def ratio(self) -> float | None:
        """Ratio of the peer's time to ours; None if a gate failed or there is no peer."""
        if self.ours is None or self.peer is None or not all(gate.holds for gate in self.gates):
            return None
        return self.peer.median / self.ours.median

    def cells(self) -> list[str]:
        ratio = "-" if self.ratio is None else f"**{self.ratio:.2f}x**"
        target = "-" if self.target is None else f"≥ {self.target:g}x"
        met = self.met if self.ratio is None or self.target is None else self.ratio >= self.target
        if ratio != "-" and self.ours.cpu and self.peer.cpu and min(self.ours.cpu) > 0:
            work = statistics.median(self.peer.cpu) / statistics.median(self.ours.cpu)
            ratio += f" ({work:.2f}x in core time)"
        verdict = "-" if met is None else ("met" if met else "missed")
        if any(not gate.holds for gate in self.gates):
            verdict = "gate failed"
        equal = "; ".join(map(str, self.gates)) or "-"
        return [self.what, str(self.ours or "-"), str(self.peer or "-"), self.figure or ratio, target, verdict, equal]


@dataclass(frozen=True, kw_only=True)
class Report:
    """All rows of one benchmark."""

    name: str
    title: str
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        return all(gate.holds for row in self.rows for gate in row.gates)

    def markdown(self) -> str:
        lines = [
            f"### {self.name.upper()} {self.title}",
            "",
            "| what | ours | peer | ratio | target | verdict | equality in this run |",
            "|---|---|---|---|---|---|---|",
            *("| " + " | ".join(row.cells()) + " |" for row in self.rows),
        ]
        return "\n".join([*lines, *(f"\n{note}" for note in self.notes)])


@dataclass(frozen=True, kw_only=True)
class Lane:
    """The machine: speed of memory and disk, and its load."""

    cpu: str
    cores: int
    memory_gb_s: float
    disk_write_mb_s: float
    disk_read_mb_s: float
    load: float
    versions: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return (
            f"CPU lane: {self.cpu}, {self.cores} cores, memory {self.memory_gb_s:.1f} GB/s (copy, all cores), "
            f"disk {self.disk_write_mb_s:.0f} MB/s written and synced, {self.disk_read_mb_s:.0f} MB/s read cold, "
            f"load {self.load:.1f} at the start"
        )


def race(
    contenders: Sequence[Callable[[], Any]], *, repeats: int, before: Callable[[], Any] = lambda: None
) -> list[Timing]:
    """Time contenders in ABAB order; ``before`` is called, untimed, before every run."""
    times: list[list[tuple[float, float]]] = [[] for _ in contenders]
    for _ in range(repeats + 1):
        for run, taken in zip(contenders, times, strict=True):
            before()
            started, busy = time.perf_counter(), cpu_seconds()
            run()
            taken.append((time.perf_counter() - started, cpu_seconds() - busy))
    return [
        Timing(first=taken[0][0], times=tuple(wall for wall, _ in taken[1:]), cpu=tuple(core for _, core in taken[1:]))
        for taken in times
    ]


def cpu_seconds() -> float:
    """Return the CPU time of this process and its ended children, in s."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def versus(
    what: str,
    ours: Callable[[], Any],
    peer: Callable[[], Any],
    *,
    repeats: int,
    target: float | None = None,
    gates: Sequence[Gate] = (),
    before: Callable[[], Any] = lambda: None,
) -> Row:
    """Race ours against one peer."""
    first, second = race([ours, peer], repeats=repeats, before=before)
    return Row(what=what, ours=first, peer=second, target=target, gates=tuple(gates))


def seconds(value: float) -> str:
    """Return a time as text with three digits."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value / 1e-6:.3g} µs"


def evict(paths: Sequence[Path]) -> None:
    """Drop files from the page cache, so that the next read is cold."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


def lane(folder: Path) -> Lane:
    """Measure the machine."""
    write, read = _disk(folder / "disk-rate")
    return Lane(
        cpu=_cpu(),
        cores=CORES,
        memory_gb_s=_memory() / 1e9,
        disk_write_mb_s=write / 1e6,
        disk_read_mb_s=read / 1e6,
        load=os.getloadavg()[0],
        versions=_versions(),
    )


def save(report: Report, lane: Lane) -> Path:
    """Write a benchmark's numbers to ``results/<name>.json``."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{report.name}.json"
    rows = [
        {
            "what": row.what,
            "ours_s": row.ours and asdict(row.ours),
            "peer_s": row.peer and asdict(row.peer),
            "ratio": row.ratio,
            "target": row.target,
            "figure": row.figure,
            "met": row.met,
            "gates": [{**asdict(gate), "holds": gate.holds} for gate in row.gates],
        }
        for row in report.rows
    ]
    document = {"name": report.name, "title": report.title, "rows": rows, "notes": report.notes, "lane": asdict(lane)}
    path.write_text(json.dumps(document, indent=1, default=str) + "\n", encoding="utf-8")
    return path


def _memory() -> float:
    """Return bytes per second that all cores copy: each byte is read once and written once."""
    source = np.ones(STREAM_BYTES // 8)
    target = np.zeros_like(source)
    halves = np.array_split(np.arange(source.size), CORES)
    pieces = [slice(int(half[0]), int(half[-1]) + 1) for half in halves]

    def copy(piece: slice) -> None:
        np.copyto(target[piece], source[piece])

    with ThreadPoolExecutor(CORES) as pool:
        [timing] = race([lambda: list(pool.map(copy, pieces))], repeats=5)
    return 2 * source.nbytes / min(timing.times)


def _disk(path: Path) -> tuple[float, float]:
    """Return bytes per second written and synced, and read from a cold cache."""
    content = np.random.default_rng(1).bytes(DISK_BYTES)
    started = time.perf_counter()
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    written = time.perf_counter() - started
    evict([path])
    started = time.perf_counter()
    path.read_bytes()
    read = time.perf_counter() - started
    path.unlink()
    return DISK_BYTES / written, DISK_BYTES / read


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _versions() -> dict[str, str]:
    names = ("numpy", "astropy", "ccdproc", "astroscrappy", "sep", "ligo.skymap", "prefect")
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in names}}
