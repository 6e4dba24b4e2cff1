"""Detection by SEP in two passes, with the result of one: only groups that may be several sources are deblended.

A source whose smoothed light has one peak has one at every level, so it cannot be split. The first pass finds all
groups of pixels above the threshold. The second one deblends only the groups with several peaks, each on its own piece
of the image.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import sep
from numba import njit

Floats = np.ndarray[Any, Any]

COLUMNS = ("x", "xmin", "xmax", "xpeak", "xcpeak")
ROWS = ("y", "ymin", "ymax", "ypeak", "ycpeak")
# a smoothed pixel and its smoothed neighbours reach two pixels
BORDER_PX = 2
# a piece's own pixels and those of its levels
STACK_PER_PIXEL, LEAST_STACK = 2, 1000


@dataclass(frozen=True, kw_only=True, eq=False)
class Scene:
    """An image without its sky, its noise (a number or an image), and its mask (True = no value) or None."""

    flat: Floats
    noise: Any
    mask: Floats | None

    def cut(self, box: tuple[slice, slice]) -> Scene:
        """Return a piece of it."""
        return Scene(
            flat=np.ascontiguousarray(self.flat[box]),
            noise=self.noise if np.ndim(self.noise) == 0 else np.ascontiguousarray(self.noise[box]),
            mask=None if self.mask is None else np.ascontiguousarray(self.mask[box]),
        )


@contextmanager
def pixel_stack(pixels: int) -> Iterator[None]:
    """Set SEP's limit of pixels above the threshold, then restore it: it is global, and other code uses SEP too."""
    before = sep.get_extract_pixstack()
    sep.set_extract_pixstack(pixels)
    try:
        yield
    finally:
        sep.set_extract_pixstack(before)


def detect(scene: Scene, threshold: float, settings: Mapping[str, Any], *, levels: int, stack: int) -> Floats:
    """Return SEP's rows of the sources.

    Parameters
    ----------
    threshold
        In units of the noise.
    settings
        SEP's own; ``filter_kernel`` must be the 3 x 3 pyramid, whose peaks are counted.
    levels
        Number of deblending levels.
    stack
        Most pixels above the threshold that are held at a time.
    """
    keywords = {**settings, "err": scene.noise, "mask": scene.mask}
    with pixel_stack(stack):
        rows, groups = sep.extract(scene.flat, threshold, deblend_nthresh=1, segmentation_map=True, **keywords)
    bare = scene.flat if scene.mask is None else np.where(scene.mask, np.float32(0), scene.flat)
    several = peaks(bare, groups, len(rows))[1:] != 1
    tables = [rows[~several]]
    for number in np.flatnonzero(several):
        box = _box(rows[number])
        parts = _apart(scene.cut(box), threshold, settings, levels)
        top, left = box[0].start, box[1].start
        own = groups[parts["ycpeak"] + top, parts["xcpeak"] + left] == number + 1
        tables.append(_moved(parts[own], left, top))
    # to concatenate such arrays, NumPy would compare their thirty column names each time
    return np.frombuffer(b"".join(table.tobytes() for table in tables), rows.dtype).copy()


def _apart(scene: Scene, threshold: float, settings: Mapping[str, Any], levels: int) -> Floats:
    keywords = {**settings, "err": scene.noise, "mask": scene.mask}
    with pixel_stack(STACK_PER_PIXEL * scene.flat.size + LEAST_STACK):
        parts: Floats = sep.extract(scene.flat, threshold, deblend_nthresh=levels, **keywords)
    return parts


def _box(row: Any) -> tuple[slice, slice]:
    """Return the piece of the image that contains a group, with the neighbours that the filter needs."""
    return (
        slice(max(int(row["ymin"]) - 1, 0), int(row["ymax"]) + 2),
        slice(max(int(row["xmin"]) - 1, 0), int(row["xmax"]) + 2),
    )


def _moved(rows: Floats, columns_px: int, rows_px: int) -> Floats:
    for names, step in ((COLUMNS, columns_px), (ROWS, rows_px)):
        for name in names:
            rows[name] += step
    return rows


@njit(nogil=True, cache=True)
def peaks(image: Floats, groups: Floats, number: int) -> Floats:
    """Return how many peaks of the smoothed image each of ``number`` groups has; 2 for those at the image's border.

    ``groups`` holds the number of each pixel's group, from 1 on, and 0 elsewhere; the count of group 0 is unused.
    """
    ny, nx = image.shape
    count = np.zeros(number + 1, np.int64)
    for y in range(ny):
        for x in range(nx):
            group = groups[y, x]
            if group == 0:
                continue
            if y < BORDER_PX or x < BORDER_PX or y >= ny - BORDER_PX or x >= nx - BORDER_PX:
                count[group] += 2
            elif _is_peak(image, y, x):
                count[group] += 1
    return count


@njit(nogil=True, cache=True)
def _is_peak(image: Floats, y: int, x: int) -> bool:
    """Return whether no neighbour is brighter in the smoothed image: two equal ones are both peaks."""
    centre = _smoothed(image, y, x)
    for j in range(y - 1, y + 2):
        for i in range(x - 1, x + 2):
            if _smoothed(image, j, i) > centre:
                return False
    return True


@njit(nogil=True, cache=True, inline="always")
def _smoothed(image: Floats, y: int, x: int) -> Any:
    """Return 16 times the image smoothed by the 3 x 3 pyramid."""
    corners = image[y - 1, x - 1] + image[y - 1, x + 1] + image[y + 1, x - 1] + image[y + 1, x + 1]
    sides = image[y - 1, x] + image[y + 1, x] + image[y, x - 1] + image[y, x + 1]
    return corners + 2 * sides + 4 * image[y, x]
