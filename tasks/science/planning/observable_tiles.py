"""Tiles of a sky map that each telescope can observe in a window, and reasons against the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import numpy.typing as npt
from scipy import sparse

from tasks.options import PlanOptions
from tasks.records import FieldOfView, Limits, SkyMap, Telescope
from tasks.science.astrometry import directions
from tasks.science.planning import already_observed, tiling, visibility
from tasks.science.planning.visibility import Refusal
from tasks.science.skymaps import footprints, regions

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

# for small fields, which have hundreds of thousands of tiles
COARSE_STEP_S = 1800.0
# tiles whose visibility is computed at once: a hundred million flags would not fit into memory
CHUNK = 20_000


@dataclass(frozen=True, kw_only=True)
class Window:
    """Start and end of the planning window, UTC."""

    start: datetime
    end: datetime


@dataclass(frozen=True, kw_only=True, eq=False)
class Prospect:
    """Tiles that one telescope can observe at some time of the window.

    ``sharing`` (tiles, targets) is 1 where a target lies in a tile; the targets, with their ``Targets.weight``, are
    common to all telescopes. ``last_start_s`` (tiles,) is roughly the last time at which a tile can start. ``left_out``
    counts the rejected tiles by reason; ``reason`` is a sentence if no tile remains.
    """

    telescope: Telescope
    tiles: tiling.Tiles
    points: Floats
    nights: tuple[tuple[float, float], ...]
    sharing: sparse.csr_matrix
    left_out: dict[str, int]
    last_start_s: Floats
    reason: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class Targets:
    """Targets of all telescopes: directions (n, 3) with weights (n,)."""

    points: Floats
    weight: Floats


@dataclass(frozen=True, kw_only=True, eq=False)
class ObservableSky:
    """Observable tiles of all telescopes, and their targets.

    ``cells`` are the map's own pixels of the region; ``targets`` the same, finer near the tiles.
    """

    prospects: tuple[Prospect, ...]
    targets: Targets
    cells: regions.Cells
    along: footprints.Curve


def survey(
    sky_map: SkyMap,
    telescopes: Sequence[Telescope],
    window: Window,
    options: PlanOptions,
    done: already_observed.ObservedCoverage = already_observed.NONE_OBSERVED,
) -> ObservableSky:
    """Find, for each telescope, the tiles of its grid that meet the region and can be observed in the window.

    ``done`` fields have no probability left, and a telescope's own tiles among them are left out.
    """
    along = already_observed.without(footprints.curve(sky_map), done.spent)
    cells = fine = regions.region(sky_map, options.region)
    seen = [_to_do(_visible(telescope, _meeting(telescope, cells), window), done) for telescope in telescopes]
    prospects = [_strongest(prospect, along) for prospect in seen]
    for prospect in prospects:
        fine = tiling.fitted(fine, prospect.tiles, _view(prospect))
    left = already_observed.revalued(fine, along) if len(done.spent) else fine
    targets = Targets(points=fine.points(), weight=left.probability)
    called = f"{100 * options.region:g} % region" + (" outside what is observed already" if len(done.spent) else "")
    shared = tuple(_shared(prospect, targets, called) for prospect in prospects)
    return ObservableSky(prospects=shared, targets=targets, cells=cells, along=along)


def around(
    fields: tiling.Tiles,
    targets: Targets,
    telescopes: Sequence[Telescope],
    window: Window,
    *,
    called: str,
    done: already_observed.ObservedCoverage = already_observed.NONE_OBSERVED,
) -> tuple[Prospect, ...]:
    """Find, for each telescope, which of given fields it can observe; reasons name the targets as ``called``."""
    seen = [_to_do(_visible(telescope, fields, window), done) for telescope in telescopes]
    return tuple(_shared(prospect, targets, called) for prospect in seen)


def _to_do(prospect: Prospect, done: already_observed.ObservedCoverage) -> Prospect:
    """Leave out the tiles already observed by the telescope."""
    rows = ~already_observed.is_done(prospect.tiles, prospect.telescope, done)
    return _keep(prospect, rows, "already observed by this telescope")


def _view(prospect: Prospect) -> FieldOfView:
    return prospect.telescope.field_of_view


def _meeting(telescope: Telescope, cells: regions.Cells) -> tiling.Tiles:
    return tiling.near(tiling.rings(telescope), cells, telescope.field_of_view)


def _strongest(prospect: Prospect, along: footprints.Curve) -> Prospect:
    """Keep only the tiles with most probability, to bound the time of comparisons."""
    rows = tiling.strongest(prospect.tiles, along, _view(prospect))
    return _keep(prospect, rows, f"probability: not among the {tiling.MOST_COMPARED} strongest tiles")


def _visible(telescope: Telescope, tiles: tiling.Tiles, window: Window) -> Prospect:
    """Leave out unobservable tiles, one reason after the other."""
    limits = telescope.limits
    prospect = Prospect(
        telescope=telescope,
        tiles=tiles,
        points=directions.unit_vectors(tiles.ra_deg, tiles.dec_deg),
        nights=visibility.nights(telescope.site, window.start, window.end, limits.sun_altitude_deg),
        sharing=sparse.csr_matrix((len(tiles), 0)),
        left_out={},
        last_start_s=np.full(len(tiles), np.inf),
        reason="" if len(tiles) else "region: no tile of the grid meets it",
    )
    lowest, highest = limits.declination_deg
    words = f"declination: outside {lowest:g} to {highest:g} deg, the telescope's limits"
    prospect = _keep(prospect, visibility.within_declination(prospect.points, limits), words)
    if prospect.reason:
        return prospect
    step_s = visibility.STEP_S if len(prospect.tiles) <= CHUNK else COARSE_STEP_S
    times = visibility.steps(prospect.nights, step_s, telescope.block_s)
    if len(times) == 0:
        return _keep(prospect, np.zeros(len(prospect.tiles), dtype=bool), _no_opening(prospect, window))
    return _watched(prospect, times, step_s)


def _no_opening(prospect: Prospect, window: Window) -> str:
    span = f"{window.start:%Y-%m-%dT%H:%M} to {window.end:%Y-%m-%dT%H:%M} UTC"
    if prospect.nights:
        return f"window: {span} has no darkness as long as one tile, {prospect.telescope.block_s:g} s"
    return f"Sun: not below {prospect.telescope.limits.sun_altitude_deg:g} deg from {span}"


def _watched(prospect: Prospect, times: Floats, step_s: float) -> Prospect:
    """Leave out tiles that are too low, too close to the Moon or observable for too short a time."""
    telescope, limits = prospect.telescope, prospect.telescope.limits
    skies = visibility.over(telescope.site, times), visibility.over(telescope.site, times + telescope.block_s)
    chunks = [slice(first, first + CHUNK) for first in range(0, len(prospect.tiles), CHUNK)]
    seen = [_sight(prospect.points[rows], skies, limits) for rows in chunks]
    high, steps, last = (np.concatenate(part) for part in zip(*seen, strict=True))
    prospect = replace(prospect, last_start_s=last + step_s)
    free = steps > 0
    low = f"altitude: below {limits.minimum_altitude_deg:g} deg while it is dark"
    moon = f"Moon: closer than {limits.moon_distance_deg:g} deg while high enough"
    short = f"window: observable for less than {limits.minimum_observable_h:g} h"
    prospect = _keep(prospect, high, low + ("" if high.any() else _best_height(prospect, skies[0])))
    prospect = _keep(prospect, free[high], moon)
    return _keep(prospect, steps[free] * step_s / 3600 >= limits.minimum_observable_h, short)


def _sight(
    points: Floats, skies: tuple[visibility.SiteSky, visibility.SiteSky], limits: Limits
) -> tuple[Flags, Floats, Floats]:
    """Return for some tiles whether they are ever high enough, their number of observable steps, the last one's time.

    A tile must be observable at its first exposure, with the first sky, and at its last one, with the second.
    """
    begin, end = (visibility.refusals(sky, points, limits) for sky in skies)
    low = begin[Refusal.ALTITUDE] | end[Refusal.ALTITUDE]
    free = ~np.logical_or.reduce([*begin.values(), *end.values()])
    last = np.where(free, skies[0].unix_s, -np.inf).max(axis=1)
    return ~low.all(axis=1), free.sum(axis=1), last


def _best_height(prospect: Prospect, sky: visibility.SiteSky) -> str:
    best = float(visibility.altitudes(sky, prospect.points[:CHUNK]).max())
    return f" (the best reaches {best:.0f} deg)"


def _keep(prospect: Prospect, rows: npt.NDArray[np.bool_], words: str) -> Prospect:
    """Keep some tiles and count the others under ``words``, which become the reason if none is left."""
    lost = int(np.count_nonzero(~rows))
    if lost == 0:
        return prospect
    return replace(
        prospect,
        tiles=prospect.tiles.take(rows),
        points=prospect.points[rows],
        last_start_s=prospect.last_start_s[rows],
        left_out={**prospect.left_out, words: lost},
        reason=prospect.reason or ("" if rows.any() else words),
    )


def _shared(prospect: Prospect, targets: Targets, called: str) -> Prospect:
    """Find the targets in each tile; leave out tiles without any."""
    sharing = tiling.membership(prospect.tiles, targets.points, _view(prospect))
    rows = np.asarray(sharing @ targets.weight).ravel() > 0
    kept = _keep(prospect, rows, f"region: no observable tile meets the {called}")
    # tiles that are only near the region were never candidates, so they are not counted
    return replace(kept, sharing=sharing[rows], left_out=prospect.left_out)
