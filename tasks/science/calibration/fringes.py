"""Fringes of thin detectors in the reddest filters: how often a fringe frame is in a light, and the light without them.

Bright and dark boxes of the fringe frame are compared in pairs (Snodgrass & Carry 2013, The Messenger 152, 14), each above
the level of its surroundings, so that neither the sky's large scales nor those of the fringe frame count. The scale is
the one that leaves as many pairs with a bright box above the dark one as below it. All happens on the host, after the
work on the device: only some thousand boxes of a light are looked at.

Two things would bias a median of simple ratios. The median of a box follows the mean of its fringes where there is
noise, as in a light, and their median where there is none, as in a fringe frame: so medians are taken of the light minus
the scaled fringes, until nothing is left. And where noise of the fringe frame made a box bright, the light is not: so
pairs are chosen by one half of the rows and measured by the other, in both ways.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tasks.errors import UnusableData
from tasks.science.arrays import Array
from tasks.science.calibration.correction import LightPlanes, local_level

# side of the boxes, of the specification
BOX_PX = 10
# boxes along a cell, whose bright boxes are paired with its dark ones: with 160 px it is wider than fringes are
CELL = 16
# of the boxes of a cell so many are bright and so many dark
EXTREME = 0.1
# boxes so near to the frame's edge have surroundings that are narrower than fringes
EDGE = CELL // 4
# pairs between these parts of all, the one with most contrast first: before them are stars left in the fringe frame,
# behind them are cells without fringes
RANKS = (0.1, 0.7)
# for each half of the rows; with so many the scale is known to better than a percent
MOST_PAIRS, FEWEST_PAIRS = 1000, 20
# pixels along a side of the surroundings of a box that are looked at: their median has a third of a box's error
AROUND = 25
# a median counts where this part of its pixels is good
GOOD_PART = 0.6
# part of the contrast that the other half of the rows must show too: of noise alone it shows nothing
SEEN_PART = 0.5
# each round leaves some percent of what was left, a fifth at worst: then less than a tenth of the scale's error is
ROUNDS = 8


@dataclass(frozen=True, kw_only=True, eq=False)
class FringePairs:
    """Pixels that are looked at, ``(2, n, rows, 1)`` and ``(2, n, 1, columns)``, and the pattern in them.

    The first axis holds the bright and the dark box of each of ``n`` pairs. ``pattern`` is ``(2, n, pixels)``, NaN where
    there is none.
    """

    rows: Array
    columns: Array
    pattern: Array

    @classmethod
    def of(cls, fringe: Array, rows: Array, columns: Array) -> FringePairs:
        """Return the places of these rows and columns, each ``(2, n, number)``."""
        rows, columns = rows[..., :, None], columns[..., None, :]
        return cls(rows=rows, columns=columns, pattern=_in_places(fringe, rows, columns))

    def values(self, image: Array, mask: Array) -> Array:
        """Return an image's values there, ``(2, n, pixels)``; NaN where masked."""
        good = _in_places(mask, self.rows, self.columns) == 0
        return np.where(good, _in_places(image, self.rows, self.columns), np.float32(np.nan))


@dataclass(frozen=True, kw_only=True, eq=False)
class Fringes:
    """A fringe frame made ready: the pattern ``(ny, nx)``, float32, 0 where it has no value, and where it is measured.

    ``boxes`` are those of the pairs, ``around`` their surroundings; ``contrast`` is that of each pair, above 0.
    """

    pattern: Array
    boxes: FringePairs
    around: FringePairs
    contrast: Array


def prepare(fringe: Array, *, shape: tuple[int, int]) -> Fringes:
    """Choose the boxes of a fringe frame, on the host, that tell how strong its fringes are in lights of ``shape``.

    Raises
    ------
    UnusableData
        If the frame has another shape, or shows no fringes.
    """
    if fringe.shape != shape:
        raise UnusableData(f"the fringe frame has the shape {fringe.shape}, the light {shape}")
    known = np.where(np.isfinite(fringe), fringe, np.nan).astype(np.float32)
    chosen = [_pairs(_boxes(known, half)) for half in (0, 1)]
    contrast = np.concatenate([each for _, each in chosen])
    if contrast.size < FEWEST_PAIRS:
        raise UnusableData(f"the fringe frame has only {contrast.size} pairs of boxes (needed: {FEWEST_PAIRS})")
    corners = BOX_PX * np.concatenate([places for places, _ in chosen], axis=1)
    # where one half of the rows is bright and dark the other one is measured
    others = np.repeat([1, 0], [each.size for _, each in chosen])
    rows = (corners[..., 0] + others)[..., None] + np.arange(0, BOX_PX, 2)
    boxes = FringePairs.of(known, rows, corners[..., 1, None] + np.arange(BOX_PX))
    around = FringePairs.of(known, *(_around(corners[..., axis] + BOX_PX // 2, shape[axis]) for axis in (0, 1)))
    made = Fringes(pattern=np.nan_to_num(known), boxes=boxes, around=around, contrast=contrast)
    _check(made)
    return made


def removed(planes: LightPlanes, fringes: Fringes) -> tuple[LightPlanes, float]:
    """Return a light, on the host, without its fringes, and the scale of the fringe frame in it.

    Pixels for which the fringe frame has no value stay as they are, and so do variance and mask.

    Raises
    ------
    UnusableData
        If too few boxes of the light are good.
    """
    factor = scale(planes.image, planes.mask, fringes)
    image = np.multiply(fringes.pattern, np.float32(-factor))
    image += planes.image
    return LightPlanes(image=image, variance=planes.variance, mask=planes.mask), factor


def scale(image: Array, mask: Array, fringes: Fringes) -> float:
    """Return how often the fringe frame is in an image, whose masked pixels do not count; it may be below 0."""
    boxes, around = (each.values(image, mask) for each in (fringes.boxes, fringes.around))
    factor = np.float32(0)
    for _ in range(ROUNDS):
        bright, dark = _excess(boxes - factor * fringes.boxes.pattern, around - factor * fringes.around.pattern)
        ratios = (bright - dark) / fringes.contrast
        ratios = ratios[np.isfinite(ratios)]
        if ratios.size < FEWEST_PAIRS:
            raise UnusableData(f"only {ratios.size} pairs of boxes show the fringes (needed: {FEWEST_PAIRS})")
        factor += np.median(ratios)
    return float(factor)


def _check(fringes: Fringes) -> None:
    """Refuse a fringe frame whose boxes are bright and dark in one half of the rows alone: that is noise."""
    bright, dark = _excess(fringes.boxes.pattern, fringes.around.pattern)
    seen = (bright - dark)[np.isfinite(bright - dark)]
    if not seen.size or np.median(seen) < SEEN_PART * np.median(fringes.contrast):
        raise UnusableData("the fringe frame shows no fringes beyond its noise")


def _boxes(fringe: Array, half: int) -> Array:
    """Return the medians of all boxes ``(my, mx)``, of their even rows or, for ``half`` 1, their odd ones."""
    my, mx = (size // BOX_PX for size in fringe.shape)
    rows = fringe[: my * BOX_PX, : mx * BOX_PX].reshape(my, BOX_PX, mx, BOX_PX)[:, half::2]
    return _median(rows.swapaxes(1, 2).reshape(my, mx, -1))


def _pairs(boxes: Array) -> tuple[Array, Array]:
    """Return the bright and the dark boxes of pairs within a cell, ``(2, n, 2)`` rows and columns, and their contrast."""
    known = np.isfinite(boxes)
    if not known.any():
        raise UnusableData("the fringe frame is empty")
    inside = np.zeros(boxes.shape, bool)
    inside[EDGE:-EDGE, EDGE:-EDGE] = True
    level = local_level(np.where(known, boxes, np.median(boxes[known])), box_px=CELL)
    cells, places = _cells(np.where(inside, boxes - level, np.nan)), _cells(np.arange(boxes.size).reshape(boxes.shape))
    number = round(EXTREME * CELL**2)
    orders = [np.argsort(each, axis=1)[:, :number] for each in (-cells, cells)]
    high, low = (np.take_along_axis(cells, order, axis=1) for order in orders)
    contrast = (high - low).ravel()
    best = _ranked(contrast)
    chosen = np.stack([np.take_along_axis(places, order, axis=1).ravel()[best].astype(int) for order in orders])
    return np.stack(np.divmod(chosen, boxes.shape[1]), axis=-1), contrast[best]


def _ranked(contrast: Array) -> Array:
    """Return which pairs to use, of those with any contrast; NaN is a pair that there is not."""
    order = np.argsort(-contrast)[: int((contrast > 0).sum())]
    first, last = (round(part * order.size) for part in RANKS)
    return order[first:last][:: max(1, -(-(last - first) // MOST_PAIRS))]


def _cells(boxes: Array) -> Array:
    """Return the boxes by cell, ``(cells, CELL²)``; NaN where a cell reaches beyond the frame."""
    ny, nx = (-(-size // CELL) for size in boxes.shape)
    whole = np.full((ny * CELL, nx * CELL), np.nan)
    whole[: boxes.shape[0], : boxes.shape[1]] = boxes
    return whole.reshape(ny, CELL, nx, CELL).swapaxes(1, 2).reshape(ny * nx, -1)


def _around(centres: Array, size: int) -> Array:
    """Return positions to both sides of centres, along one axis; as far to one side as to the other, so that no slope counts."""
    reach = np.minimum(CELL * BOX_PX // 2, np.minimum(centres, size - 1 - centres))
    return np.rint(centres[..., None] + reach[..., None] * np.linspace(-1, 1, AROUND)).astype(int)


def _excess(boxes: Array, around: Array) -> Array:
    """Return how much boxes are above their surroundings; of those a pixel counts if the one opposite is good too.

    Else a slope would count where a part is masked.
    """
    return _median(boxes) - _median(np.where(np.isfinite(around[..., ::-1]), around, np.float32(np.nan)))


def _in_places(image: Array, rows: Array, columns: Array) -> Array:
    values = image[rows, columns]
    return values.reshape(*values.shape[:-2], -1)


def _median(values: Array) -> Array:
    """Return medians along the last axis; NaN does not count, and is what too few values give."""
    ordered = np.sort(values, axis=-1)
    number = np.isfinite(ordered).sum(axis=-1, keepdims=True)
    low, high = (np.take_along_axis(ordered, np.maximum(each, 0), axis=-1) for each in ((number - 1) // 2, number // 2))
    medians = np.where(number >= GOOD_PART * values.shape[-1], (low + high) / 2, np.float32(np.nan))
    return medians[..., 0]
