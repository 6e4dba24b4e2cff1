"""Check of a frame's filter: the true one gives the zero point the least scatter.

A filter wheel that stands still, or turns too far, makes the header's FILTER wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from tasks.science.arrays import nmad
from tasks.science.astrometry.matching import Floats

# the scatter of fewer is known to no better than a quarter
FEWEST_STARS = 20
# of the paired comparison: against 50 filters, one false alarm in 30,000 frames of normal errors
SIGNIFICANCE = 5.0
# in sigma: larger ones, of variable stars and wrong pairs, count as this
LARGEST_DEVIATION = 5.0


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The filter found from the stars (empty: unknown), and the zero point's scatter in each filter in mag."""

    filter: str = ""
    scatter_mag: Mapping[str, float] = field(default_factory=dict)


def seen_filter(
    instrumental_mag: Floats, reference_mag: Mapping[str, Floats], *, header: str, margin_mag: float
) -> Verdict:
    """Find the filter that a frame was taken through.

    The header's is accepted unless another one fits better by more than ``margin_mag`` (in quadrature: passbands
    are not known better than that) and by 5 sigma of the same stars' deviations compared one by one.

    Parameters
    ----------
    instrumental_mag
        One value per star, NaN where it has none.
    reference_mag
        Magnitudes of these stars in each filter; NaN where unknown.
    header
        Filter of the header, one of the reference's.
    """
    own = reference_mag[header] - instrumental_mag
    if np.isfinite(own).sum() < FEWEST_STARS:
        return Verdict()
    scatter = {header: _scatter(own)}
    better = {}
    for name, magnitude in reference_mag.items():
        other = magnitude - instrumental_mag
        both = np.isfinite(own) & np.isfinite(other)
        if name == header or both.sum() < FEWEST_STARS:
            continue
        scatter[name] = _scatter(other[both])
        gain = _scatter(own[both]) ** 2 - scatter[name] ** 2
        if gain > margin_mag**2 and _significance(own[both], other[both]) > SIGNIFICANCE:
            better[name] = scatter[name]
    return Verdict(filter=min(better, key=lambda name: better[name], default=header), scatter_mag=scatter)


def words(verdict: Verdict, header: str) -> str:
    """Return the doubt in words; empty if the header is right or the filter unknown."""
    if verdict.filter in {"", header}:
        return ""
    mine, other = (verdict.scatter_mag[name] for name in (header, verdict.filter))
    return f"filter {header} looks like {verdict.filter} (ZP scatter {mine:.3f} against {other:.3f} mag)"


def _scatter(difference_mag: Floats) -> float:
    return float(nmad(difference_mag[np.isfinite(difference_mag)]))


def _significance(own: Floats, other: Floats) -> float:
    """Return how many sigma closer the stars lie to the other filter's zero point than to their own."""
    limit = LARGEST_DEVIATION * max(_scatter(own), 1e-9)
    mine, its = (np.minimum(np.abs(deviation - np.median(deviation)), limit) for deviation in (own, other))
    nearer = mine - its
    return float(nearer.mean() / max(float(nearer.std()) / np.sqrt(len(nearer)), 1e-12))
