"""Windows on a frame of a stack: parts of its sky-subtracted pixels, and of their weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from tasks.science.images.backgrounds import Background, Window
from tasks.science.stacking import coadding
from tasks.science.stacking.weight_maps import SkyNoise

Floats = np.ndarray[Any, Any]
Plane = Callable[[slice, slice], Floats]
"""Gives some rows and columns of a plane."""
Sky = Literal["mesh", "level", "none"]


@dataclass(frozen=True, kw_only=True)
class FramePlanes:
    """The planes of a frame of ``shape`` (ny, nx), read in parts: image in ADU, variance in ADU², ``MaskBit`` bits."""

    image: Plane
    variance: Plane
    mask: Plane
    shape: tuple[int, int]


def window(planes: FramePlanes, *, sky: Sky, mesh_px: int, level_adu: float) -> Window:
    """Return a function that gives parts of a frame without its sky, and of its weight.

    Parameters
    ----------
    planes
        The frame; it is read once to measure its noise and, with a mesh, once more to measure its sky.
    sky
        ``mesh``: a smooth background is subtracted, ``level``: one value, ``none``: nothing.
    mesh_px
        Side of the meshes, in px.
    level_adu
        Value subtracted with ``level``, in ADU.
    """
    noise = SkyNoise.of(
        lambda rows, columns: (planes.variance(rows, columns), planes.mask(rows, columns)), planes.shape
    )

    def raw(rows: slice, columns: slice) -> tuple[Floats, Floats]:
        weight = noise.weight(planes.variance(rows, columns), planes.mask(rows, columns), rows, columns)
        return planes.image(rows, columns), weight

    if sky == "mesh":
        return coadding.without_sky(raw, Background.of(raw, planes.shape, mesh_px))
    if sky == "level":
        return coadding.without_sky(raw, Background.flat(level_adu))
    return raw


def whole_weight(variance: Floats, mask: Floats) -> Floats:
    """Return the weight of a whole frame: the inverse variance of its sky, 0 where a pixel has no value."""
    noise = SkyNoise.of(lambda rows, columns: (variance[rows, columns], mask[rows, columns]), variance.shape)
    rows, columns = (slice(0, size) for size in variance.shape)
    return noise.weight(variance, mask, rows, columns)
