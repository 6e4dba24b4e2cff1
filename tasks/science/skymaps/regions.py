"""Credible regions of a sky map as HEALPix cells."""

from __future__ import annotations

from dataclasses import dataclass

import healpy
import numpy as np
import numpy.typing as npt

from tasks.records import SkyMap
from tasks.science.skymaps import footprints, healpix

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Cells:
    """Disjoint HEALPix pixels (NESTED) of mixed orders with the probability inside each, each of shape (n,)."""

    order: Integers
    pixel: Integers
    probability: Floats

    def points(self) -> Floats:
        """Return the unit vectors (n, 3) of the centres."""
        result = np.empty((len(self.order), 3))
        for order in np.unique(self.order):
            rows = self.order == order
            result[rows] = np.stack(healpy.pix2vec(2**order, self.pixel[rows], nest=True), axis=1)
        return result

    def centres(self) -> tuple[Floats, Floats]:
        """Return the centres' right ascension and declination in degrees."""
        x, y, z = self.points().T
        return np.degrees(np.arctan2(y, x)) % 360, np.degrees(np.arcsin(z))


def region(sky_map: SkyMap, level: float) -> Cells:
    """Return the smallest region that contains ``level`` of the probability, including the crossing pixel."""
    density = np.asarray(sky_map.density, dtype=float)
    probability = density * healpix.PIXEL_SR[sky_map.order]
    falling = np.argsort(-density, kind="stable")
    below = np.cumsum(probability[falling]) < level * probability.sum()
    chosen = falling[: int(np.count_nonzero(below)) + 1]
    chosen = chosen[probability[chosen] > 0]
    order = sky_map.order[chosen].astype(np.int64)
    pixel = healpix.pixel_of(sky_map.uniq[chosen], order)
    return Cells(order=order, pixel=pixel, probability=probability[chosen])


def refine(cells: Cells, order: int, where: npt.NDArray[np.bool_]) -> Cells:
    """Split the chosen cells that are larger than those of ``order`` into equal children of that order."""
    split = where & (cells.order < order)
    depth = order - cells.order[split]
    children = 4**depth
    parent = np.repeat(np.flatnonzero(split), children)
    within = np.arange(len(parent)) - np.repeat(np.cumsum(children) - children, children)
    whole = ~split
    return Cells(
        order=np.concatenate([cells.order[whole], np.full(len(parent), order)]),
        pixel=np.concatenate(
            [cells.pixel[whole], (cells.pixel[parent] << (2 * (order - cells.order[parent]))) + within]
        ),
        probability=np.concatenate(
            [cells.probability[whole], cells.probability[parent] / 4.0 ** (order - cells.order[parent])]
        ),
    )


def evened(cells: Cells, size_deg: float, most: int) -> Cells:
    """Split cells larger than ``size_deg``, the largest first, as long as there are no more than ``most``."""
    for order in range(int(cells.order.min()) + 1, footprints.order_for(size_deg) + 1):
        finer = refine(cells, order, np.ones(len(cells.order), dtype=bool))
        if len(finer.order) > most:
            break
        cells = finer
    return cells
