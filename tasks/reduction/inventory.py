"""Inventory of one unit's night folder: usable frames, and rejected ones with the reason."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path

import numpy as np
from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks import naming, telescopes
from tasks.errors import UnusableData
from tasks.io.fits import fits_images, overscan
from tasks.options import CalibrateOptions
from tasks.records import Frame, FrameType, Inventory, Rejected, Stage, Telescope
from tasks.science.headers import raw_headers
from tasks.science.masters import selection

log = logging.getLogger(__name__)

# compressions that are not read
FOREIGN = (".zip", ".z", ".7z", ".zst")
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
        Night folder to read, its unit and night.
    options
        Rewriting of headers and trimming of frames.
    objects
        Objects or tiles whose lights are taken (``T00123`` or 123); none means all.
    telescope
        Name of the telescope; headers are compared with its camera and filters.

    Raises
    ------
    UnusableData
        If ``folder`` is not a folder, cannot be read, or holds no file that looks like a FITS image; if ``defringe``
        names a filter that the telescope does not have.
    """
    naming.unit(unit)
    paths, camera = _images(folder), telescopes.load(telescope)
    _check_filters(options, camera)
    with ThreadPoolExecutor(READERS) as pool:
        read = list(pool.map(lambda path: _read(path, unit, options, camera), paths))
    usable, repeated = _once([frame for frame in read if isinstance(frame, Frame)])
    good = sorted((frame for frame in usable if selection.wanted(frame, objects)), key=_order)
    needs = {(frame.filter, frame.exposure_s) for frame in usable if frame.type is FrameType.LIGHT}
    rejected = (*(frame for frame in read if isinstance(frame, Rejected)), *repeated)
    log.info("%s %s: %d frames, %d rejected", unit, night, len(good), len(rejected))
    return Inventory(
        night=night,
        unit=unit,
        folder=folder,
        frames=tuple(good),
        rejected=rejected,
        needs=tuple(sorted(needs)),
        camera=camera.camera,
    )


def join(inventories: Sequence[Inventory]) -> tuple[Inventory, ...]:
    """Join inventories of one unit: a survey and a target of opportunity share their calibration frames."""
    units: dict[str, list[Inventory]] = {}
    for inventory in inventories:
        units.setdefault(inventory.unit, []).append(inventory)
    return tuple(_joined(group) for group in units.values())


def _joined(group: Sequence[Inventory]) -> Inventory:
    frames, repeated = _once([frame for inventory in group for frame in inventory.frames])
    rejected = (*(rejection for inventory in group for rejection in inventory.rejected), *repeated)
    needs = tuple(sorted({need for inventory in group for need in inventory.needs}))
    return replace(group[0], frames=tuple(sorted(frames, key=_order)), rejected=rejected, needs=needs)


def _once(frames: Sequence[Frame]) -> tuple[list[Frame], tuple[Rejected, ...]]:
    """Keep each exposure of a unit once: one file may lie there under two names, or with another comment or packing.

    An exposure is its start, its length and its pixels. Two frames of one second may have the same start: only then are
    their pixels compared.
    """
    kept: list[Frame] = []
    repeated: list[Rejected] = []
    groups: dict[tuple[FrameType, datetime, float], list[Frame]] = {}
    for frame in sorted(frames, key=_order):
        groups.setdefault((frame.type, frame.date_obs, frame.exposure_s), []).append(frame)
    for group in groups.values():
        first: dict[str, Frame] = {}
        for frame in group:
            pixels = _pixel_hash(frame) if len(group) > 1 else ""
            same = first.setdefault(pixels, frame)
            if same is frame:
                kept.append(frame)
                continue
            reason = f"{frame.path.name} is the same exposure as {same.path.name}: the same start and the same pixels"
            repeated.append(Rejected(name=frame.path.name, stage=Stage.CALIBRATE.value, reason=reason, unit=frame.unit))
    return kept, tuple(repeated)


def _pixel_hash(frame: Frame) -> str:
    return hashlib.sha256(np.ascontiguousarray(fits_images.open_image(frame.path).rows()).data).hexdigest()


def _check_filters(options: CalibrateOptions, telescope: Telescope) -> None:
    """Refuse filters that the telescope lacks: a misspelt one would silently leave fringes in."""
    filters = telescope.filter_names
    if filters and (strange := set(options.defringe) - filters):
        raise UnusableData(
            f"defringe names {', '.join(sorted(strange))}, which {telescope.name} does not have: its filters are "
            f"{', '.join(sorted(filters))}"
        )


def _order(frame: Frame) -> tuple[int, datetime, str]:
    return ORDER.index(frame.type), frame.date_obs, frame.path.name


def _images(folder: Path) -> list[Path]:
    """List the visible image files of a folder by name."""
    if not folder.is_dir():
        raise UnusableData(f"{folder} is not a folder (expected the night folder of one unit)")
    try:
        names = sorted(path for path in (*folder.iterdir(), *_in_type_folders(folder)) if not path.name.startswith("."))
    except OSError as error:
        raise UnusableData(f"{folder} cannot be read: {error}") from error
    images = [path for path in names if naming.is_raw(path.name) or path.name.lower().endswith(FOREIGN)]
    if not images:
        raise UnusableData(f"{folder} holds no FITS image (expected files ending in {', '.join(naming.RAW_ENDINGS)})")
    return images


def _in_type_folders(folder: Path) -> list[Path]:
    """List what lies in folders named after a frame type, such as bias or flats."""
    inner = (path for path in folder.iterdir() if path.is_dir() and raw_headers.is_type_folder(path.name))
    return [path for each in inner for path in each.iterdir()]


def _read(path: Path, unit: str, options: CalibrateOptions, telescope: Telescope) -> Frame | Rejected:
    try:
        return _frame(path, unit, options, telescope)
    except UnusableData as error:
        return Rejected(name=path.name, stage=Stage.CALIBRATE.value, reason=str(error), unit=unit)


def _frame(path: Path, unit: str, options: CalibrateOptions, telescope: Telescope) -> Frame:
    if path.name.lower().endswith(FOREIGN):
        raise UnusableData(f"{path.name} has a compression that is not read (allowed: {', '.join(naming.RAW_ENDINGS)})")
    if not path.is_file():
        raise UnusableData(f"{path.name} is not a file")
    stored = overscan.open_raw(path, overscan=options.overscan, trim=options.trim)
    header, changes = raw_headers.normalise(
        stored.header,
        name=path.name,
        unit=unit,
        table=options.header_table,
        rules=telescope.camera.header,
        folder=path.parent.name,
    )
    frame = raw_headers.parse(header, path=path, unit=unit, shape=stored.shape, changes=changes)
    raw_headers.check_filter(frame, telescope.filter_names)
    return raw_headers.compared(frame, header, telescope.camera)
