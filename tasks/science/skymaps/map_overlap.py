"""Overlap of the credible regions of an older and a newer sky map: whether earlier pointings are still useful."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tasks.records import SkyMap
from tasks.records.skymaps import Overlap
from tasks.science.skymaps import footprints, healpix, regions

# of the usual 90 % region
LEVEL = 0.9


def between(before: SkyMap, after: SkyMap, *, level: float = LEVEL) -> Overlap:
    """Compare the credible regions of two maps of one event.

    Parameters
    ----------
    before, after
        The older map and the newer one.
    level
        Level of the credible regions, 0 to 1.
    """
    old, new = _region(before, level), _region(after, level)
    old_deg2, new_deg2 = healpix.area_deg2(old), healpix.area_deg2(new)
    both = old_deg2 + new_deg2 - healpix.area_deg2(healpix.union(np.concatenate([old, new])))
    return Overlap(
        outside=float(np.clip(1 - both / old_deg2, 0.0, 1.0)),
        held=footprints.probability(old, footprints.curve(after)),
    )


def _region(sky_map: SkyMap, level: float) -> npt.NDArray[np.int64]:
    cells = regions.region(sky_map, level)
    return healpix.union(healpix.ranges_of(cells.pixel, cells.order))
