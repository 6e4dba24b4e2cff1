"""``siren coverage``: area and probability of a sky map that a list of pointings covers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from deployments.terminal import output
from tasks.errors import UnusableData

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

LARGEST_DEG = 60.0


@click.command(
    name="coverage", help="Area and probability of a sky map that a list of pointings covers; overlaps count once."
)
@click.argument("skymap", type=click.Path(path_type=Path))
@click.argument("exposures", type=click.Path(path_type=Path))
@click.option("--fov", help="Field of view: W,H in degrees (one number: a square).")
@click.option("--fields", type=click.Path(path_type=Path), help="Table of fields (ID, RA, Dec), for a column field_id.")
@click.option("--footprint", type=click.Path(path_type=Path), help="Polygons in degrees from the centre, for --fov.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(
    skymap: Path, exposures: Path, fov: str | None, fields: Path | None, footprint: Path | None, as_json: bool
) -> None:
    """Print the area of the union of the pointings and the map's probability in it."""
    if fov is None and footprint is None:
        raise UnusableData("the field of view is missing: give --fov W,H or --footprint FILE")
    size = _size(fov) if fov else None
    from tasks.io.planning import pointing_lists
    from tasks.io.skymaps import sky_map_files  # slow start-up: sky maps import astropy and healpy
    from tasks.science.skymaps import coverage

    polygons: tuple[npt.NDArray[np.float64], ...]
    if footprint is not None:
        polygons = pointing_lists.read_footprint(footprint)
    elif size is not None:
        polygons = coverage.rectangle(*size)
    centres = pointing_lists.read(exposures, fields=fields)
    covered = coverage.covered(sky_map_files.read(skymap), centres.ra_deg, centres.dec_deg, footprint=polygons)
    result: dict[str, Any] = {**vars(covered), "exposures": len(centres.ra_deg)}
    text = (
        f"{covered.area_deg2:.1f} deg² with probability {covered.probability:.4f} in {covered.fields} fields, "
        f"{len(centres.ra_deg)} exposures"
    )
    output.show(result, text, as_json=as_json)


def _size(text: str) -> tuple[float, float]:
    words = text.split(",")
    try:
        sides = [float(word) for word in words]
    except ValueError as error:
        raise UnusableData(f"field of view {text[:40]!r}: expected W,H in degrees") from error
    if len(sides) not in {1, 2} or not all(0 < side <= LARGEST_DEG for side in sides):
        raise UnusableData(f"field of view {text[:40]!r}: expected W,H in degrees, each up to {LARGEST_DEG:g}")
    return sides[0], sides[-1]
