"""Matching of sky positions, and proper motion."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias

import numpy as np
from astropy.coordinates import angular_separation
from scipy.spatial import cKDTree

from tasks import constants
from tasks.science.astrometry import directions

Floats: TypeAlias = np.ndarray[Any, Any]

# epoch J2000.0; the minute between its time scale (TT) and UTC moves no star
J2000 = datetime(2000, 1, 1, 12, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Matched entries of two lists, as indices, and their separations."""

    first: Floats
    second: Floats
    distance_arcsec: Floats

    def __len__(self) -> int:
        return len(self.first)


def julian_year(moment: datetime) -> float:
    """Return an aware time as a Julian year (2016.0)."""
    return 2000.0 + (moment - J2000).total_seconds() / constants.JULIAN_YEAR_S


def moved(
    ra_deg: Floats, dec_deg: Floats, pm_ra: Floats, pm_dec: Floats, *, epoch: float, to: float
) -> tuple[Floats, Floats]:
    """Move positions by their proper motions.

    Parameters
    ----------
    ra_deg, dec_deg
        Positions at ``epoch``.
    pm_ra, pm_dec
        Proper motions in mas per year, that in RA multiplied by cos(Dec); NaN counts as none.
    epoch, to
        Julian years.
    """
    years = (to - epoch) / constants.MAS_PER_DEG
    new_dec = np.clip(dec_deg + years * np.nan_to_num(pm_dec), -90.0, 90.0)
    new_ra = ra_deg + years * np.nan_to_num(pm_ra) / np.cos(np.radians(np.clip(dec_deg, -89.99, 89.99)))
    return np.mod(new_ra, 360.0), new_dec


def within(ra_deg: Floats, dec_deg: Floats, *, centre: tuple[float, float], radius_deg: float) -> Floats:
    """Return which positions lie within ``radius_deg`` of ``centre`` (RA, Dec in degrees)."""
    distance = angular_separation(*np.radians(centre), np.radians(ra_deg), np.radians(dec_deg))
    return np.asarray(distance <= np.radians(radius_deg))


def nearest(first: tuple[Floats, Floats], second: tuple[Floats, Floats], *, radius_arcsec: float) -> Pairs:
    """Match the entries of two lists of (RA, Dec) that are mutual nearest neighbours within ``radius_arcsec``."""
    if not len(first[0]) or not len(second[0]):
        return Pairs(first=np.zeros(0, int), second=np.zeros(0, int), distance_arcsec=np.zeros(0))
    a, b = directions.unit_vectors(*first), directions.unit_vectors(*second)
    chord = 2 * np.sin(np.radians(radius_arcsec / 3600) / 2)
    distance, index = cKDTree(b).query(a, distance_upper_bound=chord)
    _, back = cKDTree(a).query(b)
    near = np.flatnonzero(np.isfinite(distance))
    near = near[back[index[near]] == near]
    return Pairs(first=near, second=index[near], distance_arcsec=np.degrees(2 * np.arcsin(distance[near] / 2)) * 3600)
