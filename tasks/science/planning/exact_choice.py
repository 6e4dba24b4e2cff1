"""The best set of tiles, by mixed-integer programming: slower than the greedy choice, with a proven bound.

Maximise the probability of the targets covered at least once, where each telescope takes at most so many tiles and each tile
has a slot of its own. Targets in exactly the same tiles count as one; the slots of chosen tiles are a flow, so that they
need no whole numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import optimize, sparse

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.int64]

# a solution this close to its bound counts as the best, relative to it
GAP = 1e-4


@dataclass(frozen=True, kw_only=True, eq=False)
class Choice:
    """Tiles chosen for each telescope, what they cover, and the largest probability that any choice could cover."""

    rows: tuple[tuple[int, ...], ...]
    probability: float
    bound: float

    @property
    def gap(self) -> float:
        """How much better another choice could be at most, relative to this one."""
        return max(self.bound - self.probability, 0.0) / self.probability if self.probability else 0.0


def choose(
    sharing: Sequence[sparse.csr_matrix], weight: Floats, allowed: Sequence[Flags], *, most: int, seconds: float
) -> Choice | None:
    """Choose tiles for several telescopes with HiGHS.

    Parameters
    ----------
    sharing
        For each telescope, 1 where a target lies in a tile: (tiles, targets).
    weight
        Probability of each target (targets,).
    allowed
        For each telescope, in which slots each tile can begin: (tiles, slots).
    most
        Largest number of tiles of a telescope.
    seconds
        Time limit of the solver.

    Returns
    -------
    Choice or None
        None if the solver found no solution in time.
    """
    counts = [len(flags) for flags in allowed]
    groups, value = _groups(sparse.vstack(sharing).tocsc(), weight)
    tiles, targets = sum(counts), len(value)
    if not tiles or not targets or not any(flags.any() for flags in allowed):
        return Choice(rows=((),) * len(counts), probability=0.0, bound=0.0)
    pairs = [np.argwhere(flags) for flags in allowed]
    places = sum(len(each) for each in pairs)
    objective = np.concatenate([np.zeros(tiles), -value, np.zeros(places)])
    whole = np.concatenate([np.ones(tiles), np.zeros(targets + places)])
    found = optimize.milp(
        objective,
        integrality=whole,
        bounds=optimize.Bounds(0, 1),
        constraints=_constraints(groups, counts, pairs, allowed, most),
        options={"time_limit": seconds, "mip_rel_gap": GAP},
    )
    if found.x is None:
        return None
    chosen = np.split(found.x[:tiles] > 0.5, np.cumsum(counts)[:-1])
    bound = -found.mip_dual_bound if found.mip_dual_bound is not None else float(value.sum())
    return Choice(
        rows=tuple(tuple(np.flatnonzero(one).tolist()) for one in chosen), probability=-found.fun, bound=bound
    )


def _groups(sharing: sparse.csc_matrix, weight: Floats) -> tuple[sparse.csr_matrix, Floats]:
    """Join targets that lie in exactly the same tiles; leave out those in none. Returns (tiles, groups) and weights."""
    sharing.sort_indices()
    bounds = zip(sharing.indptr[:-1], sharing.indptr[1:], strict=True)
    keys = [sharing.indices[first:last].tobytes() for first, last in bounds]
    names, first, group = np.unique(np.array(keys, dtype=object), return_index=True, return_inverse=True)
    value = np.bincount(group, weights=weight, minlength=len(names))
    kept = np.array([len(name) > 0 for name in names], dtype=bool)
    return sharing[:, first[kept]].tocsr(), value[kept]


def _constraints(
    groups: sparse.csr_matrix, counts: Sequence[int], pairs: Sequence[Integers], allowed: Sequence[Flags], most: int
) -> list[optimize.LinearConstraint]:
    """Return: a target is covered by a chosen tile; budgets; a chosen tile has a slot; a slot has one tile."""
    tiles, targets = groups.shape
    offsets = np.cumsum([0, *counts])
    rows = np.concatenate([pair[:, 0] + first for pair, first in zip(pairs, offsets, strict=False)])
    slots = np.cumsum([0, *(flags.shape[1] for flags in allowed)])
    columns = np.concatenate([pair[:, 1] + first for pair, first in zip(pairs, slots, strict=False)])
    count = len(rows)
    none = sparse.csr_matrix
    ones, index = np.ones(count), np.arange(count)
    covered = sparse.hstack([groups.T, -sparse.identity(targets), none((targets, count))])
    telescope = sparse.csr_matrix(
        (np.ones(tiles), (np.repeat(np.arange(len(counts)), counts), np.arange(tiles))), shape=(len(counts), tiles)
    )
    budget = sparse.hstack([telescope, none((len(counts), targets + count))])
    placed = sparse.hstack(
        [
            -sparse.identity(tiles),
            none((tiles, targets)),
            sparse.csr_matrix((ones, (rows, index)), shape=(tiles, count)),
        ]
    )
    shared = sparse.csr_matrix((ones, (columns, index)), shape=(int(slots[-1]), count))
    single = sparse.hstack([none((int(slots[-1]), tiles + targets)), shared])
    return [
        optimize.LinearConstraint(covered, lb=0),
        optimize.LinearConstraint(budget, ub=most),
        optimize.LinearConstraint(placed, lb=0, ub=0),
        optimize.LinearConstraint(single, ub=1),
    ]
