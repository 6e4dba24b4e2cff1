"""Builder of masters: opens raw frames, combines them in bands of rows on the device, judges, writes or borrows.

Bands of rows bound the memory for any number of frames. ``tasks/science/masters/kinds`` holds the differences between
bias, dark and flat.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tasks import naming, products
from tasks.errors import Unavailable, UnusableData
from tasks.io.fits import fits_images, master_files, raw_frames
from tasks.io.fits.master_files import Archived
from tasks.io.fits.raw_frames import RawSet
from tasks.options import CalibrateOptions
from tasks.records import Frame, Inventory, MasterQuality, Masters, Rejected
from tasks.reduction.engines.master_archive import MasterArchive
from tasks.science import arrays
from tasks.science.calibration import correction
from tasks.science.calibration.correction import Master
from tasks.science.headers import provenance
from tasks.science.images import combining
from tasks.science.masters import quality as inspection
from tasks.science.masters import selection
from tasks.science.masters.kinds import Bias, Dark, Detector, Flat, MasterCombination, MasterKind
from tasks.science.masters.quality import Quality

log = logging.getLogger(__name__)

BAD_PIXELS_NAME = "bad-pixels.fits"
UNJUDGED = Quality()


@dataclass(frozen=True, kw_only=True, eq=False)
class BuiltMaster:
    """A newly combined master: kind, group and raw frames."""

    kind: MasterKind
    group: Any
    master: Master
    raw: RawSet
    cards: Mapping[str, Any] = field(default_factory=dict)


class MasterBuilder:
    """Builds one unit's masters; collects the rejected frames and the detector's figures."""

    def __init__(
        self, *, folder: Path, archive: MasterArchive, inventory: Inventory, options: CalibrateOptions
    ) -> None:
        self.folder = folder
        self.archive = archive
        self.inventory = inventory
        self.options = options
        self.unit = inventory.unit
        self.detector = Detector(gain=selection.gain(inventory.frames))
        self.rejected: list[Rejected] = []
        self.quality: list[MasterQuality] = []
        self.began = time.monotonic()

    def make(self) -> Masters:
        """Make bias, darks, flats and the map of bad pixels, in this order: each needs the ones before it."""
        needs, range_c = self.inventory.needs, self.options.temperature_range_c
        frames = self._keep(selection.comparable(self.inventory.frames, temperature_range_c=range_c))
        [bias_path] = self._build(Bias(), frames, wanted={""}).values()
        bias = _read_master(bias_path)
        dark_kind = Dark(bias=bias, bias_name=bias_path.name)
        darks = self._build(dark_kind, frames, wanted={exposure_s for _, exposure_s in needs})
        dark_s = min(darks)
        flat_kind = Flat(
            bias=bias,
            bias_name=bias_path.name,
            dark=_read_master(darks[dark_s]),
            dark_name=darks[dark_s].name,
            dark_s=dark_s,
        )
        flats = self._build(flat_kind, frames, wanted={filter_ for filter_, _ in needs})
        bad = self.folder / BAD_PIXELS_NAME
        longest = _read_master(darks[max(darks)])
        _write_map(bad, correction.bad_pixels(bias, longest, limit=self.options.bad_sigma), unit=self.unit)
        return Masters(
            unit=self.unit,
            bias=bias_path,
            darks=darks,
            flats=flats,
            bad_pixels=bad,
            rejected=tuple(self.rejected),
            quality=tuple(self.quality),
        )

    def _build(self, kind: MasterKind, frames: Sequence[Frame], *, wanted: Collection[Any]) -> dict[Any, Path]:
        """Make the masters of one kind by group; borrow wanted ones that could not be made."""
        masters: dict[Any, Path] = {}
        own = [frame for frame in frames if frame.type is kind.frames]
        for group, members in selection.grouped(own, kind.group):
            raw = self._usable(kind, group, members)
            try:
                if raw.frames:
                    masters[group] = self._combined(kind, group, raw)
            except UnusableData as error:
                if kind.needed:
                    raise
                self.rejected.extend(selection.reject(frame, str(error)) for frame in raw.frames)
        masters |= self._borrowed(kind, sorted(set(wanted) - set(masters)), own=masters)
        if kind.needed and not masters:
            reasons = "; ".join(f"{frame.name}: {frame.reason}" for frame in self.rejected[:5])
            raise UnusableData(
                f"no master {kind.name} can be made, so no light can be calibrated "
                f"({reasons or 'the night has no such frames'})"
            )
        return masters

    def _usable(self, kind: MasterKind, group: Any, members: Sequence[Frame]) -> RawSet:
        """Open the raw frames of a master and reject deviating ones; reject all if too few are left."""
        raw, unreadable = raw_frames.open_set(members, overscan=self.options.overscan, trim=self.options.trim)
        self.rejected.extend(selection.reject(frame, reason) for frame, reason in unreadable.items())
        raw = raw.only(self._keep(kind.select(raw.frames, raw.levels_adu, group, self.detector, self.options)))
        minimum = kind.fewest(self.options)
        return raw.only(self._keep(selection.enough(raw.frames, minimum=minimum, kind=kind.words(group))))

    def _combined(self, kind: MasterKind, group: Any, raw: RawSet) -> Path:
        if isinstance(kind, Bias):
            self.detector = self.detector.measured(raw.samples, raw.levels_adu)
        planes = (stored.rows() for stored in raw.stored)
        combined = self._combine(raw, kind.combination(raw.frames, planes, self.detector))
        master, cards = kind.finish(combined)
        built = BuiltMaster(kind=kind, group=group, master=master, raw=raw, cards=cards)
        return self._settle(built, self.archive.best(kind, group))

    def _borrowed(self, kind: MasterKind, groups: Sequence[Any], *, own: Mapping[Any, Path]) -> dict[Any, Path]:
        """Borrow masters; from another group only if it can be scaled and tonight has none."""
        masters: dict[Any, Path] = {}
        for group in groups:
            archived = self.archive.best(kind, group, exact=bool(own) or not kind.scaled)
            if archived is None or (kind.scaled and own and not self.archive.fresh(kind, archived)):
                continue
            group_there = archived.exposure_s if kind.scaled else group
            if group_there not in masters:
                if isinstance(kind, Bias):
                    stored = fits_images.open_image(archived.path)
                    self.detector = self.detector.recorded(stored.header, stored.sample())
                masters[group_there] = self._borrow(kind, group_there, archived)
        return masters

    def _settle(self, built: BuiltMaster, last: Archived | None) -> Path:
        """Judge a new master, compare it with the last good one and write it; return the one to use.

        A faulty master is replaced by the last good one, unless that is too old; a good one is archived.
        """
        kind, group = built.kind, built.group
        quality = kind.judge(built.master, self.options)
        fresh = self.archive.fresh(kind, last)
        if fresh and last is not None:
            earlier = _read_master(last.path)
            quality = quality.and_(inspection.compare(built.master, earlier, kind=kind.name, name=last.path.name))
        path = self._write(built, quality)
        if not quality.faults:
            self.archive.keep(kind, group, path)
            return self._note(kind, group, path, "made", quality)
        log.warning("%s %s: %s", self.unit, path.name, "; ".join(quality.faults))
        if fresh and last is not None:
            return self._borrow(kind, group, last, quality)
        return self._note(kind, group, path, "doubtful", quality)

    def _borrow(self, kind: MasterKind, group: Any, archived: Archived, quality: Quality = UNJUDGED) -> Path:
        age_days = self.archive.age(archived)
        log.info("%s: %s borrowed, %d days old", self.unit, archived.path.name, age_days)
        return self._note(kind, group, archived.path, "borrowed", quality, age_days=float(age_days))

    def _note(
        self, kind: MasterKind, group: Any, path: Path, status: str, quality: Quality, *, age_days: float = 0.0
    ) -> Path:
        before, self.began = self.began, time.monotonic()
        self.quality.append(
            MasterQuality(
                seconds=round(self.began - before, 3),
                unit=self.unit,
                kind=kind.name,
                label=kind.label(group),
                file=path,
                status=status,
                age_days=age_days,
                figures={key: round(value, 4) for key, value in quality.figures.items()},
                faults=quality.faults,
            )
        )
        return path

    def _keep(self, selected: selection.MasterSelection) -> tuple[Frame, ...]:
        self.rejected.extend(selected.rejected)
        return selected.kept

    def _combine(self, raw: RawSet, combination: MasterCombination) -> Master:
        """Combine in bands of rows: half as many if the device's memory is full, on the CPU if that does not help."""
        number, shape = len(raw.stored), raw.stored[0].shape
        for xp, rows in combining.attempts(number, shape, arrays.device()):
            try:
                return self._combine_on(xp, raw, combination, rows)
            except arrays.out_of_memory():
                log.warning("the device is full: %d frames do not fit in bands of %d rows", number, rows)
                arrays.release()
        raise Unavailable(f"{number} frames cannot be combined: this machine has no memory left")

    def _combine_on(self, xp: Any, raw: RawSet, combination: MasterCombination, rows: int) -> Master:
        image, variance = combining.combine_bands(
            raw_frames.bands(raw.stored, step=rows),
            raw.stored[0].shape,
            xp,
            mode=self.options.combine,
            noise=combination.noise,
            clip_sigma=self.options.clip_sigma,
            prepare=combination.prepare,
        )
        return Master(image=image, variance=variance)

    def _write(self, built: BuiltMaster, quality: Quality) -> Path:
        path, detector = self.folder / built.kind.file_name(built.group), self.detector
        raw = [stored.header for stored in built.raw.stored]
        header = {
            **provenance.master_cards(built.raw.frames, raw, self.options.header_table),
            "BUNIT": "adu",
            "EGAIN": detector.gain,
            "RDNOISE": detector.read_adu * detector.gain,
            **built.cards,
            **quality.figures,
            **provenance.qa_cards(int(bool(quality.faults)), quality.faults),
        }
        for place, plane in ((path, built.master.image), (naming.variance_of(path), built.master.variance)):
            with products.staged(place) as temporary:
                fits_images.write_image(temporary, plane, header)
        if (bad := built.kind.bad_pixels(built.master, self.options)) is not None:
            _write_map(naming.mask_of(path), bad, unit=self.unit)
        return path


def files(masters: Masters, folder: Path) -> list[Path]:
    """Return the files made for this night: first the bad-pixel map, always made, then the masters not borrowed."""
    combined = [masters.bias, *masters.darks.values(), *masters.flats.values()]
    own = [path for path in combined if path.parent == folder]
    maps = [naming.mask_of(flat) for flat in masters.flats.values() if flat.parent == folder]
    return [masters.bad_pixels, *own, *map(naming.variance_of, own), *maps]


def _write_map(path: Path, bits: Any, *, unit: str) -> None:
    with products.staged(path) as temporary:
        fits_images.write_image(temporary, arrays.to_host(bits), {"OBS": unit, "NHOTPIX": int((bits != 0).sum())})


def _read_master(path: Path) -> Master:
    image, variance = master_files.read_planes(path, naming.variance_of(path))
    return Master(image=image, variance=variance)
