"""What a plan aims at: an event, a notice or a sky map, read from a path or a name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tasks import naming
from tasks.errors import UnusableData
from tasks.io.notices import parsing
from tasks.io.skymaps import recent_maps, sky_map_files
from tasks.records import Alert, MapRole, Notice, Plan, SkyMap, SkyPicture, Telescope
from tasks.science.alerts import best_position
from tasks.science.planning import error_circles
from tasks.science.skymaps import sky_pictures

FITS_MARKS = (b"SIMPLE  ", b"\x1f\x8b")
# the more a map says, the better: a coincidence before the event alone, before what a burst monitor drew
PREFERRED = (MapRole.COMBINED, MapRole.GW, MapRole.HEALPIX)


@dataclass(frozen=True, kw_only=True, eq=False)
class Aim:
    """What is planned for: a sky map, and for a position its place with the radius that holds 90 %."""

    sky_map: SkyMap
    notice: Notice | None = None
    centre_deg: tuple[float, float] | None = None
    error90_deg: float = 0.0


def source_of(alert: Alert, root: Path) -> Path:
    """Return the file to plan from: the sky map that counts, else the notice itself."""
    best = alert.best_map
    return best.path if best and best.path else naming.AlertTree(root=root).notice_copy(alert)


def folder_of(alert: Alert, root: Path) -> Path:
    """Return the folder of the plans that a notice led to."""
    return naming.AlertTree(root=root).plans(alert)


def event_id_of(source: Path) -> str:
    """Return the id of a notice's event, else the object in a sky map's header, else the file's name."""
    aim = read_aim(source)
    if aim.notice is not None:
        return aim.notice.event_id
    return aim.sky_map.object or source.name.split(".")[0]


def read_aim(source: Path) -> Aim:
    """Read what to plan for from a sky map or a notice, whichever the file is.

    Raises
    ------
    UnusableData
        If the file is neither, or a notice with neither map nor position.
    """
    if _starts_like_fits(source):
        return Aim(sky_map=recent_maps.read(source))
    parsed = parsing.parse(parsing.read(source))
    role = next((role for role in PREFERRED if role in parsed.maps), None)
    if role is not None:
        return Aim(sky_map=sky_map_files.read(parsed.maps[role]), notice=parsed.notice)
    return _positioned(parsed.notice)


def _starts_like_fits(source: Path) -> bool:
    try:
        with source.open("rb") as file:
            return file.read(len(FITS_MARKS[0])).startswith(FITS_MARKS)
    except OSError as error:
        raise UnusableData(f"{source} cannot be read: {error.strerror}") from error


def _positioned(notice: Notice) -> Aim:
    if notice.ra_deg is None or notice.dec_deg is None or notice.retraction:
        words = "is a retraction" if notice.retraction else "has neither a sky map nor a position"
        raise UnusableData(f"notice {notice.event_id} {words}: there is nothing to plan")
    # an error that is not stated is taken for that of the instrument
    error90_deg = best_position.error90_deg(notice)
    sky_map = error_circles.gaussian_map(notice.ra_deg, notice.dec_deg, error_deg=error90_deg)
    return Aim(sky_map=sky_map, notice=notice, centre_deg=(notice.ra_deg, notice.dec_deg), error90_deg=error90_deg)


def picture(
    sky_map: SkyMap, plans: Sequence[Plan], known: Mapping[str, Telescope], probability: float, area: float
) -> SkyPicture:
    """Return the map with plans drawn on it, and the covered probability and area in words."""
    event = plans[0].event_id if plans else "no plan"
    begins = [plan.tiles[0].start for plan in plans if plan.tiles and plan.tiles[0].start]
    first = f", first exposure {min(begins):%Y-%m-%d %H:%M} UTC" if begins else ""
    words = f"{100 * probability:.1f} % of the probability in {area:.1f} deg²{first}"
    return sky_pictures.picture(sky_map, title=event, subtitle=words, plans=plans, telescopes=known)
