"""Ranking of a night's candidates, joined into sources, by an event's sky map."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.cluster.hierarchy import DisjointSet
from scipy.spatial import cKDTree

from tasks.records import Candidate, SkyMap, Source
from tasks.science.astrometry import directions
from tasks.science.skymaps import credible_regions, healpix

# three pixels of 7DT
SAME_PLACE_ARCSEC = 1.5


def sources(candidates: Sequence[Candidate], sky_map: SkyMap) -> tuple[Source, ...]:
    """Join unflagged candidates within 1.5 arcsec of each other into sources, and sort them.

    The order is: more detections, then smaller credible level, then larger S/N.
    """
    unflagged = [candidate for candidate in candidates if not candidate.flags]
    joined = [_source(group, sky_map) for group in _groups(unflagged)]
    return tuple(sorted(joined, key=lambda source: (-source.detections, source.credible_level, -source.best_snr)))


def _groups(candidates: Sequence[Candidate]) -> list[list[Candidate]]:
    """Group candidates by position: friends of friends on the unit sphere."""
    if not candidates:
        return []
    points = directions.unit_vectors(
        [candidate.ra_deg for candidate in candidates], [candidate.dec_deg for candidate in candidates]
    )
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
        probability_per_deg2=sky_map.density[row].item() / healpix.SR_TO_DEG2,
        candidates=tuple(each.id for each in group),
    )
