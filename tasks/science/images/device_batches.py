"""Work in batches that fit a device: half of a batch where the device is full, the CPU where one alone is too much."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, TypeVar

import numpy as np

from tasks.science import arrays

log = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")
Work: TypeAlias = Callable[[Any, Sequence[T]], list[R]]
"""Given an array module and some items, return one result per item."""

# of a device's free memory: the rest is for what shares it and for the pool's gaps
FREE_PART = 0.6
# on the host, where every other slot needs memory too
HOST_BYTES = 1 << 29


def size(most: int, *, bytes_each: int) -> int:
    """Return how many items of ``bytes_each`` are worked on at a time here: from 1 to ``most``."""
    free = arrays.free_memory_bytes()
    budget = HOST_BYTES if free is None else int(free * FREE_PART)
    return max(1, min(most, budget // max(1, bytes_each)))


class Batches:
    """Does work on the device; once that was full it takes fewer items at a time, in the end the CPU, and stays there.

    Results do not depend on it, as long as ``work`` does to each item what it does to it alone.
    """

    def __init__(self, most: int) -> None:
        self.xp: Any = arrays.device()
        self.most = most

    def do(self, work: Work[T, R], items: Sequence[T]) -> list[R]:
        """Return the results for all items, in order.

        Raises
        ------
        MemoryError
            Where one item alone is too much for the CPU.
        """
        done: list[R] = []
        while len(done) < len(items):
            some = items[len(done) : len(done) + self.most]
            results = self._try(work, some)
            if results is None:
                self._retreat(len(some))
            else:
                done += results
        return done

    def _try(self, work: Work[T, R], some: Sequence[T]) -> list[R] | None:
        try:
            return work(self.xp, some)
        except arrays.out_of_memory():
            if self.xp is np and len(some) == 1:
                raise
        # only here, outside the handler, does the error no longer hold the arrays of the attempt
        return None

    def _retreat(self, tried: int) -> None:
        arrays.release()
        if tried > 1:
            self.most = tried // 2
            log.warning("the device is full: %d at a time instead of %d", self.most, tried)
        else:
            self.xp = np
            log.warning("the device is full: the rest is done on the CPU")
