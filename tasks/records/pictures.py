"""What a picture of a sky map shows, as arrays, within one process: made by science, drawn by ``io.skyplots``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Zoom:
    """A square part of the sky in the tangent plane, north up, east left, (n, n) from south-east to north-west.

    ``density`` is probability per deg², ``level`` the credible level (0 at the peak, 1 where there is nothing).
    """

    ra_deg: float
    dec_deg: float
    scale_deg: float
    density: Floats
    level: Floats


@dataclass(frozen=True, kw_only=True, eq=False)
class Outlines:
    """The fields of one telescope: outlines (tiles, points, 2) in degrees, and the words for the legend."""

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
