"""NumPy or CuPy: the one home of that choice, and of the reductions that array standards leave out.

Every image function starts with ``xp = array_namespace(image)``; a task chooses the device once, with ``device()``.
"""

from __future__ import annotations

import types
from typing import Any, TypeAlias

import numpy as np
import scipy.ndimage

try:
    import cupy  # optional: only where there is a GPU
    import cupyx.scipy.ndimage
except ImportError:
    cupy = None

Array: TypeAlias = Any
"""A NumPy or CuPy array."""

MAD_TO_SIGMA = 1.4826
"""Ratio of a normal distribution's standard deviation to its median absolute deviation."""


def has_gpu() -> bool:
    """Tell whether CuPy is installed and sees a device that works."""
    return cupy is not None and bool(cupy.cuda.is_available())


def gpus() -> int:
    """Return how many GPUs CuPy can use here."""
    return int(cupy.cuda.runtime.getDeviceCount()) if has_gpu() else 0


def device() -> types.ModuleType:
    """Return the array module to use here: CuPy where there is a GPU, else NumPy."""
    return cupy if has_gpu() else np


def array_namespace(array: Array) -> Any:
    """Return the module (NumPy or CuPy) that ``array`` belongs to."""
    return np if cupy is None else cupy.get_array_module(array)


def ndimage_namespace(array: Array) -> Any:
    """Return ``scipy.ndimage`` or ``cupyx.scipy.ndimage``, whichever takes ``array``."""
    return scipy.ndimage if array_namespace(array) is np else cupyx.scipy.ndimage


def out_of_memory() -> type[Exception]:
    """Return the error that a full device raises; on the CPU it is ``MemoryError``."""
    return MemoryError if cupy is None else cupy.cuda.memory.OutOfMemoryError


def release() -> None:
    """Give the device's cached memory back, after a full device or at the end of a batch."""
    if cupy is not None:
        cupy.get_default_memory_pool().free_all_blocks()


def to_host(array: Array) -> np.ndarray[Any, Any]:
    """Return ``array`` as a NumPy array, copied from the GPU where needed."""
    return np.asarray(array) if cupy is None else cupy.asnumpy(array)


def nmad(array: Array, axis: int | None = None) -> Array:
    """Return 1.4826 times the median absolute deviation, ignoring NaN."""
    xp = array_namespace(array)
    centre = xp.nanmedian(array, axis=axis, keepdims=axis is not None)
    return MAD_TO_SIGMA * xp.nanmedian(xp.abs(array - centre), axis=axis)


def free_memory_bytes() -> int | None:
    """Return the free memory of the GPU in bytes, or None on the CPU."""
    return int(cupy.cuda.Device().mem_info[0]) if has_gpu() else None
