"""Directions on the sky as unit vectors, for neighbour trees and many angles at once.

The angle between two positions in degrees is ``astropy.coordinates.angular_separation``, in radians.
"""

from __future__ import annotations

from typing import Any

import erfa  # type: ignore[import-untyped]  # pyerfa carries no types
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def unit_vectors(ra_deg: npt.ArrayLike, dec_deg: npt.ArrayLike) -> Floats:
    """Return positions in degrees as unit vectors, shape (..., 3)."""
    ra, dec = np.radians(ra_deg), np.radians(dec_deg)
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=-1)


def separations_deg(points: Floats, other: Floats) -> Any:
    """Return the angles between vectors (..., 3) and another (3,), accurate from 0 to 180 degrees."""
    return np.degrees(erfa.sepp(points, other))
