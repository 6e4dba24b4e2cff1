"""Raw folders of a night, and of all nights."""

from __future__ import annotations

import logging
from datetime import date
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks import naming
from tasks.errors import UnusableData
from tasks.records import NightFolder

log = logging.getLogger(__name__)


@task(cache_policy=NO_CACHE, task_run_name="folders-{night}")
def night_folders(raw_root: Path, night: date, units: tuple[str, ...] = ()) -> tuple[NightFolder, ...]:
    """Find the folders of a night, targets of opportunity first.

    Parameters
    ----------
    raw_root
        Folder with one folder per unit.
    night
        Date of the evening.
    units
        Units to search; empty for all.

    Raises
    ------
    UnusableData
        If there is no folder of that night; the error lists the existing nights.
    """
    wanted = tuple(naming.unit(name) for name in units) or _units_in(raw_root)
    folders = [folder for unit in wanted for folder in _folders_of(raw_root / unit, unit)]
    tonight = [folder for folder in folders if folder.night == night]
    if not tonight:
        nights = ", ".join(sorted({folder.night.isoformat() for folder in folders})) or "none"
        raise UnusableData(
            f"no folder of {night} in {raw_root} for {', '.join(wanted) or 'any unit'}; nights: {nights}"
        )
    log.info("%s: %d folders of units %s", night, len(tonight), ", ".join(folder.unit for folder in tonight))
    return tuple(sorted(tonight, key=lambda folder: (not folder.too, folder.unit, folder.folder.name)))


@task(cache_policy=NO_CACHE, task_run_name="all-folders")
def all_folders(raw_root: Path) -> tuple[NightFolder, ...]:
    """Return the folders of all nights and units, targets of opportunity first, then the newest night."""
    folders = [folder for unit in _units_in(raw_root) for folder in _folders_of(raw_root / unit, unit)]
    return tuple(sorted(folders, key=lambda folder: (not folder.too, -folder.night.toordinal(), folder.unit)))


def _units_in(raw_root: Path) -> tuple[str, ...]:
    if not raw_root.is_dir():
        raise UnusableData(f"{raw_root} is not a folder; expected one folder per unit, such as 7DT01, in it")
    return tuple(sorted(path.name for path in raw_root.iterdir() if naming.UNIT_NAME.fullmatch(path.name)))


def _folders_of(folder: Path, unit: str) -> list[NightFolder]:
    folders = []
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if path.is_dir() and naming.NIGHT_FOLDER.fullmatch(path.name):
            night, too, _ = naming.parse_night_folder(path.name)
            folders.append(NightFolder(unit=unit, night=night, folder=path, too=too))
    return folders
