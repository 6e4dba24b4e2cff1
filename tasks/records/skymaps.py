"""Sky maps and their pictures as arrays, within one process."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, kw_only=True, eq=False)
class SkyMap:
    """A localisation: disjoint HEALPix pixels (NESTED, equatorial) of mixed orders, in the order of the file.

    Never passed between tasks: tasks pass the file. Each array has shape (n,).
    ``uniq`` = 4·4^order + pixel; ``density`` is probability per sr. The three distance columns are all arrays or all
    None: p(r) = distnorm · Normal(r; distmu, distsigma) · r² along each pixel's line of sight, in Mpc, distmu being
    infinite for a pixel without distance. ``distance_mpc`` and ``distance_std_mpc`` are the header's values.
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
    """Resolution of the file if it was flat; its equal neighbours are merged here without loss."""


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """Overlap of a newer sky map with an older one, by their 90 % regions, 0 to 1.

    ``outside`` is the part of the old region's area that lies outside the new region; ``held`` the new map's probability
    inside the old region.
    """

    outside: float
    held: float


Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Zoom:
    """A square part of the sky in the tangent plane, north up, east left, (n, n) from south-east to north-west.

    ``density`` is probability per deg², ``level`` the credible level (0 at the peak, 1 at zero probability).
    """

    ra_deg: float
    dec_deg: float
    scale_deg: float
    density: Floats
    level: Floats


@dataclass(frozen=True, kw_only=True, eq=False)
class Outlines:
    """The fields of one telescope: outlines (tiles, points, 2) in degrees, and the label for the legend."""

    label: str
    corners_deg: Floats


@dataclass(frozen=True, kw_only=True, eq=False)
class SkyPicture:
    """The whole sky (ny, nx), rows from the south pole, columns eastwards from RA 0, and a zoom on its region."""

    title: str
    subtitle: str
    density: Floats
    level: Floats
    zoom: Zoom
    fields: tuple[Outlines, ...] = ()
