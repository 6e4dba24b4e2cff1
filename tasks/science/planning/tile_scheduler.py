"""Scheduler ``siren``: chooses tiles over the whole window, then orders them in time.

Tiles of all telescopes are offered by the probability that they add to what is covered already. One is taken while all taken
tiles of its telescope can still be observed, each in a slot of its own (``tile_assignment``), so that no budget is spent on
poor sky that is up first. Probability covered by other telescopes alone still counts with a small weight: a second visit to
the centre of the region is worth more than a first one to its margin.

In the timeline the most probable tile comes first as long as no other one sets meanwhile; else the one that sets first.
Between two tiles lies the slew or the readout, whichever is longer, and settling. A tile that the real slews leave no time for
is given up, and the next best one taken.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import numpy as np
import numpy.typing as npt

from tasks.options import PlanOptions
from tasks.records import Plan, Telescope, Tile
from tasks.science.astrometry import directions
from tasks.science.planning import tile_assignment, visibility
from tasks.science.planning.observable_tiles import Prospect, Targets, Window
from tasks.science.skymaps import footprints, healpix

Floats = npt.NDArray[np.float64]

# a tile must add at least this fraction of the probability of the telescope's best tile
WORTH = 1e-4
# tiles for which real slews leave no time are few, and fewer in each round
MOST_ROUNDS = 8
# a millisecond: times are written to the millisecond
ROUNDING_S = 1e-3


@dataclass(frozen=True, kw_only=True)
class ScheduledTile:
    """A scheduled tile: its row, and the start of its first exposure in seconds since 1970."""

    row: int
    start_s: float
    unit: str = ""


@dataclass(kw_only=True, eq=False)
class _Lane:
    """One telescope, or one unit of an array: what it can observe, what was chosen for it, and what not."""

    prospect: Prospect
    chances: tile_assignment.Opportunities
    taken: tile_assignment.Assignment
    wishes: dict[int, int]
    """Place of each requested tile in the other engine's order."""

    value: Floats
    """Probability of each tile alone."""

    unit: str = ""
    given_up: set[int] = field(default_factory=set)
    slots: tuple[ScheduledTile, ...] = ()

    @property
    def rank(self) -> tuple[float, str]:
        telescope = self.prospect.telescope
        return -telescope.field_of_view.area_deg2, telescope.name


def schedule(
    prospects: Sequence[Prospect],
    targets: Targets,
    options: PlanOptions,
    wishes: Mapping[str, Sequence[int]] | None = None,
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
        Rows of the tiles chosen by another engine, by telescope: taken first, in its order, if any time of the window
        allows.

    Returns
    -------
    tuple
        Slots of each prospect in time order; no tile twice.
    """
    groups = [_group(each, targets, (wishes or {}).get(each.telescope.name, ()), options) for each in prospects]
    lanes = [lane for group in groups for lane in group]
    for _ in range(MOST_ROUNDS):
        _choose(groups, targets, options)
        lost = [_order(lane) for lane in lanes]
        if not any(lost):
            break
    return tuple(_merged(group) for group in groups)


def spreads(prospect: Prospect, options: PlanOptions) -> bool:
    """Return whether each unit of an array gets tiles of its own.

    ``auto`` spreads where the array with all units on one tile could not observe all tiles of the region that can be seen.
    """
    if len(prospect.telescope.units) < 2 or options.mode == "stare":
        return False
    return options.mode == "spread" or len(prospect.tiles) > options.tiles


def _group(prospect: Prospect, targets: Targets, wishes: Sequence[int], options: PlanOptions) -> tuple[_Lane, ...]:
    """Return the lanes of a telescope: one, or one for each unit that has tiles of its own."""
    first = _lane(prospect, targets, wishes)
    if not spreads(prospect, options):
        return (first,)
    names = [unit.name for unit in prospect.telescope.units]
    allowed = first.taken.allowed
    return tuple(
        replace(first, unit=name, wishes={}, taken=tile_assignment.Assignment(allowed=allowed), given_up=set())
        for name in names
    )


def _merged(group: Sequence[_Lane]) -> tuple[ScheduledTile, ...]:
    slots = [replace(slot, unit=lane.unit) for lane in group for slot in lane.slots]
    return tuple(sorted(slots, key=lambda slot: (slot.start_s, slot.unit)))


def _lane(prospect: Prospect, targets: Targets, wishes: Sequence[int]) -> _Lane:
    chances = tile_assignment.opportunities(prospect)
    return _Lane(
        prospect=prospect,
        chances=chances,
        taken=tile_assignment.Assignment(allowed=chances.by_slot()),
        wishes={row: place for place, row in enumerate(dict.fromkeys(wishes))},
        value=np.asarray(prospect.sharing @ targets.weight).ravel(),
    )


@dataclass(kw_only=True, eq=False)
class _Coverage:
    """Probability that is left for all telescopes together, and for each alone."""

    groups: Sequence[Sequence[_Lane]]
    left: Floats
    own: list[Floats]
    second_look: float

    def gain(self, index: int, row: int) -> float:
        """Return what a tile adds; probability that only other telescopes have covered counts less."""
        targets = self.groups[index][0].prospect.sharing[row].indices
        again, new = self.own[index][targets].sum(), self.left[targets].sum()
        return float(self.second_look * again + (1 - self.second_look) * new)

    def add(self, index: int, row: int) -> None:
        """Cover a tile."""
        targets = self.groups[index][0].prospect.sharing[row].indices
        self.left[targets] = self.own[index][targets] = 0.0


def _choose(groups: Sequence[Sequence[_Lane]], targets: Targets, options: PlanOptions) -> None:
    """Take requested tiles, then those that add most, until each telescope or unit has as many as wanted."""
    own = [targets.weight.copy() for _ in groups]
    coverage = _Coverage(groups=groups, left=targets.weight.copy(), own=own, second_look=options.second_look)
    for index, group in enumerate(groups):
        for lane in group:
            _take_requested(lane, options.tiles)
            for row in lane.taken.rows:
                coverage.add(index, row)
    queue = [
        (-float(value), group[0].rank, index, row)
        for index, group in enumerate(groups)
        for row, value in enumerate(group[0].value)
    ]
    heapq.heapify(queue)
    while queue:
        offered, rank, index, row = heapq.heappop(queue)
        now = coverage.gain(index, row)
        # what a tile adds only falls: one that still adds as much as the next was offered for is the best
        if now < -offered and queue and -now > queue[0][0]:
            heapq.heappush(queue, (-now, rank, index, row))
        elif now > WORTH * groups[index][0].value.max() and _taken_by_one(groups[index], row, options.tiles):
            coverage.add(index, row)


def _taken_by_one(group: Sequence[_Lane], row: int, most: int) -> bool:
    """Give a tile to the unit with the fewest that can observe it; return whether one can."""
    if any(lane.taken.has(row) for lane in group):
        return False
    free = [lane for lane in group if len(lane.taken) < most and row not in lane.given_up]
    return any(lane.taken.take(row) for lane in sorted(free, key=lambda lane: len(lane.taken)))


def _take_requested(lane: _Lane, most: int) -> None:
    for row in lane.wishes:
        if len(lane.taken) < most and row not in lane.given_up:
            lane.taken.take(row)


def _order(lane: _Lane) -> bool:
    """Put a telescope's tiles into their order in time; return whether one had to be given up."""
    given_up = False
    while True:
        timeline = _Timeline.of(lane)
        while timeline.left:
            timeline.step()
        lane.slots = tuple(timeline.slots)
        lost = set(lane.taken.rows) - {slot.row for slot in lane.slots}
        if lost and (fixed := _at_their_slots(lane)):
            lane.slots, lost = fixed, set()
        if not lost:
            return given_up
        worst = _least_valuable(lane, max(lost, key=lambda row: (lane.value[row], row)))
        lane.taken.release(worst)
        lane.given_up.add(worst)
        given_up = True


def _at_their_slots(lane: _Lane) -> tuple[ScheduledTile, ...]:
    """Begin each tile with its slot; empty if a slew is too long for that."""
    times_s, telescope = lane.chances.slot_times_s, lane.prospect.telescope
    rows = sorted(lane.taken.rows, key=lane.taken.slot_of)
    slots = tuple(ScheduledTile(row=row, start_s=float(times_s[lane.taken.slot_of(row)])) for row in rows)
    for before, after in itertools.pairwise(slots):
        points = lane.prospect.points[[before.row, after.row]]
        wait_s = float(_waits(points[1:], points[0], telescope)[0])
        if before.start_s + telescope.block_s + wait_s > after.start_s + ROUNDING_S:
            return ()
    return slots


def _least_valuable(lane: _Lane, lost: int) -> int:
    """Return the tile to give up for one that found no time: the least probable of those observed in its stead."""
    window = lane.chances.times_s[lane.chances.possible[lost]]
    rivals = [slot.row for slot in lane.slots if window[0] <= slot.start_s <= window[-1]]
    return min((lost, *rivals), key=lambda row: (row in lane.wishes, lane.value[row], row))


@dataclass(kw_only=True, eq=False)
class _Timeline:
    """The nights of one telescope, filled from the first dusk on."""

    lane: _Lane
    left: list[int]
    """Tiles still to be observed, the most wanted first."""

    next_time: dict[int, npt.NDArray[np.int64]]
    """For each tile, the next of the lane's times, from each on, at which it can begin."""

    free_s: float
    pointing: Floats | None = None
    slots: list[ScheduledTile] = field(default_factory=list)

    @classmethod
    def of(cls, lane: _Lane) -> _Timeline:
        times_s = lane.chances.times_s
        wanted = sorted(
            lane.taken.rows, key=lambda row: (lane.wishes.get(row, len(lane.wishes)), -lane.value[row], row)
        )
        return cls(
            lane=lane,
            left=wanted if len(times_s) else [],
            next_time={row: _next_true(lane.chances.possible[row]) for row in wanted},
            free_s=float(times_s[0]) if len(times_s) else np.inf,
        )

    def step(self) -> None:
        """Observe the tile that is wanted most of those that can begin first, or the one that sets first."""
        starts = self._starts()
        self.left = [row for row, start in zip(self.left, starts, strict=True) if np.isfinite(start)]
        starts = starts[np.isfinite(starts)]
        if not self.left:
            return
        ready = np.flatnonzero(starts <= starts.min() + self.lane.chances.step_s)
        sets = self._last_starts()
        at = next((place for place in ready.tolist() if self._leaves_time(place, starts, sets)), None)
        chosen = int(ready[np.argmin(sets[ready])]) if at is None else at
        row, start = self.left.pop(chosen), float(starts[chosen])
        self.slots.append(ScheduledTile(row=row, start_s=start))
        self.free_s = start + self.lane.prospect.telescope.block_s
        self.pointing = self.lane.prospect.points[row]

    def _starts(self) -> Floats:
        """Return when each tile can begin, after slew or readout; infinite for one that cannot any more."""
        times_s, telescope = self.lane.chances.times_s, self.lane.prospect.telescope
        points = self.lane.prospect.points[self.left]
        soonest = self.free_s + _waits(points, self.pointing, telescope)
        first = np.searchsorted(times_s, soonest)
        starts = np.full(len(self.left), np.inf)
        for place, row in enumerate(self.left):
            index = int(self.next_time[row][first[place]])
            if index < len(times_s):
                starts[place] = times_s[index]
        # between two times of the grid at which it can begin, a tile begins at once
        before = np.maximum(first - 1, 0)
        between = (first > 0) & (starts - soonest < self.lane.chances.step_s) & np.isfinite(starts)
        between &= times_s[np.minimum(first, len(times_s) - 1)] - times_s[before] <= 1.5 * self.lane.chances.step_s
        between &= self.lane.chances.possible[self.left, before]
        starts[between] = soonest[between]
        return starts

    def _last_starts(self) -> Floats:
        possible, times_s = self.lane.chances.possible, self.lane.chances.times_s
        return np.array([times_s[np.flatnonzero(possible[row])[-1]] for row in self.left])

    def _leaves_time(self, place: int, starts: Floats, sets: Floats) -> bool:
        """Return whether all other tiles can still begin before they set if this one is taken now."""
        slot_s = self.lane.chances.slot_s
        others = np.sort(np.delete(sets, place))
        return bool(np.all(starts[place] + slot_s * np.arange(1, len(others) + 1) <= others))


def _next_true(flags: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Return for each index, and one beyond, the next one that is true; the length if there is none."""
    index = np.where(flags, np.arange(len(flags)), len(flags))
    return np.append(np.minimum.accumulate(index[::-1])[::-1], len(flags))


def _waits(points: Floats, pointing: Floats | None, telescope: Telescope) -> Floats:
    """Return the seconds from the last exposure's end to each tile's first: readout or slew, and settling."""
    if pointing is None:
        return np.zeros(len(points))
    slew = directions.separations_deg(points, pointing) / telescope.mount.slew_deg_per_s
    return np.asarray(np.maximum(slew, telescope.camera.readout_s) + telescope.mount.settle_s)


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
    places = zip(chosen.ra_deg, chosen.dec_deg, strict=True)
    across = footprints.across_of(len(rows))
    fields = [footprints.field_ranges(ra, dec, telescope.field_of_view, across=across) for ra, dec in places]
    cumulative = np.clip(np.cumsum(footprints.added(fields, along)), 0.0, 1.0)
    probability = [footprints.probability(own, along) for own in fields]
    tiles = _tiles(prospect, slots, probability, cumulative)
    covered = healpix.union(np.concatenate([*fields, np.empty((0, 2), dtype=np.int64)]))
    ends = (tiles[0].start, _end(slots[-1], telescope)) if tiles else (window.start, window.end)
    left = len(prospect.tiles) - len(tiles)
    return Plan(
        event_id=event_id,
        telescope=telescope.name,
        engine=engine,
        tiles=tiles,
        probability=float(cumulative[-1]) if tiles else 0.0,
        area_deg2=healpix.area_deg2(covered),
        reason="" if tiles else prospect.reason or _overtaken(prospect),
        start=ends[0],
        end=ends[1],
        not_taken={**prospect.left_out, **({"observable, but not chosen": left} if left else {})},
    )


def _overtaken(prospect: Prospect) -> str:
    return f"window: none of the {len(prospect.tiles)} observable tiles fits between its neighbours' exposures"


def _tiles(
    prospect: Prospect, slots: Sequence[ScheduledTile], probability: Sequence[float], cumulative: Floats
) -> tuple[Tile, ...]:
    telescope, tiles = prospect.telescope, prospect.tiles
    rows = [slot.row for slot in slots]
    sky, points = visibility.over(telescope.site, [slot.start_s for slot in slots]), prospect.points[rows]
    altitude_deg = np.degrees(np.arcsin(np.einsum("ij,ij->i", points, sky.zenith)))
    moon_deg = np.degrees(np.arccos(np.clip(np.einsum("ij,ij->i", points, sky.moon), -1, 1)))
    airmass = visibility.airmass(altitude_deg)
    return tuple(
        Tile(
            id=tiles.name(slot.row, telescope),
            ra_deg=float(tiles.ra_deg[slot.row]),
            dec_deg=float(tiles.dec_deg[slot.row]),
            start=visibility.moment(slot.start_s),
            exposure_s=telescope.exposure.total_s,
            filter=telescope.exposure.filter,
            probability=probability[place],
            airmass=float(airmass[place]),
            moon_deg=float(moon_deg[place]),
            cumulative=float(cumulative[place]),
            unit=slot.unit,
        )
        for place, slot in enumerate(slots)
    )


def _end(slot: ScheduledTile, telescope: Telescope) -> datetime:
    return visibility.moment(slot.start_s + telescope.block_s)


def covered_ranges(tiles: Sequence[Tile], telescope: Telescope) -> npt.NDArray[np.int64]:
    """Return the union of the footprints of a telescope's tiles, as disjoint pixel ranges."""
    view, across = telescope.field_of_view, footprints.across_of(len(tiles))
    pixel_ranges = [footprints.field_ranges(tile.ra_deg, tile.dec_deg, view, across=across) for tile in tiles]
    return healpix.union(np.concatenate([*pixel_ranges, np.empty((0, 2), dtype=np.int64)]))


def joint(made: Sequence[Plan], telescopes: Mapping[str, Telescope], along: footprints.Curve) -> tuple[float, float]:
    """Return probability and area in deg² of the union of all plans' footprints."""
    pixel_ranges = [covered_ranges(plan.tiles, telescopes[plan.telescope]) for plan in made]
    covered = healpix.union(np.concatenate([*pixel_ranges, np.empty((0, 2), dtype=np.int64)]))
    return footprints.probability(covered, along), healpix.area_deg2(covered)
