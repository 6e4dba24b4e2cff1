"""Pictures of sky maps and planned fields: the whole sky in Mollweide projection, and a zoom."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS
from matplotlib import patheffects
from matplotlib.collections import PolyCollection
from matplotlib.colors import LinearSegmentedColormap, to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Polygon

from tasks.records import Outlines, SkyPicture, Zoom

INK = "#1d2433"
FAINT = "#8a93a6"
PAPER = "#ffffff"
GLOW = LinearSegmentedColormap.from_list(
    "glow", ["#f4f6fb", "#fdeed0", "#fdc878", "#f58b4c", "#d24a45", "#7c1d4f", "#3a0f3d"]
)
# Okabe and Ito's palette and others safe for colour-blind readers, without colours too close to the map's
COLOURS = ("#0072b2", "#009e73", "#7a5cff", "#56b4e9", "#5f7a00", "#44aa99", "#000000", "#332288", "#1f78b4", "#33a02c")
LEVELS = (0.5, 0.9)
LINES: tuple[Any, ...] = ("solid", (0, (4, 2)))


def coverage(picture: SkyPicture, *, dpi: int = 160) -> bytes:
    """Draw the whole sky and the zoom, with the fields of every telescope, as a PNG."""
    figure = Figure(figsize=(12.6, 6.1), facecolor=PAPER)
    _sky(figure, (0.035, 0.16, 0.53, 0.70), picture)
    _zoomed(figure, (0.645, 0.17, 0.335, 0.69), picture)
    _words(figure, picture)
    _legend(figure, picture.fields)
    return _png(figure, dpi)


def sky_map(picture: SkyPicture, *, dpi: int = 110) -> bytes:
    """Draw the whole sky alone, as a small PNG."""
    figure = Figure(figsize=(7.2, 4.3), facecolor=PAPER)
    _sky(figure, (0.05, 0.07, 0.90, 0.76), picture)
    figure.text(0.05, 0.93, picture.title, fontsize=14, fontweight="bold", color=INK, va="center")
    figure.text(0.05, 0.865, picture.subtitle, fontsize=9.5, color=INK, va="center")
    return _png(figure, dpi)


def _png(figure: Figure, dpi: int) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, facecolor=PAPER, metadata={"Software": "brightsiren"})
    return buffer.getvalue()


def _words(figure: Figure, picture: SkyPicture) -> None:
    figure.text(0.035, 0.955, picture.title, fontsize=16, fontweight="bold", color=INK, va="center")
    figure.text(0.035, 0.907, picture.subtitle, fontsize=10, color=INK, va="center")


def _legend(figure: Figure, fields: tuple[Outlines, ...]) -> None:
    handles: list[Any] = [
        Line2D([], [], color=INK, linestyle=style, linewidth=1.1, label=f"{100 * level:.0f} % region")
        for level, style in zip(LEVELS, LINES, strict=True)
    ]
    handles.append(Line2D([], [], color=FAINT, linestyle=(0, (1, 2)), linewidth=1.2, label="galactic equator"))
    for index, each in enumerate(fields):
        colour = _colour(index)
        handles.append(Patch(edgecolor=colour, facecolor=to_rgba(colour, 0.25), linewidth=1.4, label=each.label))
    figure.legend(handles=handles, loc="lower center", ncols=min(5, len(handles)), frameon=False, fontsize=9)


def _colour(index: int) -> str:
    return COLOURS[index % len(COLOURS)]


def _shades(density: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Scale densities to 0 to 1 by the square root, so that faint parts show."""
    return np.asarray(np.sqrt(density / max(float(density.max()), 1e-300)))


def _sky(figure: Figure, place: tuple[float, float, float, float], picture: SkyPicture) -> None:
    """Draw the whole sky, right ascension increasing to the left, centred near the region."""
    axes: Any = figure.add_axes(place, projection="mollweide")
    middle = 45.0 * round(picture.zoom.ra_deg / 45)
    ny, nx = picture.density.shape
    columns = np.roll(np.arange(nx), nx // 2 - round(middle * nx / 360))[::-1]
    x = np.radians((np.arange(nx) + 0.5) * 360 / nx - 180)
    y = np.radians((np.arange(ny) + 0.5) * 180 / ny - 90)
    shades = _shades(picture.density)[:, columns]
    axes.pcolormesh(x, y, shades, cmap=GLOW, vmin=0, vmax=1, shading="nearest", rasterized=True)
    axes.contour(x, y, picture.level[:, columns], levels=LEVELS, colors=INK, linewidths=0.7, linestyles=LINES)
    _milky_way(axes, middle)
    for index, each in enumerate(picture.fields):
        _fill(axes, _on_sky(each.corners_deg, middle), _colour(index))
    if picture.fields:
        _mark_zoom(axes, picture.zoom, middle)
    _graticule(axes, middle)


def _graticule(axes: Any, middle: float) -> None:
    axes.grid(visible=True, color=FAINT, linewidth=0.35, alpha=0.7)
    axes.set_longitude_grid(45)
    axes.set_latitude_grid(30)
    axes.set_xticklabels([f"{(middle - offset) % 360 / 15:g}h" for offset in range(-135, 136, 45)])
    axes.tick_params(labelsize=8.5, colors=INK)
    halo = [patheffects.withStroke(linewidth=2.5, foreground=PAPER)]
    for label in axes.get_xticklabels():
        label.set_path_effects(halo)
    axes.spines["geo"].set_edgecolor(INK)
    axes.spines["geo"].set_linewidth(0.9)


def _milky_way(axes: Any, middle: float) -> None:
    """Draw the galactic equator: bright counterparts are rare behind it."""
    plane = SkyCoord(np.linspace(0, 360, 721) * u.deg, np.zeros(721) * u.deg, frame="galactic").icrs
    x = _abscissa(plane.ra.deg, middle)
    broken = np.abs(np.diff(x, append=x[-1])) > np.pi
    axes.plot(np.where(broken, np.nan, x), plane.dec.rad, color=FAINT, linewidth=0.9, linestyle=(0, (1, 2)))


def _mark_zoom(axes: Any, zoom: Zoom, middle: float) -> None:
    """Draw the zoom's frame on the sky."""
    size = len(zoom.density)
    side, ones = np.linspace(-0.5, size - 0.5, 60), np.ones(60)
    x = np.concatenate([side, ones * (size - 0.5), side[::-1], ones * -0.5])
    y = np.concatenate([ones * -0.5, side, ones * (size - 0.5), side[::-1]])
    ra, dec = _plane(zoom).pixel_to_world_values(x, y)
    across = _abscissa(ra, middle)
    broken = np.abs(np.diff(across, append=across[-1])) > np.pi
    axes.plot(np.where(broken, np.nan, across), np.radians(dec), color=INK, linewidth=0.8, alpha=0.75)


def _abscissa(ra_deg: npt.NDArray[np.float64], middle: float) -> npt.NDArray[np.float64]:
    return np.radians(180 - np.mod(ra_deg - middle + 180, 360))


def _on_sky(corners_deg: npt.NDArray[np.float64], middle: float) -> npt.NDArray[np.float64]:
    """Convert outlines to the projection's radians; those across the edge are drawn at both edges."""
    x = _abscissa(corners_deg[..., 0], middle)
    x = x[:, :1] + (np.mod(x - x[:, :1] + np.pi, 2 * np.pi) - np.pi)
    outlines = np.stack([x, np.radians(corners_deg[..., 1])], axis=-1)
    over = np.abs(x).max(axis=1) > np.pi
    shift = np.array([2 * np.pi, 0.0]) * np.sign(x[over].mean(axis=1))[:, None, None]
    return np.concatenate([outlines, outlines[over] - shift])


def _fill(axes: Any, outlines: npt.NDArray[np.float64], colour: str) -> None:
    face = to_rgba(colour, 0.14)
    axes.add_collection(PolyCollection(list(outlines), facecolors=face, edgecolors=colour, linewidths=0.5))


def _zoomed(figure: Figure, place: tuple[float, float, float, float], picture: SkyPicture) -> None:
    """Draw the region in the tangent plane with its coordinates."""
    wcs = _plane(picture.zoom)
    axes: Any = figure.add_axes(place, projection=wcs)
    zoom = picture.zoom
    axes.imshow(_shades(zoom.density), cmap=GLOW, vmin=0, vmax=1, origin="lower", interpolation="nearest")
    axes.contour(zoom.level, levels=LEVELS, colors=INK, linewidths=1.0, linestyles=LINES)
    for index, each in enumerate(picture.fields):
        for outline in each.corners_deg:
            if (pixels := _in_plane(wcs, outline, zoom)) is not None:
                colour = _colour(index)
                axes.add_patch(Polygon(pixels, facecolor=to_rgba(colour, 0.12), edgecolor=colour, linewidth=1.2))
    size = len(zoom.density)
    axes.set_xlim(-0.5, size - 0.5)
    axes.set_ylim(-0.5, size - 0.5)
    axes.coords.grid(visible=True, color=FAINT, linewidth=0.4, alpha=0.8)
    axes.coords[0].set_axislabel("right ascension", fontsize=9.5)
    axes.coords[1].set_axislabel("declination", fontsize=9.5, minpad=0.6)
    for coordinate, sides in zip(axes.coords, ("b", "l"), strict=True):
        coordinate.set_ticks_position(sides)
        coordinate.set_ticklabel(size=8.5, exclude_overlapping=True)
        coordinate.set_format_unit(u.deg, decimal=True)


def _plane(zoom: Zoom) -> WCS:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [zoom.ra_deg, zoom.dec_deg]
    wcs.wcs.crpix = [(len(zoom.density) + 1) / 2] * 2
    wcs.wcs.cdelt = [-zoom.scale_deg, zoom.scale_deg]
    return wcs


def _in_plane(wcs: WCS, outline: npt.NDArray[np.float64], zoom: Zoom) -> npt.NDArray[np.float64] | None:
    """Return an outline in pixels, or None if it lies behind the tangent plane."""
    ra, dec = np.radians(outline[:, 0] - zoom.ra_deg), np.radians(outline[:, 1])
    centre = np.radians(zoom.dec_deg)
    if np.any(np.sin(centre) * np.sin(dec) + np.cos(centre) * np.cos(dec) * np.cos(ra) <= 0.1):
        return None
    return np.stack(wcs.world_to_pixel_values(outline[:, 0], outline[:, 1]), axis=1)
