"""Master frames as files: their planes, and the archive of a unit's accepted masters by kind and date.

The archive is a tree of plain files: ``zero/<date>-zero.fits``, ``dark/<exposure>-<date>-dark.fits``,
``flat/<date>-n<filter>.fits``, with variance and (flats) mask beside them. All masters in it have passed their tests.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from tasks.errors import UnusableData
from tasks.io.fits import fits_images
from tasks.io.fits.fits_images import Header, Image

log = logging.getLogger(__name__)

ZERO = re.compile(r"(?P<day>\d{8})-zero\.fits")
DARK = re.compile(r"(?P<exposure>\d+(?:\.\d+)?)-(?P<day>\d{8})-dark\.fits")


@dataclass(frozen=True, kw_only=True)
class Archived:
    """A master in the archive: its file, its night, and (darks) its exposure time."""

    path: Path
    night: date
    exposure_s: float = 0.0


def read_planes(path: Path, variance: Path) -> tuple[Image, Image]:
    """Return a master's image and its variance."""
    return fits_images.read_image(path)[0], fits_images.read_image(variance)[0]


def archived(folder: Path, kind: str, label: str = "") -> tuple[Archived, ...]:
    """Return the masters of a kind in its archive folder, by name: all biases or darks, or the flats of one filter.

    Parameters
    ----------
    folder
        Of the archive.
    kind
        ``bias``, ``dark`` or ``flat``.
    label
        Of flats their filter, exactly: ``m425`` is not ``m425w``.
    """
    flat = re.compile(rf"(?P<day>\d{{8}})-n{re.escape(label)}\.fits")
    return _listed(folder, {"bias": ZERO, "dark": DARK, "flat": flat}[kind])


def header_of(path: Path, *, shape: tuple[int, int] | None, gain_setting: int | None) -> Header | None:
    """Return an archived master's cards; None if it has another shape or gain setting or cannot be read (logged)."""
    try:
        stored = fits_images.open_image(path)
    except UnusableData as error:
        log.warning("the archived master %s is left out: %s", path, error)
        return None
    setting = stored.header.get("GAIN")
    if shape is not None and stored.shape != shape:
        return None
    other = gain_setting is not None and isinstance(setting, int) and setting != gain_setting
    return None if other else stored.header


def place(source: Path, temporary: Path) -> None:
    """Give a finished file a second name: a hard link if the file system supports it, else a copy."""
    try:
        os.link(source, temporary)
    except OSError:
        shutil.copyfile(source, temporary)


def _listed(folder: Path, pattern: re.Pattern[str]) -> tuple[Archived, ...]:
    masters = []
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if (match := pattern.fullmatch(path.name)) is None:
            continue
        try:
            night = datetime.strptime(match["day"], "%Y%m%d").date()  # noqa: DTZ007 - a date has no zone
        except ValueError:
            continue
        exposure = match.groupdict().get("exposure")
        masters.append(Archived(path=path, night=night, exposure_s=float(exposure) if exposure else 0.0))
    return tuple(masters)
