"""The inventory of one unit's night folder: which frames there are, and which cannot be used and why."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks import naming
from tasks.errors import UnusableData
from tasks.io import frames
from tasks.records import Frame, FrameType, Inventory, Rejected, Stage
from tasks.science import headers

log = logging.getLogger(__name__)

SUFFIXES = (".fits", ".fit", ".fts", ".fits.gz")
PACKED = (".fz", ".bz2", ".xz", ".zip", ".z")
ORDER = tuple(FrameType)
READERS = 4


@task(task_run_name="inventory-{unit}-{night}", cache_policy=NO_CACHE)
def take_inventory(folder: Path, unit: str, night: date) -> Inventory:
    """Read the headers of a night folder; sort the frames by type and time.

    Raises
    ------
    UnusableData
        If ``folder`` is not a folder, cannot be read, or holds no file that looks like a FITS image.
    """
    naming.unit(unit)
    paths = _images(folder)
    with ThreadPoolExecutor(READERS) as pool:
        read = list(pool.map(lambda path: _read(path, unit), paths))
    good = [frame for frame in read if isinstance(frame, Frame)]
    good.sort(key=lambda frame: (ORDER.index(frame.type), frame.date_obs, frame.path.name))
    rejected = tuple(frame for frame in read if isinstance(frame, Rejected))
    log.info("%s %s: %d frames, %d rejected", unit, night, len(good), len(rejected))
    return Inventory(night=night, unit=unit, folder=folder, frames=tuple(good), rejected=rejected)


def _images(folder: Path) -> list[Path]:
    """List the visible image files of a folder by name."""
    if not folder.is_dir():
        raise UnusableData(f"{folder} is not a folder (expected the night folder of one unit)")
    try:
        names = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise UnusableData(f"{folder} cannot be read: {error}") from error
    images = [path for path in names if path.name.lower().endswith((*SUFFIXES, *PACKED))]
    if not images:
        raise UnusableData(f"{folder} holds no FITS image (expected files ending in {', '.join(SUFFIXES)})")
    return images


def _read(path: Path, unit: str) -> Frame | Rejected:
    try:
        return _frame(path, unit)
    except UnusableData as error:
        return Rejected(name=path.name, stage=Stage.CALIBRATE.value, reason=str(error), unit=unit)


def _frame(path: Path, unit: str) -> Frame:
    if path.name.lower().endswith(PACKED):
        raise UnusableData(f"{path.name} is packed in a way that is not read (allowed: {', '.join(SUFFIXES)})")
    if not path.is_file():
        raise UnusableData(f"{path.name} is not a file")
    stored = frames.open_image(path)
    header, changes = headers.normalise(stored.header, name=path.name, unit=unit)
    return headers.parse(header, path=path, unit=unit, shape=stored.shape, changes=changes)
