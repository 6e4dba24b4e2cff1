"""Sets of raw frames that are combined: opened once, read in bands of rows."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from tasks.errors import UnusableData
from tasks.io.fits import fits_images as images
from tasks.io.fits import overscan as sections
from tasks.records import Frame


@dataclass(frozen=True, kw_only=True)
class RawSet:
    """Raw frames with open files and samples of their pixels, in the same order."""

    frames: tuple[Frame, ...]
    stored: tuple[images.ImageFile, ...]
    samples: tuple[images.Image, ...]

    @functools.cached_property
    def levels_adu(self) -> list[float]:
        """Return the median of each frame's sample."""
        return [float(np.median(sample)) for sample in self.samples]

    def only(self, kept: Iterable[Frame]) -> RawSet:
        """Return the set restricted to some frames."""
        wanted = set(kept)
        chosen = [index for index, frame in enumerate(self.frames) if frame in wanted]
        return RawSet(
            frames=tuple(self.frames[index] for index in chosen),
            stored=tuple(self.stored[index] for index in chosen),
            samples=tuple(self.samples[index] for index in chosen),
        )


def open_set(chosen: Sequence[Frame], *, overscan: bool = False, trim: bool = False) -> tuple[RawSet, dict[Frame, str]]:
    """Open frames and sample their pixels; return the set, and the reasons why others cannot be read.

    ``overscan`` and ``trim`` are those of ``sections.open_raw``.
    """
    good: list[Frame] = []
    stored: list[images.ImageFile] = []
    samples: list[images.Image] = []
    unreadable: dict[Frame, str] = {}
    for frame in chosen:
        try:
            handle = sections.open_raw(frame.path, overscan=overscan, trim=trim)
            sample = handle.sample()
        except UnusableData as error:
            unreadable[frame] = str(error)
            continue
        good.append(frame)
        stored.append(handle)
        samples.append(sample)
    return RawSet(frames=tuple(good), stored=tuple(stored), samples=tuple(samples)), unreadable


def bands(stored: Sequence[images.ImageFile], *, step: int) -> Iterator[tuple[slice, images.Image]]:
    """Yield ``step`` rows of all frames at a time as a stack (n, step, nx); the next ones are read in the background."""
    ny = stored[0].shape[0]
    pieces = [slice(start, min(start + step, ny)) for start in range(0, ny, step)]
    with ThreadPoolExecutor(1) as reader:
        next_band = reader.submit(_band, stored, pieces[0])
        for rows, following in zip(pieces, [*pieces[1:], None], strict=True):
            stack = next_band.result()
            if following is not None:
                next_band = reader.submit(_band, stored, following)
            yield rows, stack


def _band(stored: Sequence[images.ImageFile], rows: slice) -> images.Image:
    return np.stack([each.rows(rows.start, rows.stop) for each in stored])
