"""Raw frames without their overscan: the row's pedestal subtracted, the image cut to what sees the sky."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tasks.errors import UnusableData
from tasks.io.fits import fits_images
from tasks.io.fits.fits_images import Header, Image, Stored

SECTION = re.compile(r"\[\s*(\d{1,6})\s*:\s*(\d{1,6})\s*,\s*(\d{1,6})\s*:\s*(\d{1,6})\s*\]")
KEYS = ("BIASSEC", "TRIMSEC")


@dataclass(frozen=True, kw_only=True)
class Window:
    """Rows and columns of an image, 0-based, the ends not included."""

    rows: tuple[int, int]
    columns: tuple[int, int]

    @property
    def shape(self) -> tuple[int, int]:
        """Return the shape of what is inside."""
        return self.rows[1] - self.rows[0], self.columns[1] - self.columns[0]

    def inside(self, shape: tuple[int, int]) -> bool:
        """Tell whether an image of this shape has all of it."""
        return self.rows[1] <= shape[0] and self.columns[1] <= shape[1]


@dataclass(frozen=True, kw_only=True)
class Cut(Stored):
    """A stored image of which a window is read, minus the median of each row's overscan where ``overscan`` is set."""

    whole: Stored
    window: Window
    overscan: Window | None = None

    def rows(self, start: int = 0, stop: int | None = None) -> Image:
        """Return rows of the window; float32 where the overscan is subtracted, else as stored."""
        stop = self.shape[0] if stop is None else min(stop, self.shape[0])
        first = self.window.rows[0]
        data = self.whole.rows(first + start, first + stop)
        left, right = self.window.columns
        if self.overscan is None:
            return data[:, left:right]
        strip = data[:, slice(*self.overscan.columns)].astype(np.float32)
        return data[:, left:right].astype(np.float32) - np.median(strip, axis=1, keepdims=True).astype(np.float32)


def open_raw(path: Path, *, overscan: bool = False, trim: bool = False) -> Stored:
    """Open a raw frame; subtract its overscan and trim it where asked and where it still has one.

    A frame is taken for trimmed already where the sky's section reaches beyond its edge or is all of it.

    Raises
    ------
    UnusableData
        See ``frames.open_image``; also for a section that is no section.
    """
    stored = fits_images.open_image(path)
    if not overscan and not trim:
        return stored
    sky, bias = (_section(stored.header, key, path.name) for key in ("TRIMSEC", "BIASSEC"))
    untrimmed = sky is None or (sky.inside(stored.shape) and sky.shape != stored.shape)
    strip = bias if overscan and untrimmed and bias is not None and bias.inside(stored.shape) else None
    everything = Window(rows=(0, stored.shape[0]), columns=(0, stored.shape[1]))
    window = sky if trim and untrimmed and sky is not None else everything
    if strip is None and window == everything:
        return stored
    left_out = KEYS if window != everything else KEYS[:1]
    return Cut(
        path=path,
        header={key: value for key, value in stored.header.items() if key not in left_out},
        shape=window.shape,
        bitpix=stored.bitpix,
        offset=stored.offset,
        whole=stored,
        window=window,
        overscan=strip,
    )


def _section(header: Header, key: str, name: str) -> Window | None:
    text = str(header.get(key, "")).strip()
    if not text:
        return None
    match = SECTION.fullmatch(text)
    x0, x1, y0, y1 = (int(number) for number in match.groups()) if match else (0, 0, 0, 0)
    if not (1 <= x0 <= x1 and 1 <= y0 <= y1):
        raise UnusableData(f"{name} has {key} {text!r} (allowed: [x1:x2,y1:y2], counted from 1)")
    return Window(rows=(y0 - 1, y1), columns=(x0 - 1, x1))
