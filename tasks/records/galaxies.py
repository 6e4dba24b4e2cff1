"""A galaxy catalogue as arrays, within one process."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, kw_only=True, eq=False)
class Galaxies:
    """A catalogue of galaxies, each array of shape (n,).

    Never passed between tasks: tasks pass the file. ``magnitude`` is apparent, in B if the catalogue has it, NaN if
    unknown.
    """

    name: npt.NDArray[np.str_]
    ra_deg: npt.NDArray[np.float64]
    dec_deg: npt.NDArray[np.float64]
    distance_mpc: npt.NDArray[np.float64]
    magnitude: npt.NDArray[np.float64]
