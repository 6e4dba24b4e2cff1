"""Properties of a sky map: areas, distances, credible levels, and changes against another map.

Areas are those of the smallest region with a given probability: pixels are taken from the densest on. Each docstring
has its definition (seed: that of the policy ``grandma``, kept to reproduce its scores; ours: all others).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tasks.records import MapRole, SkyMap, SkyMapSummary
from tasks.science.skymaps import distances, healpix

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

# grandma-gcn takes the distance from the rows of its 90 % region
SEED_LEVEL = 0.9
SEED_NO_SIGMA = 1.0
"""DISTSIGMA of a row without distance; the seed leaves out every row that has it."""

# what grandma-gcn gives for a map without distance
SEED_NO_DISTANCE = (float("inf"), 1.0)


@dataclass(frozen=True, kw_only=True, eq=False)
class Ranked:
    """A sky map's pixels from the densest on. Each array has shape (n,), in that order."""

    skymap: SkyMap
    index: Integers
    area_deg2: Floats
    probability: Floats
    cumulative_area_deg2: Floats
    cumulative_probability: Floats

    @cached_property
    def level(self) -> Floats:
        """Credible level of each of the map's own rows: the probability in all pixels as dense or denser."""
        level = np.empty_like(self.cumulative_probability)
        level[self.index] = self.cumulative_probability
        return level


def rank(skymap: SkyMap) -> Ranked:
    """Sort a sky map's pixels by density and sum their probabilities and areas."""
    index = np.argsort(-skymap.density)
    pixel_sr = healpix.PIXEL_SR[skymap.order[index]]
    area_deg2 = pixel_sr * healpix.SR_TO_DEG2
    probability = skymap.density[index] * pixel_sr
    return Ranked(
        skymap=skymap,
        index=index,
        area_deg2=area_deg2,
        probability=probability,
        cumulative_area_deg2=np.cumsum(area_deg2),
        cumulative_probability=np.cumsum(probability),
    )


def area_deg2(ranked: Ranked, level: float) -> float:
    """Return the area of the ``level`` (0 to 1) region in deg², interpolated within the pixel that crosses it.

    The definition of ligo.skymap's greedy credible levels: linear between the cumulative sums, from (0, 0) on.
    """
    probability = np.concatenate([[0.0], ranked.cumulative_probability])
    area = np.concatenate([[0.0], ranked.cumulative_area_deg2])
    return float(np.interp(level, probability, area))


def seed_rows(ranked: Ranked, level: float) -> int:
    """Return how many of the densest rows the seed counts in a region: without the one that crosses the level."""
    return int(np.searchsorted(ranked.cumulative_probability, level))


def seed_area_deg2(ranked: Ranked, level: float) -> float:
    """Return the seed's area of the ``level`` region in deg²."""
    return float(ranked.area_deg2[: seed_rows(ranked, level)].sum())


def seed_distance_mpc(ranked: Ranked) -> tuple[float, float]:
    """Return the seed's distance and its error in Mpc: plain means over the rows of its 90 % region.

    The mean of finite DISTMU, and of DISTSIGMA other than 1, every row with equal weight for any pixel size; inf
    and 1 for a map without distance, nan if no row counts.
    """
    skymap = ranked.skymap
    if skymap.distmu is None or skymap.distsigma is None:
        return SEED_NO_DISTANCE
    rows = ranked.index[: seed_rows(ranked, SEED_LEVEL)]
    mu, sigma = skymap.distmu[rows], skymap.distsigma[rows]
    return _mean(mu[np.isfinite(mu)]), _mean(sigma[sigma != SEED_NO_SIGMA])


def _mean(values: Floats) -> float:
    return float(values.mean()) if values.size else float("nan")


def distance_of(skymap: SkyMap) -> distances.Distance | None:
    """Return the distance: mean and std of the header if it has both, else of the marginal; None without any."""
    header = skymap.distance_mpc, skymap.distance_std_mpc
    stated = None if header[0] is None or header[1] is None else (header[0], header[1])
    return distances.marginal(skymap, stated=stated)


def summary(skymap: SkyMap, role: MapRole, *, path: Path | None = None) -> SkyMapSummary:
    """Reduce a sky map to the numbers used in decisions and messages."""
    ranked = rank(skymap)
    distance = distance_of(skymap)
    peak_ra_deg, peak_dec_deg = peak(ranked)
    seed_mpc, seed_std_mpc = seed_distance_mpc(ranked)
    return SkyMapSummary(
        role=role,
        area50_deg2=area_deg2(ranked, 0.5),
        area90_deg2=area_deg2(ranked, 0.9),
        distance_mpc=distance.mean_mpc if distance else None,
        distance_std_mpc=distance.std_mpc if distance else None,
        distance_median_mpc=distance.median_mpc if distance else None,
        distance_p05_mpc=distance.p05_mpc if distance else None,
        distance_p95_mpc=distance.p95_mpc if distance else None,
        peak_ra_deg=peak_ra_deg,
        peak_dec_deg=peak_dec_deg,
        rows=len(skymap.uniq),
        seed_area50_deg2=seed_area_deg2(ranked, 0.5),
        seed_area90_deg2=seed_area_deg2(ranked, 0.9),
        seed_distance_mpc=seed_mpc,
        seed_distance_std_mpc=seed_std_mpc,
        creator=skymap.creator,
        path=path,
    )


def peak(ranked: Ranked) -> tuple[float, float]:
    """Return the centre of the densest pixel: ra, dec in degrees."""
    row = ranked.index[:1]
    order = ranked.skymap.order[row]
    ra_deg, dec_deg = healpix.centre_of(healpix.pixel_of(ranked.skymap.uniq[row], order), int(order[0]))
    return float(ra_deg[0]), float(dec_deg[0])


# ------------------------------------------------------------------------------------------------------ positions


@dataclass(frozen=True, kw_only=True, eq=False)
class SkyOrderedMap:
    """A sky map's pixels in the order of the sky (that of ranges). Each array has shape (n,)."""

    index: Integers
    first: Integers
    last: Integers
    density: Floats


def sort_by_place(skymap: SkyMap) -> SkyOrderedMap:
    """Sort a sky map's pixels by their range on the finest grid."""
    ranges = healpix.ranges_of(healpix.pixel_of(skymap.uniq, skymap.order), skymap.order)
    index = np.argsort(ranges[:, 0])
    return SkyOrderedMap(index=index, first=ranges[index, 0], last=ranges[index, 1], density=skymap.density[index])


def rows_at(skymap: SkyMap, ra_deg: npt.ArrayLike, dec_deg: npt.ArrayLike) -> Integers:
    """Return the row of the pixel at each position in degrees, -1 outside a partial map."""
    places = healpix.place_of(ra_deg, dec_deg)
    by_place = sort_by_place(skymap)
    nearest = np.searchsorted(by_place.first, places, side="right") - 1
    inside = (nearest >= 0) & (places < by_place.last[nearest])
    return np.where(inside, by_place.index[nearest], -1)


def credible_level(skymap: SkyMap, ra_deg: npt.ArrayLike, dec_deg: npt.ArrayLike) -> Floats:
    """Return the credible level (0 to 1) at each position: the probability in all pixels as dense or denser.

    ligo.skymap's ``searched_prob``, so a position at the peak has the level of one pixel; 1 outside a partial map.
    """
    rows = rows_at(skymap, ra_deg, dec_deg)
    return np.where(rows >= 0, rank(skymap).level[rows], 1.0)


@dataclass(frozen=True, kw_only=True)
class LineOfSight:
    """A sky map at one position: credible level, density in deg⁻², and distance along the line of sight in Mpc.

    ``distmu_mpc`` and ``distsigma_mpc`` are the map's own columns (DISTMU is a location parameter, no mean);
    ``distance_mpc`` and ``distance_std_mpc`` are mean and std of the distance there.
    """

    credible_level: float
    density_deg2: float
    distmu_mpc: float | None = None
    distsigma_mpc: float | None = None
    distance_mpc: float | None = None
    distance_std_mpc: float | None = None


def line_of_sight(skymap: SkyMap, ra_deg: float, dec_deg: float) -> LineOfSight:
    """Return credible level, density and distance of a sky map at one position."""
    level = float(credible_level(skymap, ra_deg, dec_deg)[0])
    row = int(rows_at(skymap, ra_deg, dec_deg)[0])
    density = float(skymap.density[row]) / healpix.SR_TO_DEG2 if row >= 0 else 0.0
    if row < 0 or skymap.distmu is None or skymap.distsigma is None or not np.isfinite(skymap.distmu[row]):
        return LineOfSight(credible_level=level, density_deg2=density)
    mu, sigma = skymap.distmu[row : row + 1], skymap.distsigma[row : row + 1]
    mean, second = distances.moments(mu, sigma)
    return LineOfSight(
        credible_level=level,
        density_deg2=density,
        distmu_mpc=float(mu[0]),
        distsigma_mpc=float(sigma[0]),
        distance_mpc=float(mean[0]),
        distance_std_mpc=float(np.sqrt(second[0] - mean[0] ** 2)),
    )


# -------------------------------------------------------------------------------------------------------- regions


def region(skymap: SkyMap, level: float) -> Integers:
    """Return the smallest region with probability ``level`` as sorted ranges, the crossing pixel included."""
    ranked = rank(skymap)
    rows = ranked.index[: seed_rows(ranked, level) + 1]
    return healpix.union(healpix.ranges_of(healpix.pixel_of(skymap.uniq[rows], skymap.order[rows]), skymap.order[rows]))


def probability_in(skymap: SkyMap, ranges: Integers) -> float:
    """Return the map's probability in sorted, disjoint ranges; pixels cut by a range count by their share."""
    by_place = sort_by_place(skymap)
    total = by_place.density * (by_place.last - by_place.first)
    below = np.concatenate([[0.0], np.cumsum(total)])

    def up_to(places: Integers) -> Floats:
        nearest = np.searchsorted(by_place.first, places, side="right") - 1
        within = np.clip(places - by_place.first[nearest], 0, by_place.last[nearest] - by_place.first[nearest])
        return np.where(nearest >= 0, below[nearest] + by_place.density[nearest] * within, 0.0)

    return float((up_to(ranges[:, 1]) - up_to(ranges[:, 0])).sum() * healpix.FINEST_PIXEL_SR)


@dataclass(frozen=True, kw_only=True)
class RegionChange:
    """Change of the region from an old sky map to a new one; shares are 0 to 1, areas in deg².

    ``dropped`` is the share of the old region's area outside the new one, ``kept`` the new map's probability inside
    the old region, ``added_deg2`` the new region's area outside the old one.
    """

    dropped: float
    kept: float
    added_deg2: float


def compare(old: SkyMap, new: SkyMap, *, level: float = 0.9) -> RegionChange:
    """Compare the ``level`` regions of two sky maps of one event, exactly, on the pixels of both."""
    old_region, new_region = region(old, level), region(new, level)
    old_deg2, new_deg2 = healpix.area_deg2(old_region), healpix.area_deg2(new_region)
    both_deg2 = old_deg2 + new_deg2 - healpix.area_deg2(healpix.union(np.concatenate([old_region, new_region])))
    return RegionChange(
        dropped=1 - both_deg2 / old_deg2,
        kept=probability_in(new, old_region),
        added_deg2=new_deg2 - both_deg2,
    )
