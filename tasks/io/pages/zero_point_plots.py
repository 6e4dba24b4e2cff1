"""Plots of zero points of single stars against magnitude, one per aperture."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tasks import naming
from tasks.records import ZeroPointStars

MAGNITUDES = (10.0, 20.0)
REACH_MAG = 0.25
# stars beyond the upper and lower border are drawn as arrows this far inside it
BORDER_MAG = 0.008
INK, SHADE, UNUSED, KEPT, CLIPPED = "#1c2733", "#e9edf2", "#9aa5b4", "#0072b2", "#d55e00"


def pictures(stars: Sequence[ZeroPointStars], image: Path) -> dict[Path, bytes]:
    """Draw the zero points of an image; return PNG files by path."""
    return {naming.zero_point_plot(image, each.aperture): draw(each, title=image.name) for each in stars}


def draw(stars: ZeroPointStars, *, title: str, dpi: int = 110) -> bytes:
    """Draw one aperture's stars as a PNG: those kept, those clipped, and those beyond the limits, which are shaded."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - slow start-up, and most frames are measured without pictures

    figure = Figure(figsize=(7.2, 4.3))
    # a computed layout would draw each picture twice
    axes: Any = figure.add_axes((0.095, 0.12, 0.885, 0.745))
    _shade(axes, stars)
    low, high = stars.limits_mag
    inside = (stars.magnitude > low) & (stars.magnitude < high) & np.isfinite(stars.difference_mag)
    for group, colour, marker, words in (
        (~inside, UNUSED, "o", "outside"),
        (inside & ~stars.kept, CLIPPED, "x", "clipped"),
        (inside & stars.kept, KEPT, "o", "kept"),
    ):
        _scatter(axes, stars, group, colour=colour, marker=marker, words=words)
    axes.set(xlim=MAGNITUDES, ylim=(stars.zero_point_mag - REACH_MAG, stars.zero_point_mag + REACH_MAG))
    axes.set_xlabel("reference magnitude [mag]", color=INK)
    axes.set_ylabel("zero point of the star [mag]", color=INK)
    axes.set_title(_words(stars), loc="left", fontsize=11, color=INK)
    figure.suptitle(title, x=0.01, ha="left", fontsize=8.5, color=UNUSED)
    axes.legend(loc="lower left", fontsize=8.5, framealpha=0.9, edgecolor="none", handletextpad=0.3)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": "brightsiren"})
    return buffer.getvalue()


def _words(stars: ZeroPointStars) -> str:
    return f"MAG_{stars.aperture}: ZP = {stars.zero_point_mag:.3f}, MAD {stars.mad_mag:.3f} mag"


def _shade(axes: Any, stars: ZeroPointStars) -> None:
    """Shade magnitudes beyond MAGLOW and MAGUP; draw the zero point and the MAD on both sides of it."""
    for name, edge, limit, side in zip(("MAGLOW", "MAGUP"), MAGNITUDES, stars.limits_mag, (-1, 1), strict=True):
        axes.axvspan(edge, limit, color=SHADE, linewidth=0, zorder=0)
        axes.axvline(limit, color=UNUSED, linewidth=0.7, zorder=0)
        axes.annotate(
            f"{name} {limit:g}",
            (limit, 0.94),
            xycoords=("data", "axes fraction"),
            xytext=(4 * side, 0),
            textcoords="offset points",
            ha="right" if side < 0 else "left",
            va="top",
            fontsize=8,
            color=INK,
            annotation_clip=False,
        )
    middle, mad = stars.zero_point_mag, stars.mad_mag
    axes.axhspan(middle - mad, middle + mad, color=KEPT, alpha=0.12, linewidth=0, zorder=1)
    axes.axhline(middle, color=INK, linewidth=0.9, zorder=4)


def _scatter(axes: Any, stars: ZeroPointStars, group: Any, *, colour: str, marker: str, words: str) -> None:
    """Draw a group of stars; arrows at the border mark those beyond it."""
    x, offset = stars.magnitude[group], stars.difference_mag[group] - stars.zero_point_mag
    drawn = np.abs(offset) <= REACH_MAG
    label = f"{words}: {int(np.isfinite(offset).sum())}"
    alpha = 0.55 if marker == "o" else 0.8
    look = {"color": colour, "alpha": alpha, "linewidths": 0 if marker == "o" else 0.9, "zorder": 3}
    axes.scatter(x[drawn], stars.zero_point_mag + offset[drawn], s=12, marker=marker, label=label, **look)
    for sign, arrow in ((1, "^"), (-1, "v")):
        beyond = sign * offset > REACH_MAG
        place = np.full(beyond.sum(), stars.zero_point_mag + sign * (REACH_MAG - BORDER_MAG))
        axes.scatter(x[beyond], place, s=14, marker=arrow, color=colour, alpha=alpha, linewidths=0, zorder=3)
