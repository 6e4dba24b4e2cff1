"""``siren skymap``: areas and distance of a sky map."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from deployments.terminal import output
from tasks.errors import UnusableData

if TYPE_CHECKING:
    from tasks.science.skymaps.credible_regions import LineOfSight


@click.command(name="skymap", help="Areas and distance of a sky map, and its values at a position.")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--contours", default="0.5,0.9", show_default=True, help="Credible levels between 0 and 1.")
@click.option("--at", help="Position: RA,DEC in degrees.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(file: Path, contours: str, at: str | None, as_json: bool) -> None:
    """Print areas and distance; at a position, also its credible level, DISTMU and DISTSIGMA."""
    levels = _levels(contours)
    position = _position(at) if at else None
    from tasks.io.skymaps import sky_map_files as files  # slow start-up: sky maps import astropy and scipy
    from tasks.records import MapRole
    from tasks.science.skymaps import credible_regions

    skymap = files.read(file)
    ranked = credible_regions.rank(skymap)
    summary = credible_regions.summary(skymap, MapRole.GW)
    result = {
        "areas_deg2": {text: credible_regions.area_deg2(ranked, level) for text, level in levels.items()},
        "distance_mpc": summary.distance_mpc,
        "distance_std_mpc": summary.distance_std_mpc,
        "distance_median_mpc": summary.distance_median_mpc,
        "peak": {"ra_deg": summary.peak_ra_deg, "dec_deg": summary.peak_dec_deg},
        "at": _at(credible_regions.line_of_sight(skymap, *position)) if position else None,
        "rows": summary.rows,
        "creator": summary.creator,
    }
    output.show(result, _text(result), as_json=as_json)


def _levels(text: str) -> dict[str, float]:
    """Return credible levels by their given text."""
    levels = {word.strip(): _number(word, "a credible level") for word in text.split(",") if word.strip()}
    if not levels or not all(0 < level <= 1 for level in levels.values()):
        raise UnusableData(f"contours {text[:60]!r}: expected numbers above 0 and up to 1, separated by commas")
    return levels


def _position(text: str) -> tuple[float, float]:
    words = text.split(",")
    if len(words) != 2:
        raise UnusableData(f"position {text[:60]!r}: expected RA,DEC in degrees")
    ra_deg, dec_deg = (_number(word, "an angle in degrees") for word in words)
    if not (abs(ra_deg) <= 360 and abs(dec_deg) <= 90):
        raise UnusableData(f"position {text[:60]!r} is not on the sky")
    return ra_deg, dec_deg


def _number(text: str, meaning: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise UnusableData(f"{text[:40]!r} is not {meaning}") from error


def _at(sight: LineOfSight) -> dict[str, Any]:
    return {
        "credible_level": sight.credible_level,
        "density_deg2": sight.density_deg2,
        "distance_mpc": sight.distmu_mpc,
        "distance_std_mpc": sight.distsigma_mpc,
        "mean_distance_mpc": sight.distance_mpc,
        "mean_distance_std_mpc": sight.distance_std_mpc,
    }


def _text(result: dict[str, Any]) -> str:
    lines = [f"{level} region  {area:.3f} deg²" for level, area in result["areas_deg2"].items()]
    if result["distance_mpc"] is None:
        lines.append("no distance")
    else:
        lines.append(f"distance    {result['distance_mpc']:.2f} ± {result['distance_std_mpc']:.2f} Mpc")
    at = result["at"]
    if at:
        lines.append(f"there       credible level {at['credible_level']:.4f}")
    if at and at["distance_mpc"] is not None:
        lines.append(f"            DISTMU {at['distance_mpc']:.2f}, DISTSIGMA {at['distance_std_mpc']:.2f} Mpc")
        lines.append(f"            mean {at['mean_distance_mpc']:.2f} ± {at['mean_distance_std_mpc']:.2f} Mpc")
    return "\n".join(lines)
