"""Work in batches that fit a device: smaller batches if its memory is full, in the end the CPU."""

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

# fraction of a device's free memory; the rest is for other processes and fragmentation of the pool
FREE_PART = 0.6
# bytes on the host, where other tasks need memory too
HOST_BYTES = 1 << 29


def size(most: int, *, bytes_each: int) -> int:
    """Return the number of items of ``bytes_each`` to process at once on this machine: from 1 to ``most``."""
    free = arrays.free_memory_bytes()
    budget = HOST_BYTES if free is None else int(free * FREE_PART)
    return max(1, min(most, budget // max(1, bytes_each)))


class Batches:
    """Batches of work on the device: smaller ones once it was full, in the end on the CPU, and never larger again.

    Results do not depend on the batches if ``work`` treats each item independently.
    """

    def __init__(self, most: int) -> None:
        self.xp: Any = arrays.device()
        self.most = most

    def do(self, work: Work[T, R], items: Sequence[T]) -> list[R]:
        """Return the results for all items, in order.

        Raises
        ------
        MemoryError
            If one item is too large for the CPU.
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
        # released outside the handler: inside, the error still holds the arrays of the attempt
        return None

    def _retreat(self, tried: int) -> None:
        arrays.release()
        if tried > 1:
            self.most = tried // 2
            log.warning("the device is full: %d at a time instead of %d", self.most, tried)
        else:
            self.xp = np
            log.warning("the device is full: the rest is done on the CPU")
