"""Triplets: stamps of the science image, the reference and the difference at one position."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy.visualization import ZScaleInterval
from astropy.wcs import WCS
from matplotlib.figure import Figure

from tasks.science import arrays
from tasks.science.candidates.matched_filter import SearchPlanes
from tasks.science.candidates.measurement import Detections
from tasks.science.sources.stars import Floats

# side of the cutouts in ZTF's alerts (Patterson et al. 2019, PASP 131, 018001)
STAMP_PX = 63
# a panel of the picture is 400 px wide
OVERVIEW_PX = 600
# more circles hide the picture
MARKED = 10
TITLES = ("science", "reference", "difference")
SIGMAS = 5.0  # from grey to black or white, in units of the difference's noise


@dataclass(frozen=True, kw_only=True)
class Triplet:
    """Science, reference and difference, (3, n, n), NaN beyond the border, with the mask; north up, east left.

    Without a WCS ``scale_arcsec`` is None and the orientation is that of the pixels.
    """

    planes: Floats
    mask: Any
    scale_arcsec: float | None


def cut(planes: SearchPlanes, x: float, y: float, *, wcs: WCS | None = None, size: int = STAMP_PX) -> Triplet:
    """Cut a triplet of ``size`` px (odd) around a position (0-based); its orientation is accurate to 45 degrees."""
    half = size // 2
    images = (planes.science, planes.reference, planes.difference)
    stack = np.stack([_window(arrays.to_host(image), x, y, half, fill=np.nan) for image in images])
    mask = _window(arrays.to_host(planes.mask), x, y, half, fill=True)
    if wcs is None:
        return Triplet(planes=stack, mask=mask, scale_arcsec=None)
    turn = orientation(wcs, x, y)
    scale = float(np.sqrt(abs(np.linalg.det(wcs.pixel_scale_matrix)))) * 3600
    return Triplet(planes=np.stack([turn(plane) for plane in stack]), mask=turn(mask), scale_arcsec=scale)


def _window(image: Floats, x: float, y: float, half: int, *, fill: float) -> Floats:
    padded = np.pad(image, half, constant_values=fill)
    row, column = round(y), round(x)
    return padded[row : row + 2 * half + 1, column : column + 2 * half + 1]


def orientation(wcs: WCS, x: float, y: float) -> Any:
    """Return the function of an image whose quarter turns and flip bring north up and east left.

    Rows run upwards.
    """
    ra, dec = (float(value) for value in wcs.all_pix2world(x, y, 0))
    step = 10 / 3600
    north = np.array(wcs.all_world2pix(ra, dec + step, 0)) - (x, y)
    east = np.array(wcs.all_world2pix(ra + step / np.cos(np.radians(dec)), dec, 0)) - (x, y)
    # with north up, east is left when it is a quarter turn counter-clockwise of north
    mirrored = north[0] * east[1] - north[1] * east[0] < 0
    if mirrored:
        north = north * (-1, 1)
    quarters = round(float(np.arctan2(north[0], north[1])) / (np.pi / 2))

    def turned(image: Floats) -> Floats:
        upright = image[:, ::-1] if mirrored else image
        # with rows running upwards, rot90 of axes (1, 0) turns counter-clockwise: from +x, where north may be, to +y
        return np.asarray(np.rot90(upright, quarters, axes=(1, 0)))

    return turned


def picture(triplet: Triplet, *, title: str = "") -> bytes:
    """Draw a triplet as PNG: one grey scale for science and reference, one symmetric about zero for the difference."""
    figure = Figure(figsize=(9, 3.4), dpi=90)
    low, high = _range(triplet.planes[:2])
    reach = SIGMAS * _noise(triplet.planes[2])
    limits = ((low, high), (low, high), (-reach, reach))
    for index, (plane, (bottom, top), name) in enumerate(zip(triplet.planes, limits, TITLES, strict=True)):
        axes = figure.add_subplot(1, 3, index + 1)
        axes.imshow(plane, origin="lower", cmap="gray", vmin=bottom, vmax=top, interpolation="nearest")
        axes.set_title(name, fontsize=9)
        axes.set_xticks([])
        axes.set_yticks([])
        _draw_marks(axes, plane.shape[0])
    _draw_scale(figure.axes[0], triplet)
    figure.suptitle(title, fontsize=9)
    figure.tight_layout()
    buffer = io.BytesIO()
    # no date in the file: the same triplet gives the same bytes
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _range(planes: Floats) -> tuple[float, float]:
    good = planes[np.isfinite(planes)]
    if good.size == 0 or np.ptp(good) == 0:
        return -1.0, 1.0
    low, high = ZScaleInterval().get_limits(good)
    return float(low), float(max(high, low + 1e-6))


def _noise(plane: Floats) -> float:
    good = plane[np.isfinite(plane)]
    return max(float(arrays.nmad(good)) if good.size else 1.0, 1e-6)


def _draw_marks(axes: Any, size: int) -> None:
    """Draw two short lines beside the source."""
    centre = size // 2
    axes.plot([centre + 5, centre + 11], [centre, centre], color="gold", linewidth=1.2)
    axes.plot([centre, centre], [centre + 5, centre + 11], color="gold", linewidth=1.2)


def _draw_scale(axes: Any, triplet: Triplet) -> None:
    """Draw a bar of 10 arcsec with N up and E left, or of 10 px without a WCS."""
    length = 10.0 if triplet.scale_arcsec is None else 10.0 / triplet.scale_arcsec
    label = "10 px" if triplet.scale_arcsec is None else '10"  N up, E left'
    axes.plot([3, 3 + length], [3, 3], color="white", linewidth=2)
    axes.text(3, 5, label, color="white", fontsize=7)


def overview(planes: SearchPlanes, found: Detections, *, title: str = "") -> bytes:
    """Draw science image, reference and difference whole, as PNG, with circles on the strongest detections."""
    figure = Figure(figsize=(12, 4.4), dpi=100)
    step = max(1, max(planes.mask.shape) // OVERVIEW_PX)
    whole = [arrays.to_host(image)[::step, ::step] for image in (planes.science, planes.reference, planes.difference)]
    reach = SIGMAS * _noise(whole[2])
    limits = (_range(whole[0]), _range(whole[1]), (-reach, reach))
    for index, (plane, (bottom, top), name) in enumerate(zip(whole, limits, TITLES, strict=True)):
        axes = figure.add_subplot(1, 3, index + 1)
        axes.imshow(plane, origin="lower", cmap="gray", vmin=bottom, vmax=top, interpolation="nearest")
        axes.scatter(found.x[:MARKED] / step, found.y[:MARKED] / step, s=60, facecolors="none", edgecolors="gold")
        axes.set_title(name, fontsize=9)
        axes.set_xticks([])
        axes.set_yticks([])
    figure.suptitle(title, fontsize=9)
    figure.tight_layout()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
