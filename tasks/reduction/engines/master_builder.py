"""Builder of masters: opens raw frames, combines them in bands of rows on the device, judges, writes or borrows.

Bands of rows bound the memory for any number of frames. ``tasks/science/masters/kinds`` holds the differences between
bias, dark and flat.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from tasks import naming, products
from tasks.errors import Unavailable, UnusableData
from tasks.io.fits import fits_images, master_files, raw_frames
from tasks.io.fits.master_files import Archived
from tasks.io.fits.raw_frames import RawSet
from tasks.options import CalibrateOptions
from tasks.records import Frame, FrameType, Inventory, MasterQuality, Masters, Rejected
from tasks.reduction.engines.master_archive import MasterArchive
from tasks.science import arrays
from tasks.science.calibration import correction, lights
from tasks.science.calibration.correction import Master
from tasks.science.headers import provenance
from tasks.science.images import combining
from tasks.science.masters import quality as inspection
from tasks.science.masters import selection
from tasks.science.masters.kinds import Bias, Dark, Detector, Flat, MasterCombination, MasterKind
from tasks.science.masters.quality import Quality

log = logging.getLogger(__name__)

BAD_PIXELS_NAME = "bad-pixels.fits"
SHORTEST_DARK_S = 1.0
"""Exposure time of the dark that is assumed for a night without darks and lights."""

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
        self.options = selection.for_camera(options, inventory.camera)
        self.unit = inventory.unit
        gain, camera = selection.gain(inventory.frames), inventory.camera
        self.detector = Detector(
            gain=gain,
            read_adu=(camera.read_noise_e or 0.0) / gain,
            bias_adu=camera.bias_adu or 0.0,
            saturation_adu=selection.saturation_adu(options, camera),
        )
        self.temperature_c = selection.temperature_c(inventory.frames)
        self.nominal_s = selection.nominal_exposures([frame.exposure_s for frame in inventory.frames])
        self.other_temperature: tuple[Frame, ...] = ()
        self.rejected: list[Rejected] = []
        self.quality: list[MasterQuality] = []
        self.began = time.monotonic()

    def make(self) -> Masters:
        """Make bias, darks, flats and the map of bad pixels, in this order: each needs the ones before it."""
        needs, range_c = self.inventory.needs, self.options.temperature_range_c
        # darks whose exposure times differ by the shutter's scatter are one set
        own = tuple(replace(frame, exposure_s=self.nominal_s[frame.exposure_s]) for frame in self.inventory.frames)
        self.other_temperature = selection.of_other_temperature(own, temperature_range_c=range_c)
        frames = self._keep(selection.comparable(own, temperature_range_c=range_c))
        [bias_path] = self._build(Bias(level_adu=self._bias_level_adu()), frames, wanted={""}).values()
        bias = _read_master(bias_path)
        dark_kind = Dark(bias=bias, bias_name=bias_path.name)
        exposures = {self.nominal_s.get(exposure_s, exposure_s) for _, exposure_s in needs}
        darks = self._build(dark_kind, frames, wanted=exposures or {SHORTEST_DARK_S})
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
            camera=self.inventory.camera,
        )

    def _build(self, kind: MasterKind, frames: Sequence[Frame], *, wanted: Collection[Any]) -> dict[Any, Path]:
        """Make the masters of one kind by group; wanted ones that could not be made are replaced, see ``_replaced``."""
        masters: dict[Any, Path] = {}
        few: dict[Any, RawSet] = {}
        own = [frame for frame in frames if frame.type is kind.frames]
        for group, members in selection.grouped(own, kind.group):
            raw = self._usable(kind, group, members)
            if len(raw.frames) < kind.fewest(self.options):
                few[group] = raw
            elif (path := self._combined(kind, group, raw)) is not None:
                masters[group] = path
        masters |= self._replaced(kind, sorted(set(wanted) - set(masters)), few, own=masters)
        for group, raw in few.items():
            minimum = kind.fewest(self.options)
            self._keep(selection.enough(raw.frames, minimum=minimum, kind=kind.words(group)))
        return masters

    def _replaced(
        self, kind: MasterKind, groups: Sequence[Any], few: dict[Any, RawSet], *, own: Mapping[Any, Path]
    ) -> dict[Any, Path]:
        """Return replacements of missing masters, each with its doubt; rather a doubtful light than none.

        In turn: a recent master of another night; one of too few frames; where tonight has no dark that could be scaled,
        an older master of another night, one of frames of another temperature, and what is assumed without any frame.
        Sets in ``few`` that are used are taken out of it.
        """
        found: dict[Any, Path] = {}
        for group in groups:
            archived = self.archive.best(kind, group)
            if archived is not None and self.archive.fresh(kind, archived):
                found[group] = self._borrow_archived(kind, group, archived)
            elif (path := self._of_few(kind, group, few)) is not None:
                found[group] = path
        for group in groups:
            if group not in found and not (kind.scaled and (own or found)):
                found |= self._last_resort(kind, group, few)
        return found

    def _last_resort(self, kind: MasterKind, group: Any, few: dict[Any, RawSet]) -> dict[Any, Path]:
        archived = self.archive.best(kind, group, exact=not kind.scaled)
        if archived is not None:
            there = archived.exposure_s if kind.scaled else group
            return {there: self._borrow_archived(kind, there, archived)}
        if kind.scaled and few:
            other = lights.nearest_exposure(list(few), group)
            if (path := self._of_few(kind, other, few)) is not None:
                return {other: path}
        others = [frame for frame in self.other_temperature if frame.type is kind.frames]
        sets = dict(selection.grouped(others, kind.group))
        there = lights.nearest_exposure(list(sets), group) if kind.scaled and sets else group
        if (path := self._of_other_temperature(kind, there, sets.get(there, []))) is not None:
            return {there: path}
        return {group: self._assumed(kind, group)}

    def _of_other_temperature(self, kind: MasterKind, group: Any, members: Sequence[Frame]) -> Path | None:
        """Combine frames that were left out for their temperature; each then has another reason, or is used."""
        if not members:
            return None
        names = {frame.path.name for frame in members}
        self.rejected = [each for each in self.rejected if each.name not in names]
        raw = self._usable(kind, group, members)
        return self._combined(kind, group, raw) if raw.frames else None

    def _of_few(self, kind: MasterKind, group: Any, few: dict[Any, RawSet]) -> Path | None:
        """Combine the frames of a group that are too few for a good master, if there are any."""
        raw = few.get(group)
        if raw is None or not raw.frames:
            return None
        return self._combined(kind, group, few.pop(group))

    def _usable(self, kind: MasterKind, group: Any, members: Sequence[Frame]) -> RawSet:
        """Open the raw frames of a master and reject deviating ones."""
        raw, unreadable = raw_frames.open_set(members, overscan=self.options.overscan, trim=self.options.trim)
        self.rejected.extend(selection.reject(frame, reason) for frame, reason in unreadable.items())
        return raw.only(self._keep(kind.select(raw.frames, raw.levels_adu, group, self.detector, self.options)))

    def _combined(self, kind: MasterKind, group: Any, raw: RawSet) -> Path | None:
        """Combine, judge and write a master; None with its frames rejected if nothing usable comes out.

        Few frames get the expected variance, since their scatter is too uncertain.
        """
        try:
            if isinstance(kind, Bias):
                self.detector = self.detector.measured(raw.samples, raw.levels_adu)
            planes = (stored.rows() for stored in raw.stored)
            combination = kind.combination(raw.frames, planes, self.detector)
            combined = self._combine(raw, combination)
            if len(raw.frames) < kind.fewest(self.options):
                expected = combination.noise.variance(combined.image) / len(raw.frames)
                combined = Master(image=combined.image, variance=expected.astype(combined.image.dtype))
            master, cards = kind.finish(combined)
        except UnusableData as error:
            self.rejected.extend(selection.reject(frame, str(error)) for frame in raw.frames)
            return None
        doubts, factor = self._doubts(kind, raw)
        if factor != 1:
            master, cards = correction.scaled(master, factor), {**cards, "DARKTEMP": factor}
        built = BuiltMaster(kind=kind, group=group, master=master, raw=raw, cards=cards)
        return self._settle(built, self.archive.best(kind, group), Quality(faults=doubts))

    def _doubts(self, kind: MasterKind, raw: RawSet) -> tuple[tuple[str, ...], float]:
        """Return what is wrong with a set of frames, and the factor for the dark current of their temperature."""
        number, minimum = len(raw.frames), kind.fewest(self.options)
        doubts = [f"of {number} frame{'s' * (number > 1)} (a good one: at least {minimum})"] if number < minimum else []
        if raw.frames[0] not in self.other_temperature:
            return tuple(doubts), 1.0
        there = selection.temperature_c(raw.frames)
        factor = selection.dark_factor(there, self.temperature_c) if kind.scaled else 1.0
        scaled = f", scaled by {factor:.2f}" if kind.scaled else ""
        doubts.append(f"frames at {there:.1f} C for lights at {self.temperature_c:.1f} C{scaled}")
        return tuple(doubts), factor

    def _assumed(self, kind: MasterKind, group: Any) -> Path:
        """Write a master that no frame was there for: a constant, with what that means as its doubt."""
        shape = selection.setting(self.inventory.frames).shape
        level, words = kind.assumed()
        if level is None:
            raise UnusableData(f"no master {kind.name} can be made, so no light can be calibrated ({words})")
        log.warning("%s: %s", self.unit, words)
        image, nothing = np.full(shape, level, np.float32), np.zeros(shape, np.float32)
        raw = RawSet(frames=(), stored=(), samples=())
        built = BuiltMaster(kind=kind, group=group, master=Master(image=image, variance=nothing), raw=raw)
        quality = Quality(faults=(words,))
        return self._note(kind, group, self._write(built, quality), "doubtful", quality)

    def _bias_level_adu(self) -> float | None:
        """Return the level of the bias that is taken without bias frames: the telescope's file, else of the shortest dark."""
        if self.inventory.camera.bias_adu is not None:
            return self.inventory.camera.bias_adu
        darks = sorted(self.inventory.of(FrameType.DARK), key=lambda frame: frame.exposure_s)
        raw, _ = raw_frames.open_set(darks[:1], overscan=self.options.overscan, trim=self.options.trim)
        return raw.levels_adu[0] if raw.frames else None

    def _borrow_archived(self, kind: MasterKind, group: Any, archived: Archived) -> Path:
        if isinstance(kind, Bias):
            stored = fits_images.open_image(archived.path)
            self.detector = self.detector.recorded(stored.header, stored.sample())
        return self._borrow(kind, group, archived)

    def _settle(self, built: BuiltMaster, last: Archived | None, known: Quality = UNJUDGED) -> Path:
        """Judge a new master, compare it with the last good one and write it; return the one to use.

        A faulty master is replaced by the last good one, unless that is too old; a good one is archived.
        """
        kind, group = built.kind, built.group
        quality = known.and_(kind.judge(built.master, self.options))
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
        header = {
            **self._origin(built.raw),
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

    def _origin(self, raw: RawSet) -> Mapping[str, Any]:
        """Return the cards on the frames of a master, or of the camera's setting for an assumed one."""
        if not raw.frames:
            setting = selection.setting(self.inventory.frames)
            known = {} if setting.gain_setting is None else {"GAIN": setting.gain_setting}
            return {"NCOMBINE": 0, "XBINNING": setting.binning, **known}
        headers = [stored.header for stored in raw.stored]
        table, rules = self.options.header_table, self.inventory.camera.header
        return provenance.master_cards(raw.frames, headers, table, rules)


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
