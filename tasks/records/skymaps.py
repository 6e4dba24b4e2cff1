"""A sky map as arrays, within one process."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, kw_only=True, eq=False)
class SkyMap:
    """A localisation: disjoint HEALPix pixels (NESTED, equatorial) of mixed orders, in the order of the file.

    Lives within one process and never crosses a task border: tasks pass the file. Each array has shape (n,).
    ``uniq`` = 4·4^order + pixel; ``density`` is probability per sr. The three distance columns are all there or all
    None: p(r) = distnorm · Normal(r; distmu, distsigma) · r² along each pixel's line of sight, in Mpc, distmu being
    infinite where a pixel has no distance. ``distance_mpc`` and ``distance_std_mpc`` are what the header says.
    """

    uniq: npt.NDArray[np.int64]
    order: npt.NDArray[np.int64]
    density: npt.NDArray[np.float64]
    distmu: npt.NDArray[np.float64] | None = None
    distsigma: npt.NDArray[np.float64] | None = None
    distnorm: npt.NDArray[np.float64] | None = None
    distance_mpc: float | None = None
    distance_std_mpc: float | None = None
    creator: str | None = None
    object: str | None = None
    date: str | None = None
    flat_nside: int | None = None
    """Resolution of the file when it was flat; its equal neighbours are merged here, which loses nothing."""
