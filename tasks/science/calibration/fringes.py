"""Fringes of thin detectors in the reddest filters: scale and subtraction of a fringe frame.

Bright and dark boxes of the fringe frame are compared in pairs (Snodgrass & Carry 2013, The Messenger 152, 14). Levels
are relative to each box's surroundings, so that large-scale structure of sky and fringe frame cancels. At the right
scale as many pairs have the bright box above the dark one as below it. The work is done on the host, after that on the
device: it uses only some thousand boxes of a light.

Two effects would bias a median of simple ratios. First, the median of a box follows the mean of its fringes if there is
noise, as in a light, and their median if there is none, as in a fringe frame. So the medians are of the light minus the
scaled fringes, and the scale is iterated until no fringes are left. Second, noise of the fringe frame makes some boxes
bright that are not bright in the light. So pairs are chosen on one half of the rows and measured on the other, and the
reverse.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tasks.errors import UnusableData
from tasks.science.arrays import Array
from tasks.science.calibration.correction import LightPlanes, local_level

# side of the boxes, from the specification
BOX_PX = 10
# boxes along a cell, within which bright and dark boxes are paired: its 160 px exceed the width of fringes
CELL = 16
# fraction of the boxes of a cell that count as bright, and as dark
EXTREME = 0.1
# boxes this near to the frame's edge are not used: their surroundings are narrower than fringes
EDGE = CELL // 4
# range of pairs used, as fractions of all in order of falling contrast: pairs before it contain stars left in the
# fringe frame, pairs after it lie in cells without fringes
RANKS = (0.1, 0.7)
# for each half of the rows; enough for a scale accurate to better than a percent
MOST_PAIRS, FEWEST_PAIRS = 1000, 20
# pixels used along a side of the surroundings of a box: their median has a third of a box's error
AROUND = 25
# a median needs this fraction of good pixels
GOOD_PART = 0.6
# fraction of the contrast that the other half of the rows must reproduce; for pure noise it is 0
SEEN_PART = 0.5
# each round leaves some percent of the fringes, a fifth at worst: the rest is then below a tenth of the scale's error
ROUNDS = 8


@dataclass(frozen=True, kw_only=True, eq=False)
class FringePairs:
    """Pixels used, ``(2, n, rows, 1)`` and ``(2, n, 1, columns)``, and the fringe pattern there.

    The first axis holds the bright and the dark box of each of ``n`` pairs. ``pattern`` is ``(2, n, pixels)``, NaN for
    missing values.
    """

    rows: Array
    columns: Array
    pattern: Array

    @classmethod
    def of(cls, fringe: Array, rows: Array, columns: Array) -> FringePairs:
        """Return the pairs at these rows and columns, each ``(2, n, number)``."""
        rows, columns = rows[..., :, None], columns[..., None, :]
        return cls(rows=rows, columns=columns, pattern=_in_places(fringe, rows, columns))

    def values(self, image: Array, mask: Array) -> Array:
        """Return an image's values at these pixels, ``(2, n, pixels)``; NaN if masked."""
        good = _in_places(mask, self.rows, self.columns) == 0
        return np.where(good, _in_places(image, self.rows, self.columns), np.float32(np.nan))


@dataclass(frozen=True, kw_only=True, eq=False)
class Fringes:
    """A prepared fringe frame: the pattern ``(ny, nx)``, float32, 0 for missing values, and the boxes to measure.

    ``boxes`` are those of the pairs, ``around`` their surroundings; ``contrast`` is that of each pair, above 0.
    """

    pattern: Array
    boxes: FringePairs
    around: FringePairs
    contrast: Array


def prepare(fringe: Array, *, shape: tuple[int, int]) -> Fringes:
    """Choose the boxes of a fringe frame, on the host, to measure its scale in lights of ``shape``.

    Raises
    ------
    UnusableData
        If the frame has another shape, or shows no fringes.
    """
    if fringe.shape != shape:
        raise UnusableData(f"the fringe frame has the shape {fringe.shape}, the light {shape}")
    pattern = np.where(np.isfinite(fringe), fringe, np.nan).astype(np.float32)
    chosen = [_pairs(_boxes(pattern, half)) for half in (0, 1)]
    contrast = np.concatenate([contrasts for _, contrasts in chosen])
    if contrast.size < FEWEST_PAIRS:
        raise UnusableData(f"the fringe frame has only {contrast.size} pairs of boxes (needed: {FEWEST_PAIRS})")
    corners = BOX_PX * np.concatenate([places for places, _ in chosen], axis=1)
    # boxes chosen on one half of the rows are measured on the other
    others = np.repeat([1, 0], [contrasts.size for _, contrasts in chosen])
    rows = (corners[..., 0] + others)[..., None] + np.arange(0, BOX_PX, 2)
    boxes = FringePairs.of(pattern, rows, corners[..., 1, None] + np.arange(BOX_PX))
    around = FringePairs.of(pattern, *(_around(corners[..., axis] + BOX_PX // 2, shape[axis]) for axis in (0, 1)))
    fringes = Fringes(pattern=np.nan_to_num(pattern), boxes=boxes, around=around, contrast=contrast)
    _check(fringes)
    return fringes


def removed(planes: LightPlanes, fringes: Fringes) -> tuple[LightPlanes, float]:
    """Return a light, on the host, without its fringes, and the scale of the fringe frame in it.

    Pixels without a value of the fringe frame are unchanged, and so are variance and mask.

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
    """Return the scale of the fringe frame in an image, masked pixels excluded; it may be negative."""
    boxes, around = (pairs.values(image, mask) for pairs in (fringes.boxes, fringes.around))
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
    """Raise ``UnusableData`` if boxes are bright and dark in only one half of the rows: that is noise."""
    bright, dark = _excess(fringes.boxes.pattern, fringes.around.pattern)
    seen = (bright - dark)[np.isfinite(bright - dark)]
    if not seen.size or np.median(seen) < SEEN_PART * np.median(fringes.contrast):
        raise UnusableData("the fringe frame shows no fringes beyond its noise")


def _boxes(fringe: Array, half: int) -> Array:
    """Return the medians of all boxes ``(my, mx)``, over even rows (``half`` 0) or odd rows (1)."""
    my, mx = (size // BOX_PX for size in fringe.shape)
    rows = fringe[: my * BOX_PX, : mx * BOX_PX].reshape(my, BOX_PX, mx, BOX_PX)[:, half::2]
    return _median(rows.swapaxes(1, 2).reshape(my, mx, -1))


def _pairs(boxes: Array) -> tuple[Array, Array]:
    """Return the bright and dark boxes of pairs within a cell, ``(2, n, 2)`` rows and columns, and their contrast."""
    finite = np.isfinite(boxes)
    if not finite.any():
        raise UnusableData("the fringe frame is empty")
    inside = np.zeros(boxes.shape, bool)
    inside[EDGE:-EDGE, EDGE:-EDGE] = True
    level = local_level(np.where(finite, boxes, np.median(boxes[finite])), box_px=CELL)
    cells, places = _cells(np.where(inside, boxes - level, np.nan)), _cells(np.arange(boxes.size).reshape(boxes.shape))
    number = round(EXTREME * CELL**2)
    orders = [np.argsort(values, axis=1)[:, :number] for values in (-cells, cells)]
    high, low = (np.take_along_axis(cells, order, axis=1) for order in orders)
    contrast = (high - low).ravel()
    best = _ranked(contrast)
    chosen = np.stack([np.take_along_axis(places, order, axis=1).ravel()[best].astype(int) for order in orders])
    return np.stack(np.divmod(chosen, boxes.shape[1]), axis=-1), contrast[best]


def _ranked(contrast: Array) -> Array:
    """Return the pairs to use among those with positive contrast; NaN marks a missing pair."""
    order = np.argsort(-contrast)[: int((contrast > 0).sum())]
    first, last = (round(part * order.size) for part in RANKS)
    return order[first:last][:: max(1, -(-(last - first) // MOST_PAIRS))]


def _cells(boxes: Array) -> Array:
    """Return the boxes by cell, ``(cells, CELL²)``; NaN beyond the frame."""
    ny, nx = (-(-size // CELL) for size in boxes.shape)
    whole = np.full((ny * CELL, nx * CELL), np.nan)
    whole[: boxes.shape[0], : boxes.shape[1]] = boxes
    return whole.reshape(ny, CELL, nx, CELL).swapaxes(1, 2).reshape(ny * nx, -1)


def _around(centres: Array, size: int) -> Array:
    """Return positions along one axis, symmetric about centres so that slopes cancel."""
    reach = np.minimum(CELL * BOX_PX // 2, np.minimum(centres, size - 1 - centres))
    return np.rint(centres[..., None] + reach[..., None] * np.linspace(-1, 1, AROUND)).astype(int)


def _excess(boxes: Array, around: Array) -> Array:
    """Return the level of boxes above their surroundings.

    A pixel of the surroundings counts only if the opposite one is good too, so that slopes cancel beside masks.
    """
    return _median(boxes) - _median(np.where(np.isfinite(around[..., ::-1]), around, np.float32(np.nan)))


def _in_places(image: Array, rows: Array, columns: Array) -> Array:
    values = image[rows, columns]
    return values.reshape(*values.shape[:-2], -1)


def _median(values: Array) -> Array:
    """Return medians along the last axis, NaN excluded; NaN if too few values are left."""
    ordered = np.sort(values, axis=-1)
    number = np.isfinite(ordered).sum(axis=-1, keepdims=True)
    low, high = (np.take_along_axis(ordered, np.maximum(rank, 0), axis=-1) for rank in ((number - 1) // 2, number // 2))
    medians = np.where(number >= GOOD_PART * values.shape[-1], (low + high) / 2, np.float32(np.nan))
    return medians[..., 0]
