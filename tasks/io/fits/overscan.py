"""Overscan correction and trimming of raw frames while they are read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tasks.errors import UnusableData
from tasks.io.fits import fits_images
from tasks.io.fits.fits_images import Header, Image, ImageFile

SECTION = re.compile(r"\[\s*(\d{1,6})\s*:\s*(\d{1,6})\s*,\s*(\d{1,6})\s*:\s*(\d{1,6})\s*\]")
KEYS = ("BIASSEC", "TRIMSEC")


@dataclass(frozen=True, kw_only=True)
class ImageSection:
    """Rows and columns of an image section, 0-based, ends excluded."""

    rows: tuple[int, int]
    columns: tuple[int, int]

    @property
    def shape(self) -> tuple[int, int]:
        """Return the shape of the section, (ny, nx)."""
        return self.rows[1] - self.rows[0], self.columns[1] - self.columns[0]

    def inside(self, shape: tuple[int, int]) -> bool:
        """Return whether the section lies inside an image of this shape."""
        return self.rows[1] <= shape[0] and self.columns[1] <= shape[1]


@dataclass(frozen=True, kw_only=True)
class TrimmedImageFile(ImageFile):
    """An image file of which a section is read, minus the median of each row's overscan if ``overscan`` is set."""

    whole: ImageFile
    window: ImageSection
    overscan: ImageSection | None = None

    def rows(self, start: int = 0, stop: int | None = None) -> Image:
        """Return rows of the section; float32 if the overscan is subtracted, else as stored."""
        stop = self.shape[0] if stop is None else min(stop, self.shape[0])
        first = self.window.rows[0]
        data = self.whole.rows(first + start, first + stop)
        left, right = self.window.columns
        if self.overscan is None:
            return data[:, left:right]
        strip = data[:, slice(*self.overscan.columns)].astype(np.float32)
        return data[:, left:right].astype(np.float32) - np.median(strip, axis=1, keepdims=True).astype(np.float32)


def open_raw(path: Path, *, overscan: bool = False, trim: bool = False) -> ImageFile:
    """Open a raw frame; subtract its overscan and trim it if requested and not done before.

    A frame counts as trimmed if TRIMSEC reaches beyond its edge or covers it completely.

    Raises
    ------
    UnusableData
        See ``fits_images.open_image``; also for a malformed section.
    """
    stored = fits_images.open_image(path)
    if not overscan and not trim:
        return stored
    sky, bias = (_section(stored.header, key, path.name) for key in ("TRIMSEC", "BIASSEC"))
    untrimmed = sky is None or (sky.inside(stored.shape) and sky.shape != stored.shape)
    strip = bias if overscan and untrimmed and bias is not None and bias.inside(stored.shape) else None
    everything = ImageSection(rows=(0, stored.shape[0]), columns=(0, stored.shape[1]))
    window = sky if trim and untrimmed and sky is not None else everything
    if strip is None and window == everything:
        return stored
    left_out = KEYS if window != everything else KEYS[:1]
    return TrimmedImageFile(
        path=path,
        header={key: value for key, value in stored.header.items() if key not in left_out},
        shape=window.shape,
        bitpix=stored.bitpix,
        offset=stored.offset,
        whole=stored,
        window=window,
        overscan=strip,
    )


def _section(header: Header, key: str, name: str) -> ImageSection | None:
    text = str(header.get(key, "")).strip()
    if not text:
        return None
    match = SECTION.fullmatch(text)
    x0, x1, y0, y1 = (int(number) for number in match.groups()) if match else (0, 0, 0, 0)
    if not (1 <= x0 <= x1 and 1 <= y0 <= y1):
        raise UnusableData(f"{name} has {key} {text!r} (allowed: [x1:x2,y1:y2], counted from 1)")
    return ImageSection(rows=(y0 - 1, y1), columns=(x0 - 1, x1))
