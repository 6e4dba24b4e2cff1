"""A device that is full gets half of a batch, in the end nothing; the results are the same."""

from __future__ import annotations

import weakref

import numpy as np
import pytest

from tasks.science import arrays
from tasks.science.images import device_batches


class Device:
    """An array module that has memory for ``room`` items; it keeps account of what it was asked for."""

    def __init__(self, room):
        self.room = room
        self.asked = []

    def work(self, xp, some):
        if xp is self:
            self.asked.append(len(some))
            if len(some) > self.room:
                raise MemoryError
        return [each**2 for each in some]


def on(monkeypatch, device):
    monkeypatch.setattr(arrays, "device", lambda: device)
    monkeypatch.setattr(arrays, "out_of_memory", lambda: MemoryError)


@pytest.mark.parametrize(
    ("room", "asked"),
    [
        (8, [8]),
        (3, [8, 4, 2, 2, 2, 2]),
        (1, [8, 4, 2, *[1] * 8]),
        (0, [8, 4, 2, 1]),
    ],
)
def test_a_full_device_gets_half_as_many_and_in_the_end_none(monkeypatch, room, asked):
    device = Device(room)
    on(monkeypatch, device)
    assert device_batches.Batches(8).do(device.work, range(8)) == [each**2 for each in range(8)]
    assert device.asked == asked


def test_what_was_learnt_holds_for_the_next_batch(monkeypatch):
    device = Device(2)
    on(monkeypatch, device)
    batches = device_batches.Batches(4)
    batches.do(device.work, range(4))
    batches.do(device.work, range(5))
    assert device.asked == [4, 2, 2, 2, 2, 1]
    device.room = 0
    batches.do(device.work, range(2))
    assert batches.xp is np


def test_an_item_that_the_cpu_has_no_memory_for_either_is_an_error(monkeypatch):
    on(monkeypatch, np)

    def work(xp, some):
        raise MemoryError

    with pytest.raises(MemoryError):
        device_batches.Batches(4).do(work, range(4))


def test_the_memory_of_an_attempt_is_free_before_the_next(monkeypatch):
    on(monkeypatch, Device(0))
    held, alive = [], []

    def work(xp, some):
        planes = np.zeros(10)
        if xp is not np:
            held.append(weakref.ref(planes))
            raise MemoryError
        return list(some)

    monkeypatch.setattr(arrays, "release", lambda: alive.extend(ref() is not None for ref in held))
    device_batches.Batches(2).do(work, range(2))
    assert alive == [False, False, False]


@pytest.mark.parametrize(("free", "expected"), [(None, 4), (1000, 4), (500, 3), (100, 1), (10, 1)])
def test_a_batch_takes_a_part_of_the_free_memory(monkeypatch, free, expected):
    monkeypatch.setattr(arrays, "free_memory_bytes", lambda: free)
    assert device_batches.size(4, bytes_each=100) == expected
