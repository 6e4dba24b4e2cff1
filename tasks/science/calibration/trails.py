"""Detection of satellite and aircraft trails by a vote over straight lines."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit
from scipy import ndimage

from tasks.science.arrays import Array, nmad
from tasks.science.calibration import halos
from tasks.science.calibration.halos import TRAIL_BIT, Star
from tasks.science.calibration.shrunken_light import BinnedLight

# 7 % of the sky's pixels vote too; a higher limit loses faint trails
CANDIDATE_SIGMA = 1.5
# brighter pixels are stars: their values are clipped to this
BRIGHTEST_SIGMA = 4.0
# movement of the end of a line between two angles, in binned pixels
TURN = 3.0
# width of the strips in which pixels are counted, and of the flanks for comparison
STRIP, FLANKS = 4, (5.0, 9.0)
# segments of a path across the frame, and in how many of them a trail must show
SEGMENTS, FEWEST_SEGMENTS = 16, 11
# of normal noise one segment in 6,000 passes, with five places tried in each
SEGMENT_SIGMA = 4.0
# places tried across the strip, in binned pixels: half its width to either side
SHIFTS = (-2.0, -1.0, 0.0, 1.0, 2.0)
# error of a median over that of a mean, for many normal values
MEDIAN_ERROR = 1.2533
# limits of the time that one light may take; a line that is no trail is tried too
MOST_TRAILS, MOST_TRIES = 5, 6
# shorter paths across a corner of the frame are ignored; as a fraction of the shorter side
SHORTEST_WAY = 0.4


@dataclass(frozen=True, kw_only=True)
class Trail:
    """A straight band: pixels with ``|x cos(angle) + y sin(angle) - offset| <= half_width``, from one end to the other.

    ``ends`` are positions along it, ``-x sin(angle) + y cos(angle)``. Pixels are those of the large image, 0-based.
    """

    angle_rad: float
    offset_px: float
    half_width_px: float
    ends_px: tuple[float, float]


def find_trails(small: BinnedLight, stars: Sequence[Star] = (), *, sigma: float) -> tuple[Trail, ...]:
    """Find straight trails that cross the frame.

    Bright pixels vote for the lines through them (Hough 1962). A strip with more votes than stars explain is a trail if
    it exceeds its flanks along the whole path.
    """
    usable = small.valid & ~halos.inside(small, stars)
    bright = usable & (small.excess > CANDIDATE_SIGMA)
    trails: list[Trail] = []
    area = STRIP * _ways(bright.shape)
    for _ in range(MOST_TRIES):
        if len(trails) == MOST_TRAILS or not bright.any():
            break
        peak = _peak(_votes(bright), area, bright, usable, sigma)
        if peak is None:
            break
        trail = _followed(small, usable, *peak)
        if trail is not None:
            trails.append(trail)
        bright = bright & ~_strip(small.excess.shape, peak, half_width=STRIP if trail is None else 2 * STRIP)
    return tuple(trails)


def _angles(shape: tuple[int, int]) -> Array:
    """Return the angles of the normals of all lines to test."""
    return np.linspace(0, math.pi, math.ceil(math.pi * _reach(shape) / TURN), endpoint=False)


def _reach(shape: tuple[int, int]) -> float:
    """Return the largest distance from the middle."""
    return math.hypot(*shape) / 2 + 1


def _offsets(shape: tuple[int, int]) -> Array:
    """Return the distances of all strips from the middle; they overlap by half."""
    number = int(4 * _reach(shape) / STRIP)
    return (np.arange(number) + 1.5) * (STRIP / 2) - _reach(shape)


def _votes(chosen: Array) -> Array:
    """Count the chosen pixels in each strip ``(angle, offset)``; those near its edge count half."""
    y, x = np.nonzero(chosen)
    y, x = (y - chosen.shape[0] / 2).astype(np.float32), (x - chosen.shape[1] / 2).astype(np.float32)
    angles, reach = _angles(chosen.shape), np.full(1, _reach(chosen.shape), np.float32)
    bins = len(_offsets(chosen.shape)) + 2
    halves = np.zeros((len(angles), bins), np.float32)
    _count(halves, x, y, np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32), reach)
    return halves[:, :-2] / 2 + halves[:, 1:-1] + halves[:, 2:] / 2


@njit(nogil=True, cache=True)
def _count(halves: Array, x: Array, y: Array, cos: Array, sin: Array, reach: Array) -> None:
    """Count points in half strips ``(angle, offset)``, in place."""
    for number in range(len(cos)):
        for point in range(len(x)):
            offset = cos[number] * x[point] + sin[number] * y[point] + reach[0]
            halves[number, int(offset * np.float32(2 / STRIP))] += 1


def _ways(shape: tuple[int, int]) -> Array:
    """Return the length of each line ``(angle, offset)`` within the frame."""
    angles, offsets = _angles(shape)[:, None], _offsets(shape)[None, :]
    cos, sin = np.cos(angles), np.sin(angles)
    low, high = np.full((len(angles), offsets.size), -np.inf), np.full((len(angles), offsets.size), np.inf)
    for size, direction, foot in ((shape[1], -sin, cos * offsets), (shape[0], cos, sin * offsets)):
        steep = np.where(np.abs(direction) < 1e-12, 1e-12, direction)
        ends = (-size / 2 - foot) / steep, (size / 2 - foot) / steep
        low, high = np.maximum(low, np.minimum(*ends)), np.minimum(high, np.maximum(*ends))
    return np.maximum(high - low, 0)


def _peak(votes: Array, area: Array, bright: Array, usable: Array, sigma: float) -> tuple[float, float] | None:
    """Return angle and offset (from the middle) of the strip with the most significant excess of votes."""
    expected = area * (bright.sum() / max(1, usable.sum()))
    clump = bright.sum() / max(1, ndimage.label(bright, np.ones((3, 3)))[1])
    significance = (votes - expected) / np.sqrt(expected * clump + 1)
    significance[area < SHORTEST_WAY * STRIP * min(bright.shape)] = 0
    number, place = np.unravel_index(int(significance.argmax()), significance.shape)
    if significance[number, place] < sigma:
        return None
    return float(_angles(bright.shape)[number]), float(_offsets(bright.shape)[place])


def _strip(shape: tuple[int, int], peak: tuple[float, float], *, half_width: float) -> Array:
    across, _ = _axes(shape, peak[0])
    near: Array = np.abs(across - peak[1]) <= half_width
    return near


def _axes(shape: tuple[int, int], angle: float) -> tuple[Array, Array]:
    """Return, for each pixel, the distance across and along a line through the middle."""
    y, x = np.ogrid[: shape[0], : shape[1]]
    x, y = x - shape[1] / 2, y - shape[0] / 2
    return math.cos(angle) * x + math.sin(angle) * y, math.cos(angle) * y - math.sin(angle) * x


def _followed(small: BinnedLight, usable: Array, angle: float, offset: float) -> Trail | None:
    """Follow a line through its segments; return the trail, or None if it is not visible all along."""
    across, along = _axes(small.excess.shape, angle)
    near = np.abs(across - offset) <= FLANKS[1]
    inside = np.abs(across - offset) <= 1
    if not inside.any():
        return None
    first, last = float(along[inside].min()), float(along[inside].max())
    good = near & usable
    d, s = (across - offset)[good], along[good]
    value = np.clip(small.excess[good], -BRIGHTEST_SIGMA, BRIGHTEST_SIGMA)
    number = np.clip(((s - first) / max(last - first, 1.0) * SEGMENTS).astype(int), 0, SEGMENTS - 1)
    measured = {segment: _segment(d[number == segment], value[number == segment]) for segment in range(SEGMENTS)}
    shifts = {segment: shift for segment, shift in measured.items() if shift is not None}
    if len(shifts) < FEWEST_SEGMENTS:
        return None
    places = list(shifts)
    length = (last - first) / SEGMENTS
    middles = first + (np.array(places) + 0.5) * length
    slope, shift = np.polyfit(middles, list(shifts.values()), 1)
    width = _half_width(d - shift - slope * s, value)
    ends = (first + (places[0] - 0.5) * length, first + (places[-1] + 1.5) * length)
    return _enlarged(small, angle - math.atan(slope), offset + shift, width, ends)


def _segment(d: Array, value: Array) -> float | None:
    """Return the offset of the excess across the line in a segment; None without an excess.

    Medians are used, so that stars on the line have no effect. A trail stands above both flanks: a step does not, nor does
    the glow of an edge row, which has a flank on one side only.
    """
    flank = value[np.abs(d) >= FLANKS[0]]
    best, place = 0.0, None
    sides = value[d <= -FLANKS[0]], value[d >= FLANKS[0]]
    if min(side.size for side in sides) < STRIP:
        return None
    level, scatter = max(float(np.median(side)) for side in sides), max(float(nmad(flank)), 0.5)
    for shift in SHIFTS:
        core = value[np.abs(d - shift) <= 1]
        if core.size < STRIP:
            continue
        surplus = (float(np.median(core)) - level) / (MEDIAN_ERROR * scatter / math.sqrt(core.size))
        if surplus > max(best, SEGMENT_SIGMA):
            best, place = surplus, shift
    return place


def _half_width(d: Array, value: Array) -> float:
    """Return the half width of a trail, in binned pixels."""
    flank = value[np.abs(d) >= FLANKS[0]]
    level, scatter = float(np.mean(flank)), float(np.std(flank))
    width = 1.0
    for low in range(1, int(FLANKS[0])):
        ring = value[(np.abs(d) >= low) & (np.abs(d) < low + 1)]
        if ring.size < STRIP or ring.mean() - level < SEGMENT_SIGMA * scatter / math.sqrt(ring.size):
            break
        width = low + 1.0
    return width


def _enlarged(small: BinnedLight, angle: float, offset: float, width: float, ends: tuple[float, float]) -> Trail:
    """Convert a trail to pixels of the full image, with offsets from pixel 0, 0."""
    middle = [(size / 2 * small.block) - 0.5 + small.block / 2 for size in small.excess.shape]
    normal = math.cos(angle) * middle[1] + math.sin(angle) * middle[0]
    tangent = math.cos(angle) * middle[0] - math.sin(angle) * middle[1]
    return Trail(
        angle_rad=angle,
        offset_px=offset * small.block + normal,
        half_width_px=width * small.block + 1,
        ends_px=(ends[0] * small.block + tangent, ends[1] * small.block + tangent),
    )


def paint_band(mask: Array, trail: Trail) -> None:
    """Mark a trail, a band of rows at a time."""
    cos, sin = math.cos(trail.angle_rad), math.sin(trail.angle_rad)
    x = np.arange(mask.shape[1], dtype=np.float32)[None, :]
    for rows in _row_bands(mask.shape[0]):
        y = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None]
        along = np.float32(cos) * y - np.float32(sin) * x
        near = np.abs(np.float32(cos) * x + np.float32(sin) * y - np.float32(trail.offset_px)) <= trail.half_width_px
        near &= (along >= trail.ends_px[0]) & (along <= trail.ends_px[1])
        mask[rows][near] |= TRAIL_BIT


def _row_bands(size: int, step: int = 256) -> Iterator[slice]:
    yield from (slice(start, min(start + step, size)) for start in range(0, size, step))
