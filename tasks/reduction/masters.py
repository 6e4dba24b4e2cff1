"""Master frames of one unit's night: bias, darks, flats, and the map of bad pixels.

Frames are combined in bands of rows on the device, so that memory is bounded whatever their number. Making masters
again is a lookup.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks import naming, products
from tasks.errors import Unavailable, UnusableData
from tasks.io.fits import fits_images as images
from tasks.io.fits import master_files, raw_frames
from tasks.io.fits.master_files import Archived
from tasks.io.fits.raw_frames import RawSet
from tasks.options import CalibrateOptions
from tasks.records import Frame, FrameType, Inventory, MasterQuality, Masters, Rejected
from tasks.reduction.master_archive import UNKNOWN, Made, Shelf
from tasks.science import arrays
from tasks.science.calibration import correction
from tasks.science.calibration.correction import Master
from tasks.science.headers import provenance
from tasks.science.images import combining
from tasks.science.masters import flats, selection
from tasks.science.masters import quality as inspection
from tasks.science.masters.quality import Quality

log = logging.getLogger(__name__)

BIAS_NAME = "zero.fits"
TOOLS = {"numpy": np.__version__}
BAD_PIXELS_NAME = "bad-pixels.fits"


@task(task_run_name="masters-{inventory.unit}-{inventory.night}", tags={"gpu"}, cache_policy=NO_CACHE)
def make_masters(inventory: Inventory, root: Path, options: CalibrateOptions) -> Masters:
    """Combine a unit's bias, dark and flat frames, judge them, borrow what is missing, and map the bad pixels.

    Raises
    ------
    UnusableData
        If there is no master bias or no master dark to be had: no light of the unit can then be calibrated.
    """
    tree = naming.NightTree(root=root)
    folder = tree.masters(inventory.unit, inventory.night)
    inputs = [frame.path for frame in inventory.frames if frame.type is not FrameType.LIGHT]
    recipe = products.Recipe(stage="masters", inputs=inputs, options=(options, inventory.needs), tools=TOOLS)
    if (known := products.recall(recipe, folder / BAD_PIXELS_NAME, Masters)) is not None:
        return known
    masters = _Workshop(folder=folder, shelf=Shelf(tree, inventory, options), options=options).make(inventory)
    products.remember(recipe, _files(masters, folder), masters)
    log.info("%s %s: masters of %d frames", inventory.unit, inventory.night, len(inputs) - len(masters.rejected))
    return masters


class _Workshop:
    """Makes one unit's masters; remembers what it left out and the detector's figures as it goes along."""

    def __init__(self, *, folder: Path, shelf: Shelf, options: CalibrateOptions) -> None:
        self.folder = folder
        self.shelf = shelf
        self.options = options
        self.rejected: list[Rejected] = []
        self.quality: list[MasterQuality] = []
        self.began = time.monotonic()
        self.unit = ""
        self.gain = 1.0
        self.read_adu = 0.0
        self.bias_adu = 0.0

    def make(self, inventory: Inventory) -> Masters:
        """Make bias, darks, flats and the map of bad pixels, in this order."""
        self.unit = inventory.unit
        self.gain = selection.gain(inventory.frames)
        range_c = self.options.temperature_range_c
        usable = self._keep(selection.comparable(inventory.frames, temperature_range_c=range_c))
        filters, exposures_s = {name for name, _ in inventory.needs}, {time_s for _, time_s in inventory.needs}
        bias_path = self._bias([frame for frame in usable if frame.type is FrameType.BIAS])
        bias = _read_master(bias_path)
        darks = self._darks([frame for frame in usable if frame.type is FrameType.DARK], bias, exposures_s)
        flats = self._flats([frame for frame in usable if frame.type is FrameType.FLAT], bias, darks, filters)
        bad = self.folder / BAD_PIXELS_NAME
        longest = _read_master(darks[max(darks)])
        _write_map(bad, correction.bad_pixels(bias, longest, limit=self.options.bad_sigma), unit=inventory.unit)
        return Masters(
            unit=inventory.unit,
            bias=bias_path,
            darks=darks,
            flats=flats,
            bad_pixels=bad,
            rejected=tuple(self.rejected),
            quality=tuple(self.quality),
        )

    def _bias(self, chosen: Sequence[Frame]) -> Path:
        opened = self._open(chosen)
        opened = opened.only(self._keep(selection.level(opened.frames, opened.levels_adu, kind="bias")))
        opened = self._enough(opened, self.options.minimum_bias, "bias")
        if not opened.frames:
            return self._borrowed_bias()
        noises = [correction.pair_noise(*pair) for pair in itertools.pairwise(opened.samples)]
        self.read_adu = float(np.median(noises)) if noises else 0.0
        self.bias_adu = float(np.median(opened.levels_adu))
        master = self._combine(opened, self._noise())
        archived = naming.archived_bias(self.shelf.night)
        made = Made(kind="bias", name=BIAS_NAME, archived=archived, master=master, opened=opened)
        return self._settle(made, self.shelf.bias(), inspection.bias(master, self.options))

    def _borrowed_bias(self) -> Path:
        if (known := self.shelf.bias()) is None:
            raise UnusableData(self._none("master bias"))
        stored = images.open_image(known.path)
        self.read_adu = float(stored.header.get("RDNOISE", 0.0)) / self.gain
        self.bias_adu = float(np.median(stored.sample()))
        return self._borrow("bias", "", known)

    def _darks(self, chosen: Sequence[Frame], bias: Master, wanted_s: set[float]) -> dict[float, Path]:
        ready: dict[float, Path] = {}
        for exposure_s, group in selection.grouped(chosen, lambda frame: frame.exposure_s):
            opened, kind = self._open(group), f"{exposure_s:g} s dark"
            levels = opened.levels_adu
            signal = max(float(np.median(levels)) - self.bias_adu, 0.0) if levels else 0.0
            opened = opened.only(self._keep(selection.level(opened.frames, levels, kind=kind, signal_adu=signal)))
            opened = self._enough(opened, self.options.minimum_darks, kind)
            if opened.frames:
                ready[exposure_s] = self._dark(exposure_s, opened, bias)
        own = bool(ready)
        for exposure_s in sorted(wanted_s - set(ready)):
            known = self.shelf.dark(exposure_s, exact=own)
            if known is not None and (not own or self.shelf.fresh("dark", known)) and known.exposure_s not in ready:
                ready[known.exposure_s] = self._borrow("dark", f"{known.exposure_s:g} s", known)
        if not ready:
            raise UnusableData(self._none("master dark"))
        return ready

    def _dark(self, exposure_s: float, opened: RawSet, bias: Master) -> Path:
        master = correction.subtract(self._combine(opened, self._noise()), bias)
        made = Made(
            kind="dark",
            label=f"{exposure_s:g} s",
            name=f"dark-{naming.exposure_text(exposure_s)}.fits",
            archived=naming.archived_dark(self.shelf.night, exposure_s),
            master=master,
            opened=opened,
            cards={"BIASNAME": self.quality[0].file.name},
        )
        return self._settle(made, self.shelf.dark(exposure_s, exact=True), inspection.dark(master, self.options))

    def _flats(
        self, chosen: Sequence[Frame], bias: Master, darks: Mapping[float, Path], wanted: set[str]
    ) -> dict[str, Path]:
        ready: dict[str, Path] = {}
        dark_s = min(darks)
        dark = _read_master(darks[dark_s])
        for filter_, group in selection.grouped(chosen, lambda frame: frame.filter):
            opened = self._open(group)
            signals = [level - self.bias_adu for level in opened.levels_adu]
            full = self.options.saturation_adu - self.bias_adu
            usable = selection.exposed(opened.frames, signals, saturation_adu=full, parts=self.options.flat_signal)
            opened = opened.only(self._keep(usable))
            opened = self._enough(opened, self.options.minimum_flats, f"{filter_} flat")
            cards = {"BIASNAME": self.quality[0].file.name, "DARKNAME": darks[dark_s].name}
            try:
                if opened.frames:
                    ready[filter_] = self._flat(opened, filter_, bias, (dark, dark_s), cards)
            except UnusableData as error:
                self.rejected.extend(selection.reject(frame, str(error)) for frame in opened.frames)
        for filter_ in sorted(wanted - set(ready)):
            if (known := self.shelf.flat(filter_)) is not None:
                ready[filter_] = self._borrow("flat", filter_, known)
        return ready

    def _flat(
        self, opened: RawSet, filter_: str, bias: Master, dark: tuple[Master, float], cards: Mapping[str, Any]
    ) -> Path:
        scales = [frame.exposure_s / dark[1] for frame in opened.frames]
        levels = [
            flats.level_adu(stored.rows(), bias, dark[0], scale=scale)
            for stored, scale in zip(opened.stored, scales, strict=True)
        ]
        prepare = flats.preparation(bias, dark[0], scales=scales, levels_adu=levels)
        noise = combining.Noise(read_adu=self.read_adu, gain=self.gain, scale_adu=float(np.median(levels)))
        flat, factor = correction.renormalise(self._combine(opened, noise, prepare))
        made = Made(
            kind="flat",
            label=filter_,
            name=f"n{filter_}.fits",
            archived=naming.archived_flat(self.shelf.night, filter_),
            master=flat,
            opened=opened,
            cards={**cards, "FLATFACT": factor, "BUNIT": ""},
        )
        return self._settle(made, self.shelf.flat(filter_), inspection.flat(flat, self.options))

    def _settle(self, made: Made, last: Archived | None, quality: Quality) -> Path:
        """Compare a new master with the last good one and write it; return whichever of them is to be used.

        A master with a fault gives way to the last good one, as long as that is not too old; a good one is archived.
        """
        fresh = self.shelf.fresh(made.kind, last)
        if fresh and last is not None:
            known = _read_master(last.path)
            quality = quality.and_(inspection.compare(made.master, known, kind=made.kind, name=last.path.name))
        path = self._write(made, quality)
        if not quality.faults:
            self.shelf.keep(made, path)
            return self._note(made.kind, made.label, path, "made", quality)
        log.warning("%s %s: %s", self.unit, made.name, "; ".join(quality.faults))
        if fresh and last is not None:
            return self._borrow(made.kind, made.label, last, quality)
        return self._note(made.kind, made.label, path, "doubtful", quality)

    def _borrow(self, kind: str, label: str, known: Archived, quality: Quality = UNKNOWN) -> Path:
        log.info("%s: %s borrowed, %d days old", self.unit, known.path.name, self.shelf.age(known))
        return self._note(kind, label, known.path, "borrowed", quality, age_days=float(self.shelf.age(known)))

    def _note(self, kind: str, label: str, path: Path, status: str, quality: Quality, *, age_days: float = 0.0) -> Path:
        before, self.began = self.began, time.monotonic()
        self.quality.append(
            MasterQuality(
                seconds=round(self.began - before, 3),
                unit=self.unit,
                kind=kind,
                label=label,
                file=path,
                status=status,
                age_days=age_days,
                figures={key: round(value, 4) for key, value in quality.figures.items()},
                faults=quality.faults,
            )
        )
        return path

    def _open(self, chosen: Sequence[Frame]) -> RawSet:
        opened, unreadable = raw_frames.open_set(chosen, overscan=self.options.overscan, trim=self.options.trim)
        self.rejected.extend(selection.reject(frame, reason) for frame, reason in unreadable.items())
        return opened

    def _keep(self, selected: selection.Selection) -> tuple[Frame, ...]:
        self.rejected.extend(selected.rejected)
        return selected.kept

    def _enough(self, opened: RawSet, minimum: int, kind: str) -> RawSet:
        return opened.only(self._keep(selection.enough(opened.frames, minimum=minimum, kind=kind)))

    def _none(self, what: str) -> str:
        reasons = "; ".join(f"{each.name}: {each.reason}" for each in self.rejected[:5])
        return f"no {what} can be made, so no light can be calibrated ({reasons or 'the night has no such frames'})"

    def _noise(self) -> combining.Noise:
        return combining.Noise(read_adu=self.read_adu, gain=self.gain, pedestal_adu=self.bias_adu)

    def _combine(self, opened: RawSet, noise: combining.Noise, prepare: combining.Prepare | None = None) -> Master:
        """Combine in bands of rows: half as many where the device is full, on the CPU where that does not help."""
        number, shape = len(opened.stored), opened.stored[0].shape
        for xp, rows in combining.attempts(number, shape, arrays.device()):
            try:
                return self._combine_on(xp, opened, noise, prepare, rows)
            except arrays.out_of_memory():
                log.warning("the device is full: %d frames do not fit in bands of %d rows", number, rows)
                arrays.release()
        raise Unavailable(f"{number} frames cannot be combined: this machine has no memory left")

    def _combine_on(
        self, xp: Any, opened: RawSet, noise: combining.Noise, prepare: combining.Prepare | None, rows: int
    ) -> Master:
        bands = raw_frames.bands(opened.stored, step=rows)
        options, shape = self.options, opened.stored[0].shape
        image, variance = combining.combine_bands(
            bands, shape, xp, mode=options.combine, noise=noise, clip_sigma=options.clip_sigma, prepare=prepare
        )
        return Master(image=image, variance=variance)

    def _write(self, made: Made, quality: Quality) -> Path:
        path = self.folder / made.name
        figures = {"BUNIT": "adu", "EGAIN": self.gain, "RDNOISE": self.read_adu * self.gain}
        raw = [stored.header for stored in made.opened.stored]
        judged = {**quality.figures, **provenance.qa_cards(int(bool(quality.faults)), quality.faults)}
        header = {
            **provenance.master_cards(made.opened.frames, raw, self.options.header_table),
            **figures,
            **made.cards,
            **judged,
        }
        for place, data in ((path, made.master.image), (naming.variance_of(path), made.master.variance)):
            with products.staged(place) as temporary:
                images.write_image(temporary, data, header)
        if made.kind == "flat":
            _write_map(
                naming.mask_of(path), correction.bad_flat(made.master, limits=self.options.bad_flat), unit=self.unit
            )
        return path


def _files(masters: Masters, folder: Path) -> list[Path]:
    """Return what was made for this night: not what was borrowed, and first the map, which is always made."""
    combined = [masters.bias, *masters.darks.values(), *masters.flats.values()]
    own = [path for path in combined if path.parent == folder]
    maps = [naming.mask_of(flat) for flat in masters.flats.values() if flat.parent == folder]
    return [masters.bad_pixels, *own, *map(naming.variance_of, own), *maps]


def _write_map(path: Path, bits: Any, *, unit: str) -> None:
    with products.staged(path) as temporary:
        images.write_image(temporary, arrays.to_host(bits), {"OBS": unit, "NHOTPIX": int((bits != 0).sum())})


def _read_master(path: Path) -> Master:
    image, variance = master_files.read_planes(path, naming.variance_of(path))
    return Master(image=image, variance=variance)
