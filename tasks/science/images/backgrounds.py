"""The background of an image on a mesh, measured and evaluated in parts to save memory."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import sep
from scipy import ndimage
from scipy.interpolate import CubicSpline

from tasks.science.images import compiled_loops

Floats = np.ndarray[Any, Any]
Window = Callable[[slice, slice], tuple[Floats, Floats]]
"""Function that returns image and weight (0 for missing values) of some rows and columns, float32."""

# one mesh of this size covers any image
LARGEST_SIDE_PX = 1 << 17
# half width, in meshes, of the median filter
REACH = 1
# a mesh with a smaller fraction of good pixels takes its value from its neighbours
FEWEST = 0.1


@dataclass(frozen=True, kw_only=True)
class Background:
    """A background: ``mesh`` holds its values at the centres of meshes of ``size`` px, joined by natural splines."""

    mesh: Floats
    size: int

    @classmethod
    def flat(cls, level: float) -> Background:
        """Return a constant background."""
        return cls(mesh=np.full((1, 1), level), size=LARGEST_SIDE_PX)

    @classmethod
    def of(cls, window: Window, shape: tuple[int, int], size: int) -> Background:
        """Measure the mode of each mesh of an image of ``shape`` (ny, nx), and filter the modes by medians of 3 x 3.

        Parameters
        ----------
        window
            The image's pixels; those with weight 0 are ignored.
        shape
            Rows and columns.
        size
            Side of a mesh in px; meshes at the far edges are cut off, as in SWarp.
        """
        ny, nx = (max(1, -(-length // size)) for length in shape)
        mesh = np.full((ny, nx), np.nan)
        for row in range(ny):
            image, weight = window(slice(row * size, min((row + 1) * size, shape[0])), slice(0, shape[1]))
            for column in range(nx):
                part = slice(column * size, (column + 1) * size)
                mesh[row, column] = _mode(image[:, part], weight[:, part] <= 0)
        return cls(mesh=_filtered(filled(mesh)), size=size)

    def less(self, image: Floats, rows: slice, columns: slice) -> Floats:
        """Return some rows and columns of an image without the background, float32."""
        down, across = self._tables
        heights = (down[rows] @ self.mesh).astype(np.float32)
        out = np.empty(image.shape, np.float32)
        compiled_loops.subtract(np.ascontiguousarray(image, np.float32), heights, across, columns.start, out)
        return out

    @functools.cached_property
    def _tables(self) -> tuple[Floats, Floats]:
        """Weights of each row of meshes at each row of pixels, and those of columns, transposed, float32."""
        down, across = (_basis(number, self.size) for number in self.mesh.shape)
        return down, np.ascontiguousarray(across.T, np.float32)


def _mode(image: Floats, bad: Floats) -> float:
    """Return the mode of an image's good pixels as Source Extractor and SWarp estimate it; NaN if they are too few."""
    if bad.mean() > 1 - FEWEST:
        return float("nan")
    ny, nx = image.shape
    return float(sep.Background(np.ascontiguousarray(image), mask=np.ascontiguousarray(bad), bw=nx, bh=ny).globalback)


def filled(mesh: Floats) -> Floats:
    """Fill meshes without a value from the nearest one; with 0 if all lack a value."""
    missing = np.isnan(mesh)
    if missing.all():
        return np.zeros_like(mesh)
    nearest = ndimage.distance_transform_edt(missing, return_distances=False, return_indices=True)
    filled: Floats = mesh[tuple(nearest)]
    return filled


def _filtered(mesh: Floats) -> Floats:
    """Return medians of 3 x 3 meshes; at a border the window shrinks symmetrically, as in SWarp."""
    result = np.empty_like(mesh)
    for row, column in np.ndindex(*mesh.shape):
        up, right = (min(REACH, n, size - 1 - n) for n, size in zip((row, column), mesh.shape, strict=True))
        result[row, column] = np.median(mesh[row - up : row + up + 1, column - right : column + right + 1])
    return result


def _basis(number: int, size: int) -> Floats:
    """Return the weights of a row of meshes at all their pixels: shape (pixels, number)."""
    if number == 1:
        return np.ones((size, 1))
    centres = (np.arange(number) + 0.5) * size - 0.5
    values: Floats = CubicSpline(centres, np.eye(number), bc_type="natural")(np.arange(number * size))
    return values
