"""The target of a plan: a sky map, or a position with its error, read from a sky map file or a notice."""

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
# most informative first: a coincidence, the gravitational-wave event alone, a burst monitor's map
PREFERRED = (MapRole.COMBINED, MapRole.GW, MapRole.HEALPIX)


@dataclass(frozen=True, kw_only=True, eq=False)
class Aim:
    """The target of a plan: a sky map; for a position also its centre and 90 % error radius."""

    sky_map: SkyMap
    notice: Notice | None = None
    centre_deg: tuple[float, float] | None = None
    error90_deg: float = 0.0


def source_of(alert: Alert, root: Path) -> Path:
    """Return the file to plan from: the best sky map, else the notice itself."""
    best = alert.best_map
    return best.path if best and best.path else naming.AlertTree(root=root).notice_copy(alert)


def folder_of(alert: Alert, root: Path) -> Path:
    """Return the folder of a notice's plans."""
    return naming.AlertTree(root=root).plans(alert)


def event_id_of(source: Path) -> str:
    """Return the id of a notice's event, else the object in a sky map's header, else the file's name."""
    aim = read_aim(source)
    if aim.notice is not None:
        return aim.notice.event_id
    return aim.sky_map.object or source.name.split(".")[0]


def read_aim(source: Path) -> Aim:
    """Read the target of a plan from a file with a sky map or a notice.

    Raises
    ------
    UnusableData
        If the file is neither, or a notice without map and position.
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
    # the instrument's usual error replaces a missing one
    error90_deg = best_position.error90_deg(notice)
    sky_map = error_circles.gaussian_map(notice.ra_deg, notice.dec_deg, error_deg=error90_deg)
    return Aim(sky_map=sky_map, notice=notice, centre_deg=(notice.ra_deg, notice.dec_deg), error90_deg=error90_deg)


def picture(
    sky_map: SkyMap, plans: Sequence[Plan], known: Mapping[str, Telescope], probability: float, area: float
) -> SkyPicture:
    """Return the picture of a map with plans, entitled with the covered probability and area."""
    event = plans[0].event_id if plans else "no plan"
    starts = [plan.tiles[0].start for plan in plans if plan.tiles and plan.tiles[0].start]
    first = f", first exposure {min(starts):%Y-%m-%d %H:%M} UTC" if starts else ""
    words = f"{100 * probability:.1f} % of the probability in {area:.1f} deg²{first}"
    return sky_pictures.picture(sky_map, title=event, subtitle=words, plans=plans, telescopes=known)
