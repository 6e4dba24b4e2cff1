"""Preparation of raw flats for a master: levels and scaling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tasks.science.arrays import Array, array_namespace
from tasks.science.calibration import correction
from tasks.science.calibration.correction import Master
from tasks.science.images.combining import Prepare


def level_adu(raw: Array, bias: Master, dark: Master, *, scale: float) -> float:
    """Return the median of a raw flat minus bias and minus ``scale`` times the dark."""
    return float(np.median(correction.flat_signal(raw, bias, dark, scale=scale)))


def preparation(bias: Master, dark: Master, *, scales: Sequence[float], levels_adu: Sequence[float]) -> Prepare:
    """Return the function that converts rows of the n-th raw flat to signal over its level."""

    def prepare(plane: Array, number: int, rows: slice) -> Array:
        xp = array_namespace(plane)
        near, dim = (_rows_of(master, rows, xp) for master in (bias, dark))
        return correction.flat_signal(plane, near, dim, scale=scales[number]) / xp.float32(levels_adu[number])

    return prepare


def _rows_of(master: Master, rows: slice, xp: Any) -> Master:
    return Master(image=xp.asarray(master.image[rows]), variance=xp.asarray(master.variance[rows]))
