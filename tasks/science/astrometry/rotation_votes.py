"""The orientation of a camera that may be turned by any angle, by a vote of pairs of stars.

Two stars are as far apart on the frame as on the sky, whatever the pointing; the angle between the two connecting lines is
the camera's. So each pair of detections votes with every pair of reference stars of its length: true pairs vote for one
angle, false ones for any. A line has no direction, so the angle is known up to half a turn.
"""

from __future__ import annotations

import numpy as np

from tasks.science.astrometry.matching import Floats

# stars that vote: their pairs grow with the square
DETECTIONS, REFERENCES = 60, 320
# relative error of a length: production frames differ by up to 1.1 % from the nominal scale
LENGTH_ERROR = 0.012
# pairs shorter than this part of the longest one tell the angle badly
SHORT_PART = 0.15
BINS = 720
"""Of half a turn: a quarter of a degree each."""

PEAKS = 3
"""Angles returned for each parity, the one with most votes first."""


def angles(stars: Floats, plane: Floats) -> tuple[float, ...]:
    """Return the likely angles, 0 to 180 deg, by which ``stars`` are turned against ``plane``.

    Parameters
    ----------
    stars, plane
        Positions of detections and reference stars, (n, 2), brightest first, both in arcsec and of one parity.
    """
    length, direction = _pairs(stars[:DETECTIONS])
    other, there = _pairs(plane[:REFERENCES])
    use = length > SHORT_PART * length.max(initial=0.0)
    length, direction = length[use], direction[use]
    order = np.argsort(other)
    other, there = other[order], there[order]
    first, last = (np.searchsorted(other, length * factor) for factor in (1 - LENGTH_ERROR, 1 + LENGTH_ERROR))
    votes = np.zeros(BINS)
    for one, start, stop in zip(direction, first, last, strict=True):
        turned = (there[start:stop] - one) % np.pi
        votes += np.bincount((turned * (BINS / np.pi)).astype(int) % BINS, minlength=BINS)
    # an angle between two bins has its votes in both
    summed = votes + np.roll(votes, -1)
    found = []
    for _ in range(PEAKS):
        best = int(np.argmax(summed))
        found.append((best + 1) * 180 / BINS % 180)
        summed[(best + np.arange(-8, 9)) % BINS] = 0
    return tuple(found)


def _pairs(places: Floats) -> tuple[Floats, Floats]:
    """Return lengths and directions (rad, of the line) of all pairs."""
    one, other = np.triu_indices(len(places), 1)
    step = places[other] - places[one]
    return np.hypot(step[:, 0], step[:, 1]), np.arctan2(step[:, 1], step[:, 0]) % np.pi
