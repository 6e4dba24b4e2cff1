"""Removal of observed fields from a sky map and from plans: their probability is spent, they need no second visit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from tasks.records import Telescope
from tasks.records.events import EventHistory
from tasks.records.plans import Observed
from tasks.science.astrometry import directions
from tasks.science.planning import tiling
from tasks.science.skymaps import coverage, footprints, healpix, regions

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

SAME_FIELD_DEG = 1 / 60
"""Tiles of one id with centres further apart are different fields: every centred field has the same id."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ObservedCoverage:
    """Observed fields, as pointings and as the union of their footprints: disjoint ranges (n, 2)."""

    observed: tuple[Observed, ...] = ()
    spent: Integers = field(default_factory=lambda: np.empty((0, 2), dtype=np.int64))


NONE_OBSERVED = ObservedCoverage()


def of_history(history: EventHistory) -> tuple[Observed, ...]:
    """Return the tiles of an event's plans that were observed, for each telescope."""
    centres: dict[str, dict[str, tuple[float, float]]] = {}
    for entry in history.plans:
        for plan in entry.plans:
            done = frozenset(entry.observed.get(plan.telescope, ()))
            places = {tile.id: (tile.ra_deg, tile.dec_deg) for tile in plan.tiles if tile.id in done}
            centres.setdefault(plan.telescope, {}).update(places)
    return tuple(
        Observed(by=name, telescope=name, tiles=tuple(places), centres_deg=tuple(places.values()))
        for name, places in centres.items()
        if places
    )


def ranges(observed: Sequence[Observed], telescopes: Mapping[str, Telescope]) -> Integers:
    """Return the union of all footprints as disjoint pixel ranges (n, 2) at order 29.

    Parameters
    ----------
    observed
        Pointings.
    telescopes
        By name: all those of ``observed`` pointings without a footprint.
    """
    pixel_ranges = [_ranges(one, telescopes) for one in observed if one.centres_deg]
    return healpix.union(np.concatenate([*pixel_ranges, np.empty((0, 2), dtype=np.int64)]))


def without(along: footprints.Curve, spent: Integers) -> footprints.Curve:
    """Return a sky map's cumulative probability without that inside ``spent`` (disjoint ranges)."""
    if len(spent) == 0:
        return along
    edges = np.unique(np.concatenate([along.edges, spent.ravel().astype(float)]))
    inside = np.interp(edges, along.edges, along.cumulative, left=0.0)
    gains = np.diff(inside)
    middle = (edges[:-1] + edges[1:]) / 2
    at = np.searchsorted(spent[:, 0], middle, side="right") - 1
    gone = (at >= 0) & (middle < spent[np.maximum(at, 0), 1])
    return footprints.Curve(edges=edges, cumulative=np.concatenate([[0.0], np.cumsum(np.where(gone, 0.0, gains))]))


def revalued(cells: regions.Cells, along: footprints.Curve) -> regions.Cells:
    """Return cells with their remaining probability."""
    left = along.probability(healpix.ranges_of(cells.pixel, cells.order))
    return regions.Cells(order=cells.order, pixel=cells.pixel, probability=np.maximum(left, 0.0))


def left(points: Floats, weight: Floats, done: ObservedCoverage) -> Floats:
    """Return the weights (n,) of directions (n, 3): 0 for those observed already."""
    x, y, z = points.T
    places = healpix.place_of(np.degrees(np.arctan2(y, x)), np.degrees(np.arcsin(np.clip(z, -1, 1))))
    return np.where(healpix.contains(done.spent, places), 0.0, weight)


def is_done(tiles: tiling.Tiles, telescope: Telescope, done: ObservedCoverage) -> npt.NDArray[np.bool_]:
    """Return which tiles this telescope has observed: same id, same position."""
    places = {
        name: centre
        for one in done.observed
        if one.telescope == telescope.name
        for name, centre in zip(one.tiles, one.centres_deg, strict=True)
    }
    result = np.zeros(len(tiles), dtype=bool)
    if not places:
        return result
    centres = np.array(list(places.values()))
    points = directions.unit_vectors(tiles.ra_deg, tiles.dec_deg)
    reach = 2 * np.sin(np.radians(SAME_FIELD_DEG) / 2)
    for name, centre in zip(places, directions.unit_vectors(*centres.T), strict=True):
        near = np.flatnonzero(np.linalg.norm(points - centre, axis=1) <= reach)
        result[[row for row in near if tiles.name(int(row), telescope) == name]] = True
    return result


def words(done: ObservedCoverage, along: footprints.Curve) -> str:
    """Describe the observed fields, and the map's probability and area in them."""
    counts: dict[str, int] = {}
    for one in done.observed:
        counts[one.by] = counts.get(one.by, 0) + len(one.centres_deg)
    listed = ", ".join(f"{by} {count}" for by, count in counts.items())
    probability, area = footprints.probability(done.spent, along), healpix.area_deg2(done.spent)
    return f"already observed: fields of {listed}; {100 * probability:.1f} % of the probability in {area:.1f} deg²"


def _ranges(one: Observed, telescopes: Mapping[str, Telescope]) -> Integers:
    if one.footprint:
        return coverage.union(np.array(one.centres_deg), tuple(np.array(corners) for corners in one.footprint))
    view = telescopes[one.telescope].field_of_view
    return np.concatenate([footprints.field_ranges(ra_deg, dec_deg, view) for ra_deg, dec_deg in one.centres_deg])
