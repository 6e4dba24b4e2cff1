"""Changes of a new plan against the last one: tiles kept, dropped, added, and already observed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from astropy.coordinates import angular_separation

from tasks.records import Plan, Tile
from tasks.records.events import EventHistory, PlanChange, PlanEntry
from tasks.science.planning import already_observed


def of_history(history: EventHistory, entry: PlanEntry | None = None) -> tuple[PlanChange, ...]:
    """Compare a planning run of an event with the last earlier one for another notice.

    Parameters
    ----------
    history
        History of the event.
    entry
        The run; by default the newest one with plans.

    Returns
    -------
    tuple of PlanChange
        One for each telescope of the run that had tiles before; empty without earlier plans.
    """
    runs = [run for run in history.plans if run.plans]
    if not runs:
        return ()
    newest = entry or runs[-1]
    earlier = [run for run in runs[: runs.index(newest)] if run.notice_sha256 != newest.notice_sha256]
    before = {plan.telescope: plan for run in earlier for plan in run.plans}
    return between(list(before.values()), newest.plans, observed=_observed(history.plans))


def between(
    before: Sequence[Plan], after: Sequence[Plan], *, observed: Mapping[str, frozenset[str]] | None = None
) -> tuple[PlanChange, ...]:
    """Compare plans telescope by telescope.

    Parameters
    ----------
    before, after
        Plans, each with at most one per telescope.
    observed
        Ids of the tiles observed by each telescope: not counted as kept, dropped or added.
    """
    old = {plan.telescope: plan for plan in before if plan.tiles}
    return tuple(
        _of_telescope(old[plan.telescope], plan, (observed or {}).get(plan.telescope, frozenset()))
        for plan in after
        if plan.telescope in old
    )


def _of_telescope(before: Plan, after: Plan, observed: frozenset[str]) -> PlanChange:
    old, new = _by_id(before), _by_id(after)
    done = {name: tile for name, tile in (old | new).items() if name in observed}
    kept = [tile for name, tile in new.items() if name not in done and name in old and _same(tile, old[name])]
    names = {tile.id for tile in kept}
    return PlanChange(
        telescope=after.telescope,
        keep=tuple(kept),
        drop=tuple(tile for name, tile in old.items() if name not in done and name not in names),
        add=tuple(tile for name, tile in new.items() if name not in done and name not in names),
        observed=tuple(done.values()),
    )


def _by_id(plan: Plan) -> dict[str, Tile]:
    """Return a plan's tiles by id, visits of one tile as one."""
    # reversed twice: the first visit of each, in the order of the plan
    first = {tile.id: tile for tile in reversed(plan.tiles)}
    return dict(reversed(first.items()))


def _same(one: Tile, other: Tile) -> bool:
    """Return whether two tiles are the same field."""
    places = np.radians([one.ra_deg, one.dec_deg, other.ra_deg, other.dec_deg])
    return bool(np.degrees(angular_separation(*places)) <= already_observed.SAME_FIELD_DEG)


def _observed(plans: Sequence[PlanEntry]) -> dict[str, frozenset[str]]:
    tiles: dict[str, frozenset[str]] = {}
    for entry in plans:
        for telescope, names in entry.observed.items():
            tiles[telescope] = tiles.get(telescope, frozenset()) | frozenset(names)
    return tiles
