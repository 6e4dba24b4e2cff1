"""Candidates of a night, joined into sources and ranked against an event's sky map."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.cluster.hierarchy import DisjointSet
from scipy.spatial import cKDTree

from tasks.records import Candidate, SkyMap, Source
from tasks.science.astrometry import directions
from tasks.science.skymaps import credible_regions

SAME_PLACE_ARCSEC = 1.5
DEG2_PER_SR = (180 / np.pi) ** 2


def sources(candidates: Sequence[Candidate], sky_map: SkyMap) -> tuple[Source, ...]:
    """Join unflagged candidates that lie within 1.5 arcsec of each other and order them.

    A source that more stacks show comes first; among equals the one on the denser part of the map, then the stronger.
    """
    kept = [each for each in candidates if not each.flags]
    joined = [_source(group, sky_map) for group in _groups(kept)]
    return tuple(sorted(joined, key=lambda each: (-each.detections, each.credible_level, -each.best_snr)))


def _groups(candidates: Sequence[Candidate]) -> list[list[Candidate]]:
    """Group candidates by place: friends of friends on the unit sphere."""
    if not candidates:
        return []
    points = directions.unit_vectors([each.ra_deg for each in candidates], [each.dec_deg for each in candidates])
    chord = 2 * np.sin(np.radians(SAME_PLACE_ARCSEC / 3600) / 2)
    together = DisjointSet(range(len(candidates)))
    for one, other in cKDTree(points).query_pairs(chord):
        together.merge(one, other)
    return [[candidates[index] for index in sorted(group)] for group in together.subsets()]


def _source(group: Sequence[Candidate], sky_map: SkyMap) -> Source:
    best = max(group, key=lambda each: abs(each.snr))
    row = credible_regions.rows_at(sky_map, best.ra_deg, best.dec_deg).item()
    weakest_first = sorted(group, key=lambda each: abs(each.snr))
    return Source(
        ra_deg=best.ra_deg,
        dec_deg=best.dec_deg,
        detections=len({(each.unit, each.filter, each.date_obs) for each in group}),
        filters=tuple(sorted({each.filter for each in group})),
        best_snr=best.snr,
        mags={each.filter: each.mag for each in weakest_first if each.mag is not None},
        credible_level=credible_regions.credible_level(sky_map, best.ra_deg, best.dec_deg).item(),
        probability_per_deg2=sky_map.density[row].item() / DEG2_PER_SR,
        candidates=tuple(each.id for each in group),
    )
