"""Coincidences: two events close in time, with positions that agree."""

from __future__ import annotations

import math

import astropy.units as u
from astropy.coordinates import SkyCoord

from tasks import constants
from tasks.records import Kind, Notice
from tasks.science.alerts import best_position

OUTSIDE = 0.003
"""Probability that a true pair lies further apart than allowed: three sigma."""

# a position agrees with a sky map inside the region of this level
MAP_LEVEL = 1 - OUTSIDE


def evidence(one: Notice, other: Notice, *, within_s: float, credible_level: float | None = None) -> str:
    """Return why two events may be the same source, or the empty string.

    Parameters
    ----------
    one, other
        The notices: time and, if known, best position.
    within_s
        Largest time difference, in s.
    credible_level
        Smallest credible level (0 to 1) of one event's sky map that contains the other's position; replaces the
        comparison of positions if one event has a map and the other a position.

    Returns
    -------
    str
        The time difference and the agreement of positions. An unknown position counts neither for nor against.
    """
    if one.test is not other.test or (one.kind, one.mission) == (other.kind, other.mission):
        return ""
    if one.time is None or other.time is None:
        return ""
    apart_s = abs((one.time - other.time).total_seconds())
    where = _places(one, other) if credible_level is None else _on_map(credible_level)
    return f"{apart_s:.1f} s apart, {where}" if apart_s <= within_s and where else ""


def allowed_deg(notice: Notice) -> float:
    """Return the radius in degrees that holds the true position with probability 1 - ``OUTSIDE`` (Gaussian errors)."""
    contained = notice.containment if notice.containment and 0 < notice.containment < 1 else constants.USUAL_CONTAINMENT
    return best_position.error_deg(notice) * math.sqrt(math.log(OUTSIDE) / math.log1p(-contained))


def _places(one: Notice, other: Notice) -> str:
    """Compare positions; return the empty string if they disagree."""
    if one.ra_deg is None or one.dec_deg is None or other.ra_deg is None or other.dec_deg is None:
        return "without two places to compare"
    places = [SkyCoord(ra, dec, unit=u.deg) for ra, dec in ((one.ra_deg, one.dec_deg), (other.ra_deg, other.dec_deg))]
    apart_deg = float(places[0].separation(places[1]).deg)
    most_deg = math.hypot(allowed_deg(one), allowed_deg(other))
    return f"{apart_deg:.2g}° apart where {most_deg:.2g}° is allowed" if apart_deg <= most_deg else ""


def _on_map(level: float) -> str:
    return f"inside the {100 * level:.0f} % region of the sky map" if level <= MAP_LEVEL else ""


def has_place(notice: Notice) -> bool:
    """Return whether a notice is of a burst and has a position."""
    return notice.kind is Kind.GRB and notice.ra_deg is not None and notice.dec_deg is not None
