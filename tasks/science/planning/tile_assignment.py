"""Which tiles a telescope can observe in one window: an assignment of tiles to slots of its nights.

A set of tiles is possible if each can have a slot of its own in which it is observable. Tiles are offered one after the
other; one is taken if those taken before can be moved to other slots so that all have one (an augmenting path: Kuhn 1955,
Naval Research Logistics Quarterly 2, 83). The possible sets are a matroid, so offering the tiles by falling probability gives
the best set where the probabilities do not overlap, and at least half of the best where they do (Fisher, Nemhauser and Wolsey
1978, Mathematical Programming Study 8, 73).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from tasks.records import Telescope
from tasks.science.planning import visibility
from tasks.science.planning.observable_tiles import Prospect

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.int64]

# in a minute a position moves by a quarter of a degree; short blocks need finer times, long windows coarser ones
GRID_STEP_S, STEPS_A_SLOT, MOST_TIMES = 60.0, 4, 4000
# usual slew between two fields, for the length of a slot; the timeline counts the real ones
USUAL_SLEW_DEG = 5.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Opportunities:
    """Times at which each tile of a telescope can begin.

    ``times_s`` (n,) are seconds since 1970, ``step_s`` apart, at which a block starts and ends in the dark; ``possible``
    (tiles, n) says where a tile is observable at the block's first and last moment. ``slot`` (n,) numbers the slot of each
    time: a slot is as long as a block with the readout or slew before it.
    """

    step_s: float

    times_s: Floats
    possible: Flags
    slot: Integers
    slot_s: float

    @property
    def slot_times_s(self) -> Floats:
        """Begin of each slot, in seconds since 1970."""
        return self.times_s[self._first]

    def by_slot(self) -> Flags:
        """Return at the begin of which slots (tiles, slots) each tile can begin."""
        return self.possible[:, self._first]

    @property
    def _first(self) -> Integers:
        return np.flatnonzero(np.diff(self.slot, prepend=-1))


def opportunities(prospect: Prospect) -> Opportunities:
    """Return the times at which the tiles of a prospect can begin."""
    telescope = prospect.telescope
    slot_s = telescope.block_s + usual_wait_s(telescope)
    dark_s = sum(last - first for first, last in prospect.nights)
    step_s = max(min(GRID_STEP_S, slot_s / STEPS_A_SLOT), dark_s / MOST_TIMES)
    times = [visibility.steps([night], step_s, telescope.block_s) for night in prospect.nights]
    numbers, first = [], 0
    for one in times:
        own = ((one - one[0]) // slot_s).astype(int) if len(one) else np.empty(0, dtype=int)
        # in a very long window the times may lie further apart than the slots: then each has its own
        own = np.unique(own, return_inverse=True)[1]
        numbers.append(own + first)
        first += int(own[-1]) + 1 if len(own) else 0
    times_s = np.concatenate([*times, np.empty(0)])
    possible = np.zeros((len(prospect.points), len(times_s)), dtype=bool)
    if len(times_s) and len(prospect.points):
        skies = (visibility.over(telescope.site, times_s + shift) for shift in (0.0, telescope.block_s))
        begin, end = (visibility.observable(sky, prospect.points, telescope.limits) for sky in skies)
        possible = begin & end
    slot = np.concatenate([*numbers, np.empty(0, dtype=int)]).astype(np.int64)
    return Opportunities(step_s=step_s, times_s=times_s, possible=possible, slot=slot, slot_s=slot_s)


def usual_wait_s(telescope: Telescope) -> float:
    """Return the usual seconds from one tile's last exposure to the next one's first."""
    slew = USUAL_SLEW_DEG / telescope.mount.slew_deg_per_s
    return max(slew, telescope.camera.readout_s) + telescope.mount.settle_s


@dataclass(kw_only=True, eq=False)
class Assignment:
    """Tiles that were taken, each with a slot of its own.

    Parameters
    ----------
    allowed
        In which slots (tiles, slots) each tile can begin.
    """

    allowed: Flags
    owner: Integers = field(init=False)
    """Tile of each slot, -1 for a free one."""

    _slot_of: dict[int, int] = field(init=False, default_factory=dict)
    _full: Flags = field(init=False)
    """Slots that are known to be all needed: a tile with no other one is never possible."""

    def __post_init__(self) -> None:
        self.owner = np.full(self.allowed.shape[1], -1)
        self._full = np.zeros(self.allowed.shape[1], dtype=bool)

    def __len__(self) -> int:
        return len(self._slot_of)

    def has(self, row: int) -> bool:
        """Return whether a tile was taken."""
        return row in self._slot_of

    @property
    def rows(self) -> tuple[int, ...]:
        """The tiles taken, in the order in which they were taken."""
        return tuple(self._slot_of)

    def take(self, row: int) -> bool:
        """Take a tile if it and all taken before can have slots; return whether it was taken."""
        if row in self._slot_of or not (self.allowed[row] & ~self._full).any():
            return False
        reached_by: dict[int, int] = {}
        seen = np.zeros(len(self.owner), dtype=bool)
        tiles = [row]
        for tile in tiles:
            fresh = self.allowed[tile] & ~seen
            free = np.flatnonzero(fresh & (self.owner < 0))
            if len(free):
                self._move(row, tile, int(free[0]), reached_by)
                return True
            seen |= fresh
            slots = np.flatnonzero(fresh).tolist()
            reached_by.update(dict.fromkeys(slots, tile))
            tiles.extend(self.owner[slots].tolist())
        self._full |= seen
        return False

    def slot_of(self, row: int) -> int:
        """Return the slot of a tile that was taken."""
        return self._slot_of[row]

    def release(self, row: int) -> None:
        """Give up the slot of a tile."""
        self.owner[self._slot_of.pop(row)] = -1
        self._full[:] = False

    def _move(self, row: int, tile: int, slot: int, reached_by: dict[int, int]) -> None:
        """Give ``slot`` to ``tile``, the slot that it leaves to the tile that asked for it, and so on back to ``row``."""
        while True:
            left = self._slot_of.get(tile)
            self.owner[slot] = tile
            self._slot_of[tile] = slot
            if left is None or tile == row:
                return
            slot, tile = left, reached_by[left]
