"""B9: number of notices per second that the listener stores durably (file, row, offset), with and without syncs."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import sqlalchemy as sa
from sqlalchemy import event
from support import kafka

from benchmarks.harness import Gate, Report, Row, Setting
from deployments.listening import listener
from tasks import registry
from tasks.registry import models

QUICK_PART = 10
PATIENCE_S = 300.0
CHUNK_BYTES = 50_000_000


@dataclass(frozen=True, kw_only=True)
class Load:
    """Notices waiting in the broker: their number, their sizes in bytes, and the target in notices per second."""

    name: str
    number: int
    full_number: int
    sizes: tuple[int, int]
    wanted: float

    def count(self, setting: Setting) -> int:
        """Return the number to send."""
        return self.full_number if setting.full else self.number // (QUICK_PART if setting.quick else 1)

    def payloads(self, count: int) -> Iterator[bytes]:
        """Yield notices one by one: two thousand big ones are four gigabytes."""
        rng = np.random.default_rng(9)
        body = rng.bytes(max(self.sizes))
        for index in range(count):
            yield index.to_bytes(8) + body[: int(rng.integers(self.sizes[0], self.sizes[1] + 1)) - 8]


@dataclass(frozen=True, kw_only=True)
class Taken:
    """Result of a listener: number of notices, time from the first to the last, and use of a core."""

    number: int
    seconds: float
    core_s: float


LOADS = (
    Load(name="big", number=200, full_number=2000, sizes=(1_000_000, 3_000_000), wanted=50.0),
    Load(name="small", number=10_000, full_number=100_000, sizes=(5000, 5000), wanted=1333.0),
)


def run(setting: Setting) -> Report:
    with kafka.broker() as broker:
        rows = [_row(load, broker, setting, synced=synced) for load in LOADS for synced in (True, False)]
        kind = broker.kind
    return Report(
        name="b9",
        title="Notices made durable by the listener",
        rows=tuple(rows),
        notes=(
            (
                f"Broker: {kind}, on the same machine. All messages wait in the broker; timed is from the first to the last "
                "one that is a file and a row. What the broker brings at once is made durable together, then its offsets "
                "are committed. Not synced: neither files nor the database's commits, to tell what the disk costs; a "
                "notice is then not durable. Big ones have 1 to 3 MB, small ones 5 KB; --full takes 2,000 and 100,000."
            ),
        ),
    )


def _row(load: Load, broker: kafka.Broker, setting: Setting, *, synced: bool) -> Row:
    count = load.count(setting)
    root = setting.folder / f"{load.name}-{'synced' if synced else 'lazy'}"
    root.mkdir()
    topic = broker.topic(root.name)
    size = _send(broker, topic, load.payloads(count))
    with _syncing(on=synced), _book(root, synced=synced) as book:
        taken = _listen(broker, topic, count, listener.Archive(root=root, registry=book))
        with book.read() as session:
            rows = session.scalar(sa.select(sa.func.count()).select_from(models.Notice)) or 0
    files = sum(1 for _ in root.glob("notices/*/[!.]*"))
    shutil.rmtree(root)
    rate, megabytes = count / taken.seconds, size / taken.seconds / 1e6
    return Row(
        what=f"{count} {load.name} notices, {'synced' if synced else 'not synced'}, target ≥ {load.wanted:g}/s",
        figure=f"{rate:.0f}/s, {megabytes:.0f} MB/s, {1e3 * taken.core_s / count:.2f} ms of a core each",
        met=rate >= load.wanted,
        gates=(
            Gate(what="lost", value=count - min(files, rows), limit=0),
            Gate(what="doubled", value=max(files, rows) - count, limit=0),
            Gate(what="kept", value=taken.number, limit=count, at_least=True),
        ),
    )


def _send(broker: kafka.Broker, topic: str, payloads: Iterator[bytes]) -> int:
    """Send notices, some megabytes at a time; return the total number of bytes."""
    total, size, waiting = 0, 0, list[bytes]()
    for payload in payloads:
        waiting.append(payload)
        size += len(payload)
        if size > CHUNK_BYTES:
            broker.send(topic, *waiting)
            total, size = total + size, 0
            waiting.clear()
    broker.send(topic, *waiting)
    return total + size


def _listen(broker: kafka.Broker, topic: str, count: int, archive: listener.Archive) -> Taken:
    """Let a listener receive all waiting notices."""
    moments: list[tuple[float, float]] = []
    stop, arrived, done = threading.Event(), threading.Event(), threading.Event()
    keep, kept = archive.keep, 0

    def counted(*messages: Any) -> int:
        nonlocal kept
        if not moments:
            moments.append((time.perf_counter(), time.process_time()))
        # a group that loses its session receives messages again: only new ones count
        new = keep(*messages)
        kept += new
        moments.append((time.perf_counter(), time.process_time()))
        if kept >= count:
            done.set()
        return new

    with mock.patch.object(archive, "keep", counted):
        options = listener.ListenOptions(topics=(topic,), configuration=broker.configuration(topic))
        ear = listener.Listener(options, archive=archive, arrived=arrived, alarm=print)
        thread = threading.Thread(target=ear.run, args=(stop,))
        thread.start()
        done.wait(PATIENCE_S)
        stop.set()
        thread.join(30)
    (began, core), (ended, last_core) = moments[0], moments[-1]
    return Taken(number=kept, seconds=ended - began, core_s=last_core - core)


@contextmanager
def _syncing(*, on: bool) -> Iterator[None]:
    if on:
        yield
        return
    with mock.patch.object(os, "fsync", return_value=None):
        yield


@contextmanager
def _book(root: Path, *, synced: bool) -> Iterator[registry.Registry]:
    book = registry.open(f"sqlite:///{root}/registry.sqlite")
    if not synced:
        book.engine.dispose()
        event.listen(book.engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous = OFF"))
    try:
        yield book
    finally:
        book.close()
