"""Frames on one grid to their inverse-variance weighted mean, without what only one of them saw."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import sep
from astropy.wcs import WCS

from tasks.errors import UnusableData
from tasks.science import calibration, combining, resampling
from tasks.science.arrays import Array, array_namespace
from tasks.science.resampling import GridMap

# grid rows that are resampled together: a frame turned by a degree looks at a few tens of rows more
BAND_ROWS = 256
# NumPy works outside the interpreter's lock
THREADS = 2
# fewer frames give no median to clip against
SMALLEST_CLIPPED = 3
MESH_FILTER = 3


@dataclass(frozen=True, kw_only=True)
class Exposure:
    """A frame: image without its sky, inverse variance (0 where there is no value), WCS, and the factor on its flux."""

    image: Array
    weight: Array
    wcs: WCS
    scale: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A value further from the median than ``sigma`` of its own noise and ``fraction`` of the median is left out.

    Gruen, Seitz and Bernstein 2014, PASP 126, 158.
    """

    sigma: float = 5.0
    fraction: float = 0.3


@dataclass(frozen=True, kw_only=True)
class Coadd:
    """The weighted mean, its inverse variance (0 where no frame has a value), and how many frames each pixel has."""

    image: Array
    weight: Array
    count: Array


def without_sky(image: np.ndarray[Any, Any], weight: np.ndarray[Any, Any], *, mesh_px: int) -> np.ndarray[Any, Any]:
    """Return an image without its background: modes of a mesh, filtered and joined by splines, as SWarp's."""
    native = np.ascontiguousarray(image, np.float32)
    sky = sep.Background(native, mask=weight <= 0, bw=mesh_px, bh=mesh_px, fw=MESH_FILTER, fh=MESH_FILTER)
    result: np.ndarray[Any, Any] = native - sky.back(dtype=np.float32)
    return result


def coadd(exposures: Sequence[Exposure], grid: WCS, *, shape: tuple[int, int], clip: Clip = Clip()) -> Coadd:
    """Resample exposures onto a grid of ``shape`` (ny, nx) and combine them.

    Raises
    ------
    UnusableData
        Where there are no exposures, or one of them lies elsewhere.
    """
    if not exposures:
        raise UnusableData("a stack needs at least one frame, got none")
    xp = array_namespace(exposures[0].image)
    ready = [_Upright.make(exposure, grid) for exposure in exposures]
    made = Coadd(
        image=xp.zeros(shape, xp.float32), weight=xp.zeros(shape, xp.float32), count=xp.zeros(shape, xp.uint16)
    )

    def work(start: int) -> None:
        rows = slice(start, min(start + BAND_ROWS, shape[0]))
        parts = [each.on(rows, shape[1]) for each in ready]
        image, weight, count = combine(xp.stack([p[0] for p in parts]), xp.stack([p[1] for p in parts]), clip=clip)
        made.image[rows], made.weight[rows], made.count[rows] = image, weight, count

    with ThreadPoolExecutor(THREADS if xp is np else 1) as pool:
        list(pool.map(work, range(0, shape[0], BAND_ROWS)))
    return made


def combine(values: Array, weights: Array, *, clip: Clip) -> tuple[Array, Array, Array]:
    """Return clipped weighted mean, its weight and the number of values of stacks ``(n, ny, nx)``."""
    xp = array_namespace(values)
    present = weights > 0
    if len(values) >= SMALLEST_CLIPPED:
        centre = _median(values, present)
        noise = 1 / xp.sqrt(xp.where(present, weights, xp.float32(1)))
        present &= xp.abs(values - centre) <= xp.float32(clip.sigma) * noise + xp.float32(clip.fraction) * xp.abs(
            centre
        )
        weights = weights * present
    total = weights.sum(axis=0)
    mean = (values * weights).sum(axis=0) / xp.where(total > 0, total, xp.float32(1))
    return mean, total, present.sum(axis=0).astype(xp.uint16)


@dataclass(frozen=True, kw_only=True)
class _Upright:
    """An exposure turned as the grid is."""

    image: Array
    weight: Array
    mapping: GridMap
    scale: float

    @classmethod
    def make(cls, exposure: Exposure, grid: WCS) -> _Upright:
        """Turn an exposure; a pixel beside one without value would be half made up, and counts as one too."""
        xp = array_namespace(exposure.image)
        ny, nx = exposure.image.shape
        mapping = resampling.grid_map(exposure.wcs, grid, shape=(ny, nx))
        weight = xp.where(calibration.grow(exposure.weight <= 0), xp.float32(0), exposure.weight)
        image = xp.where(xp.isfinite(exposure.image), exposure.image, xp.float32(0))
        turned = (mapping.upright(plane.astype(xp.float32, copy=False)) for plane in (image, weight))
        image, weight = turned
        return cls(image=image, weight=weight, mapping=mapping, scale=exposure.scale)

    def on(self, rows: slice, width: int) -> tuple[Array, Array]:
        """Return some rows of the grid on the common flux scale."""
        image, weight = resampling.resample(self.image, self.weight, self.mapping, rows, width)
        image *= image.dtype.type(self.scale)
        weight *= weight.dtype.type(self.scale**-2)
        return image, weight


def _median(values: Array, present: Array) -> Array:
    """Return the median of the values present; 0 where there are none."""
    xp = array_namespace(values)
    n = len(values)
    sorted_rows = xp.where(present, values, xp.inf).astype(xp.float32)
    ordered = xp.stack(combining.sort_rows(list(sorted_rows), combining.network(n)))
    number = present.sum(axis=0)
    low = xp.take_along_axis(ordered, xp.maximum(number - 1, 0)[None] // 2, axis=0)[0]
    high = xp.take_along_axis(ordered, xp.minimum(number // 2, n - 1)[None], axis=0)[0]
    return xp.where(number > 0, (low + high) * xp.float32(0.5), xp.float32(0))
