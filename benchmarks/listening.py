"""B9: how many notices a second the listener makes durable (file, row, offset), with every sync and without."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import numpy as np
from sqlalchemy import event
from support import kafka

from benchmarks.harness import Gate, Report, Row, Setting
from deployments import listener
from tasks import registry

# number, size in bytes, wanted a second
LOADS = {"big (1 to 3 MB)": (200, (1_000_000, 3_000_000), 50.0), "small (5 KB)": (5000, (5000, 5000), 1333.0)}
QUICK_PART = 10
PATIENCE_S = 300.0


def run(setting: Setting) -> Report:
    rows = []
    with kafka.broker() as broker:
        for name, (number, sizes, wanted) in LOADS.items():
            count = number // QUICK_PART if setting.quick else number
            payloads = _payloads(count, sizes)
            rows += [_row(name, broker, payloads, setting, wanted=wanted, synced=synced) for synced in (True, False)]
        kind = broker.kind
    return Report(
        name="b9",
        title="Notices made durable by the listener",
        rows=tuple(rows),
        notes=(
            (
                f"Broker: {kind}, on the same machine. All messages wait in the broker; timed is from the first to the last "
                "one that is a file and a row. Not synced: neither files nor the database's commits, to tell what the disk "
                "costs; a notice is then not durable. Every offset is committed by itself, after its notice."
            ),
        ),
    )


def _payloads(count: int, sizes: tuple[int, int]) -> list[bytes]:
    rng = np.random.default_rng(9)
    body = rng.bytes(max(sizes))
    return [index.to_bytes(8) + body[: int(rng.integers(sizes[0], sizes[1] + 1))] for index in range(count)]


def _row(
    name: str, broker: kafka.Broker, payloads: list[bytes], setting: Setting, *, wanted: float, synced: bool
) -> Row:
    root = setting.folder / f"{name.split(maxsplit=1)[0]}-{'synced' if synced else 'lazy'}"
    root.mkdir()
    topic = broker.topic(root.name)
    with _syncing(on=synced), _book(root, synced=synced) as book:
        seconds, kept = _listen(broker, topic, payloads, listener.Archive(root=root, registry=book))
        rows = len(book.undispatched(limit=10 * len(payloads)))
    files = sum(1 for _ in root.glob("notices/*/*"))
    rate = len(payloads) / seconds
    megabytes = sum(map(len, payloads)) / seconds / 1e6
    lost = len(payloads) - min(files, rows)
    return Row(
        what=f"{len(payloads)} {name} notices, {'synced' if synced else 'not synced'}, target ≥ {wanted:g}/s",
        figure=f"{rate:.0f}/s, {megabytes:.0f} MB/s",
        met=rate >= wanted,
        gates=(
            Gate(what="lost", value=lost, limit=0),
            Gate(what="doubled", value=max(files, rows) - len(payloads), limit=0),
            Gate(what="kept", value=kept, limit=len(payloads), at_least=True),
        ),
    )


def _listen(broker: kafka.Broker, topic: str, payloads: list[bytes], archive: listener.Archive) -> tuple[float, int]:
    """Return the time between the first message and the last, and how many were kept."""
    broker.send(topic, *payloads)
    moments: list[float] = []
    stop, arrived, done = threading.Event(), threading.Event(), threading.Event()
    keep = archive.keep

    def counted(message):
        if not moments:
            moments.append(time.perf_counter())
        # a group that loses its session gets messages again: only new ones count
        if new := keep(message):
            moments.append(time.perf_counter())
        if len(moments) > len(payloads):
            done.set()
        return new

    archive.keep = counted
    options = listener.ListenOptions(topics=(topic,), configuration=broker.configuration(topic))
    ear = listener.Listener(options, archive=archive, arrived=arrived, alarm=print)
    thread = threading.Thread(target=ear.run, args=(stop,))
    thread.start()
    done.wait(PATIENCE_S)
    stop.set()
    thread.join(30)
    return moments[-1] - moments[0], len(moments) - 1


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
