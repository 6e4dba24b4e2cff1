"""The choice of NumPy or CuPy, and reductions that the array API standard lacks.

Every image function starts with ``xp = array_namespace(image)``; a task chooses the device once, with ``device()``.
"""

from __future__ import annotations

import os
import types
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias

import numpy as np

try:
    import cupy  # optional: needed only with a GPU
except ImportError:
    cupy = None

Array: TypeAlias = Any
"""A NumPy or CuPy array."""

# memory bandwidth limits the work on a frame, so more threads do not help; other tasks use the other cores
THREADS = min(2, os.cpu_count() or 1)
MAD_TO_SIGMA = 1.4826
"""Ratio of a normal distribution's standard deviation to its median absolute deviation."""


def has_gpu() -> bool:
    """Return whether CuPy is installed and finds a working GPU."""
    return cupy is not None and bool(cupy.cuda.is_available())


def gpus() -> int:
    """Return the number of GPUs that CuPy can use on this machine."""
    return int(cupy.cuda.runtime.getDeviceCount()) if has_gpu() else 0


def device() -> types.ModuleType:
    """Return the array module for this machine: CuPy if it has a GPU, else NumPy."""
    return cupy if has_gpu() else np


def array_namespace(array: Array) -> Any:
    """Return the module (NumPy or CuPy) that ``array`` belongs to."""
    return np if cupy is None else cupy.get_array_module(array)


def by_rows(work: Callable[[slice], None], shape: tuple[int, ...], xp: Any, *, pixels: int) -> None:
    """Call ``work`` for each band of rows of an image of ``shape``.

    On the CPU a band has at most ``pixels`` pixels but at least one row, and two threads share the work: NumPy releases
    the interpreter's lock. On a GPU one band holds all rows.
    """
    ny, nx = shape[0], max(1, shape[1])
    if xp is not np:
        work(slice(0, ny))
        return
    step = max(1, pixels // nx)
    pieces = [slice(start, min(start + step, ny)) for start in range(0, ny, step)]
    in_threads(work, pieces)


def in_threads(work: Callable[[slice], None], pieces: Sequence[slice]) -> None:
    """Call ``work`` for each piece; with two cores each of two threads takes neighbouring pieces."""
    length = -(-len(pieces) // THREADS)

    def part(first: int) -> None:
        for piece in pieces[first : first + length]:
            work(piece)

    starts = range(0, len(pieces), max(1, length))
    if len(starts) <= 1:
        part(0)
        return
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(part, starts))


def out_of_memory() -> type[Exception]:
    """Return the error class raised when the device has no memory left; on the CPU ``MemoryError``."""
    return MemoryError if cupy is None else cupy.cuda.memory.OutOfMemoryError


def release() -> None:
    """Free the device's cached memory, after an out-of-memory error or at the end of a batch."""
    if cupy is not None:
        cupy.get_default_memory_pool().free_all_blocks()


def to_host(array: Array) -> np.ndarray[Any, Any]:
    """Return ``array`` as a NumPy array, copied from the GPU if needed."""
    return np.asarray(array) if cupy is None else cupy.asnumpy(array)


def nmad(array: Array, axis: int | None = None) -> Array:
    """Return 1.4826 times the median absolute deviation, ignoring NaN."""
    xp = array_namespace(array)
    centre = xp.nanmedian(array, axis=axis, keepdims=axis is not None)
    return MAD_TO_SIGMA * xp.nanmedian(xp.abs(array - centre), axis=axis)


def free_memory_bytes() -> int | None:
    """Return the free memory of the GPU in bytes, or None on the CPU."""
    return int(cupy.cuda.Device().mem_info[0]) if has_gpu() else None
