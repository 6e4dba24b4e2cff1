"""Scheduler ``siren``: assigns tiles and times, greedy by the probability not yet covered by any telescope.

The telescope that is free first chooses next, so the order of the telescopes' names does not matter; of two free at
once the one with the larger field chooses. It takes the tile with the most probability not yet covered by any
telescope, among the tiles that are dark, high and clear of the Moon from the first to the last exposure, after slew or
readout, whichever is longer, and settling. Probability covered by other telescopes alone still counts with a small
weight: a second visit to the centre of the region is worth more than a first one to its margin.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import numpy.typing as npt

from tasks.options import PlanOptions
from tasks.records import Plan, Telescope, Tile
from tasks.science.astrometry import directions
from tasks.science.planning import tiling, visibility
from tasks.science.planning.observable_tiles import Prospect, Targets, Window
from tasks.science.skymaps import footprints, healpix

Floats = npt.NDArray[np.float64]

# a tile must add at least this fraction of the probability of the telescope's best tile
WORTH = 1e-4


@dataclass(frozen=True, kw_only=True)
class RequestedTile:
    """A tile chosen by another engine: its row, and its earliest start."""

    row: int
    not_before_s: float


@dataclass(frozen=True, kw_only=True)
class ScheduledTile:
    """A scheduled tile: its row, and the start of its first exposure in seconds since 1970."""

    row: int
    start_s: float


@dataclass(kw_only=True, eq=False)
class _Progress:
    """State of one telescope's timeline."""

    prospect: Prospect
    wanted: int
    second_look: float
    worth: float
    free_s: float
    wishes: list[RequestedTile]
    own: Floats
    slots: list[ScheduledTile] = field(default_factory=list)
    open: npt.NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, dtype=bool))

    @property
    def done(self) -> bool:
        return len(self.slots) >= self.wanted or not self.open.any() or self.free_s >= self.end_s

    @property
    def end_s(self) -> float:
        return self.prospect.nights[-1][1]

    @property
    def pointing(self) -> Floats | None:
        return self.prospect.points[self.slots[-1].row] if self.slots else None


def schedule(
    prospects: Sequence[Prospect],
    targets: Targets,
    options: PlanOptions,
    wishes: Mapping[str, Sequence[RequestedTile]] | None = None,
) -> tuple[tuple[ScheduledTile, ...], ...]:
    """Assign tiles and times to each telescope.

    Parameters
    ----------
    prospects
        Observable tiles of each telescope.
    targets
        Targets that the tiles share.
    options
        Uses the most tiles per telescope and the weight of a second visit.
    wishes
        Tiles chosen by another engine, by telescope: taken first, in its order, if the timeline allows.

    Returns
    -------
    tuple
        Slots of each prospect in time order; no tile twice.
    """
    residual = targets.weight.copy()
    asked = wishes or {}
    lanes = [_begin(each, residual, options, asked.get(each.telescope.name, ())) for each in prospects]
    queue = [(lane.free_s, _rank(lane), index) for index, lane in enumerate(lanes) if not lane.done]
    heapq.heapify(queue)
    while queue:
        _, rank, index = heapq.heappop(queue)
        lane = lanes[index]
        _advance(lane, residual)
        if not lane.done:
            heapq.heappush(queue, (lane.free_s, rank, index))
    return tuple(tuple(lane.slots) for lane in lanes)


def _begin(prospect: Prospect, residual: Floats, options: PlanOptions, wishes: Sequence[RequestedTile]) -> _Progress:
    held = np.asarray(prospect.sharing @ residual).ravel()
    return _Progress(
        prospect=prospect,
        wanted=options.tiles,
        second_look=options.second_look,
        worth=WORTH * float(held.max(initial=0.0)),
        free_s=prospect.nights[0][0] if prospect.nights else np.inf,
        wishes=list(wishes),
        own=residual.copy(),
        open=np.ones(len(prospect.tiles), dtype=bool) if prospect.nights else np.zeros(0, dtype=bool),
    )


def _rank(lane: _Progress) -> tuple[float, str]:
    telescope = lane.prospect.telescope
    return -telescope.field_of_view.area_deg2, telescope.name


def _advance(lane: _Progress, residual: Floats) -> None:
    """Take one tile, or wait; the tile's probability is then covered for all telescopes."""
    dusk, dawn = next(night for night in lane.prospect.nights if lane.free_s < night[1])
    lane.free_s = max(lane.free_s, dusk)
    slot = _granted(lane, dawn) if lane.wishes else _best(lane, residual, dawn)
    if slot is not None:
        lane.slots.append(slot)
        lane.open[slot.row] = False
        lane.free_s = slot.start_s + lane.prospect.telescope.block_s
        covered = lane.prospect.sharing[slot.row].indices
        residual[covered] = lane.own[covered] = 0.0
    elif not lane.wishes:
        lane.free_s = min(dawn, lane.free_s + visibility.STEP_S)


def _granted(lane: _Progress, dawn: float) -> ScheduledTile | None:
    """Take the next requested tile if its time allows, else drop it."""
    wish = lane.wishes.pop(0)
    start = max(lane.free_s + float(_waits(lane)[wish.row]), wish.not_before_s)
    if start >= dawn:
        nights = [night for night in lane.prospect.nights if night[0] <= start < night[1]]
        dawn = nights[0][1] if nights else -np.inf
    rows = np.zeros(len(lane.open), dtype=bool)
    rows[wish.row] = lane.open[wish.row]
    starts = np.full(len(lane.open), start)
    return ScheduledTile(row=wish.row, start_s=start) if _possible(lane, starts, rows, dawn)[wish.row] else None


def _best(lane: _Progress, residual: Floats, dawn: float) -> ScheduledTile | None:
    """Return the tile with the largest gain of those that can start now, or None."""
    worth = lane.second_look * lane.own + (1 - lane.second_look) * residual
    gain = np.asarray(lane.prospect.sharing @ worth).ravel()
    lane.open &= (gain > lane.worth) & (lane.prospect.last_start_s >= lane.free_s)
    starts = lane.free_s + _waits(lane)
    possible = _possible(lane, starts, lane.open, dawn)
    if not possible.any():
        return None
    row = int(np.argmax(np.where(possible, gain, -1.0)))
    return ScheduledTile(row=row, start_s=float(starts[row]))


def _waits(lane: _Progress) -> Floats:
    """Return the seconds from the last exposure's end to each tile's first: readout or slew, and settling."""
    telescope = lane.prospect.telescope
    if lane.pointing is None:
        return np.zeros(len(lane.prospect.points))
    slew = directions.separations_deg(lane.prospect.points, lane.pointing) / telescope.mount.slew_deg_per_s
    return np.asarray(np.maximum(slew, telescope.camera.readout_s) + telescope.mount.settle_s)


def _possible(lane: _Progress, starts: Floats, rows: npt.NDArray[np.bool_], dawn: float) -> npt.NDArray[np.bool_]:
    """Return which of ``rows`` are observable from start to end, both before dawn."""
    telescope = lane.prospect.telescope
    result = rows & (starts + telescope.block_s <= dawn)
    if not result.any():
        return result
    some = np.flatnonzero(result)
    ends = (float(starts[some].min()), float(starts[some].max()) + telescope.block_s)
    sky = visibility.over(telescope.site, ends)
    result[some] = visibility.observable(sky, lane.prospect.points[some], telescope.limits).all(axis=1)
    return result


def plans(
    prospects: Sequence[Prospect],
    slots: Sequence[Sequence[ScheduledTile]],
    along: footprints.Curve,
    window: Window,
    *,
    event_id: str,
    engine: str,
) -> tuple[Plan, ...]:
    """Return every telescope's timeline as a plan, with probability and area of the union of its footprints."""
    pairs = zip(prospects, slots, strict=True)
    return tuple(_plan(prospect, taken, along, window, event_id, engine) for prospect, taken in pairs)


def _plan(
    prospect: Prospect,
    slots: Sequence[ScheduledTile],
    along: footprints.Curve,
    window: Window,
    event_id: str,
    engine: str,
) -> Plan:
    telescope, rows = prospect.telescope, np.array([slot.row for slot in slots], dtype=int)
    chosen = prospect.tiles.take(rows)
    probability = tiling.probabilities(chosen, along, telescope.field_of_view)
    tiles = tuple(_tile(prospect, slot, float(value)) for slot, value in zip(slots, probability, strict=True))
    covered = covered_ranges(tiles, telescope)
    ends = (tiles[0].start, _end(slots[-1], telescope)) if tiles else (window.start, window.end)
    left = len(prospect.tiles) - len(tiles)
    return Plan(
        event_id=event_id,
        telescope=telescope.name,
        engine=engine,
        tiles=tiles,
        probability=footprints.probability(covered, along),
        area_deg2=healpix.area_deg2(covered),
        reason="" if tiles else prospect.reason or _overtaken(prospect),
        start=ends[0],
        end=ends[1],
        not_taken={**prospect.left_out, **({"observable, but not chosen": left} if left else {})},
    )


def _overtaken(prospect: Prospect) -> str:
    return f"window: none of the {len(prospect.tiles)} observable tiles fits between its neighbours' exposures"


def _tile(prospect: Prospect, slot: ScheduledTile, probability: float) -> Tile:
    telescope, tiles = prospect.telescope, prospect.tiles
    sky = visibility.over(telescope.site, slot.start_s)
    altitude = visibility.altitudes(sky, prospect.points[[slot.row]])
    return Tile(
        id=tiles.name(slot.row, telescope),
        ra_deg=float(tiles.ra_deg[slot.row]),
        dec_deg=float(tiles.dec_deg[slot.row]),
        start=visibility.moment(slot.start_s),
        exposure_s=telescope.exposure.total_s,
        filter=telescope.exposure.filter,
        probability=probability,
        airmass=float(visibility.airmass(altitude)[0, 0]),
    )


def _end(slot: ScheduledTile, telescope: Telescope) -> datetime:
    return visibility.moment(slot.start_s + telescope.block_s)


def covered_ranges(tiles: Sequence[Tile], telescope: Telescope) -> npt.NDArray[np.int64]:
    """Return the union of the footprints of a telescope's tiles, as disjoint pixel ranges."""
    pixel_ranges = [footprints.field_ranges(tile.ra_deg, tile.dec_deg, telescope.field_of_view) for tile in tiles]
    return healpix.union(np.concatenate([*pixel_ranges, np.empty((0, 2), dtype=np.int64)]))


def joint(made: Sequence[Plan], telescopes: Mapping[str, Telescope], along: footprints.Curve) -> tuple[float, float]:
    """Return probability and area in deg² of the union of all plans' footprints."""
    pixel_ranges = [covered_ranges(plan.tiles, telescopes[plan.telescope]) for plan in made]
    covered = healpix.union(np.concatenate([*pixel_ranges, np.empty((0, 2), dtype=np.int64)]))
    return footprints.probability(covered, along), healpix.area_deg2(covered)
