"""The inventory of one unit's night folder: which frames there are, and which cannot be used and why."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks import naming, telescopes
from tasks.errors import UnusableData
from tasks.io.fits import overscan
from tasks.options import CalibrateOptions
from tasks.records import Frame, FrameType, Inventory, Rejected, Stage, Telescope
from tasks.science.headers import raw_headers
from tasks.science.masters import selection

log = logging.getLogger(__name__)

SUFFIXES = (".fits", ".fit", ".fts", ".fits.gz")
PACKED = (".fz", ".bz2", ".xz", ".zip", ".z")
ORDER = tuple(FrameType)
READERS = 4
STANDARD = CalibrateOptions()


@task(task_run_name="inventory-{unit}-{night}", cache_policy=NO_CACHE)
def take_inventory(
    folder: Path,
    unit: str,
    night: date,
    options: CalibrateOptions = STANDARD,
    objects: tuple[str, ...] = (),
    telescope: str = "7DT",
) -> Inventory:
    """Read the headers of a night folder; sort the frames by type and time.

    Parameters
    ----------
    folder, unit, night
        What to read.
    options
        How headers are rewritten and frames trimmed.
    objects
        Objects or tiles whose lights are taken (``T00123`` or 123); none means all.
    telescope
        Name of the telescope, whose camera and filters the headers are compared with.

    Raises
    ------
    UnusableData
        If ``folder`` is not a folder, cannot be read, or holds no file that looks like a FITS image; if ``defringe``
        names a filter that the telescope does not have.
    """
    naming.unit(unit)
    paths, known = _images(folder), telescopes.load(telescope)
    _check_filters(options, known)
    with ThreadPoolExecutor(READERS) as pool:
        read = list(pool.map(lambda path: _read(path, unit, options, known), paths))
    usable = [frame for frame in read if isinstance(frame, Frame)]
    good = sorted((frame for frame in usable if selection.wanted(frame, objects)), key=_order)
    needs = {(frame.filter, frame.exposure_s) for frame in usable if frame.type is FrameType.LIGHT}
    rejected = tuple(frame for frame in read if isinstance(frame, Rejected))
    log.info("%s %s: %d frames, %d rejected", unit, night, len(good), len(rejected))
    return Inventory(
        night=night, unit=unit, folder=folder, frames=tuple(good), rejected=rejected, needs=tuple(sorted(needs))
    )


def join(inventories: Sequence[Inventory]) -> tuple[Inventory, ...]:
    """Join what belongs to one unit: a survey and a target of opportunity share their calibration frames."""
    units: dict[str, list[Inventory]] = {}
    for each in inventories:
        units.setdefault(each.unit, []).append(each)
    return tuple(_joined(group) for group in units.values())


def _joined(group: Sequence[Inventory]) -> Inventory:
    frames = [frame for each in group for frame in each.frames]
    rejected = tuple(rejection for each in group for rejection in each.rejected)
    needs = tuple(sorted({need for each in group for need in each.needs}))
    return replace(group[0], frames=tuple(sorted(frames, key=_order)), rejected=rejected, needs=needs)


def _check_filters(options: CalibrateOptions, telescope: Telescope) -> None:
    """Refuse filters that no light can have: nothing would lose its fringes, and nobody would know."""
    known = telescope.filter_names
    if known and (strange := set(options.defringe) - known):
        raise UnusableData(
            f"defringe names {', '.join(sorted(strange))}, which {telescope.name} does not have: its filters are "
            f"{', '.join(sorted(known))}"
        )


def _order(frame: Frame) -> tuple[int, datetime, str]:
    return ORDER.index(frame.type), frame.date_obs, frame.path.name


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


def _read(path: Path, unit: str, options: CalibrateOptions, telescope: Telescope) -> Frame | Rejected:
    try:
        return _frame(path, unit, options, telescope)
    except UnusableData as error:
        return Rejected(name=path.name, stage=Stage.CALIBRATE.value, reason=str(error), unit=unit)


def _frame(path: Path, unit: str, options: CalibrateOptions, telescope: Telescope) -> Frame:
    if path.name.lower().endswith(PACKED):
        raise UnusableData(f"{path.name} is packed in a way that is not read (allowed: {', '.join(SUFFIXES)})")
    if not path.is_file():
        raise UnusableData(f"{path.name} is not a file")
    stored = overscan.open_raw(path, overscan=options.overscan, trim=options.trim)
    header, changes = raw_headers.normalise(stored.header, name=path.name, unit=unit, table=options.header_table)
    frame = raw_headers.parse(header, path=path, unit=unit, shape=stored.shape, changes=changes)
    raw_headers.check_filter(frame, telescope.filter_names)
    return raw_headers.compared(frame, header, telescope.camera)
