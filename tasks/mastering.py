"""Master frames of one unit's night: bias, darks, flats, and the map of bad pixels.

Frames are combined in bands of rows on the device, so that memory is bounded whatever their number. Making masters
again is a lookup.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks import naming, products
from tasks.errors import UnusableData
from tasks.io import frames as images
from tasks.io import master_files, raw_sets
from tasks.io.raw_sets import RawSet
from tasks.options import CalibrateOptions
from tasks.records import Frame, FrameType, Inventory, Masters, Rejected
from tasks.science import arrays, calibration, combining, provenance, selection
from tasks.science.calibration import Master

log = logging.getLogger(__name__)

BIAS_NAME = "zero.fits"
TOOLS = {"numpy": np.__version__}
BAD_PIXELS_NAME = "bad-pixels.fits"
# host memory for a band of a stack; of a device's free memory a band takes this part, its work space the rest
BAND_BYTES = 1 << 28
DEVICE_FRACTION = 0.15


@task(task_run_name="masters-{inventory.unit}-{inventory.night}", tags={"gpu"}, cache_policy=NO_CACHE)
def make_masters(inventory: Inventory, root: Path, options: CalibrateOptions) -> Masters:
    """Combine a unit's bias, dark and flat frames and map its bad pixels.

    Raises
    ------
    UnusableData
        If there is no master bias or no master dark to be had: no light of the unit can then be calibrated.
    """
    folder = naming.NightTree(root=root).masters(inventory.unit, inventory.night)
    inputs = [frame.path for frame in inventory.frames if frame.type is not FrameType.LIGHT]
    recipe = products.Recipe(stage="masters", inputs=inputs, options=options, tools=TOOLS)
    if (known := products.recall(recipe, folder / BIAS_NAME, Masters)) is not None:
        return known
    masters = _Workshop(folder=folder, options=options).make(inventory)
    products.remember(recipe, _files(masters), masters)
    log.info("%s %s: masters of %d frames", inventory.unit, inventory.night, len(inputs) - len(masters.rejected))
    return masters


class _Workshop:
    """Makes one unit's masters; remembers what it left out and the detector's figures as it goes along."""

    def __init__(self, *, folder: Path, options: CalibrateOptions) -> None:
        self.folder = folder
        self.options = options
        self.rejected: list[Rejected] = []
        self.gain = 1.0
        self.read_adu = 0.0
        self.bias_adu = 0.0

    def make(self, inventory: Inventory) -> Masters:
        """Make bias, darks, flats and the map of bad pixels, in this order."""
        self.gain = selection.gain(inventory.frames)
        usable = self._keep(selection.comparable(inventory.frames))
        bias = self._bias([frame for frame in usable if frame.type is FrameType.BIAS])
        darks = self._darks([frame for frame in usable if frame.type is FrameType.DARK], bias)
        flats = self._flats([frame for frame in usable if frame.type is FrameType.FLAT], bias, darks)
        bad = self.folder / BAD_PIXELS_NAME
        longest = _read_master(darks[max(darks)])
        _write_map(bad, calibration.bad_pixels(bias, longest), unit=inventory.unit)
        return Masters(
            unit=inventory.unit,
            bias=self.folder / BIAS_NAME,
            darks=darks,
            flats=flats,
            bad_pixels=bad,
            rejected=tuple(self.rejected),
        )

    def _bias(self, chosen: Sequence[Frame]) -> Master:
        opened = self._open(chosen)
        opened = opened.only(self._keep(selection.level(opened.frames, opened.levels_adu, kind="bias")))
        opened = self._enough(opened, self.options.minimum_bias, "bias")
        if not opened.frames:
            raise UnusableData(self._none("master bias"))
        noises = [calibration.pair_noise(*pair) for pair in itertools.pairwise(opened.samples)]
        self.read_adu = float(np.median(noises)) if noises else 0.0
        self.bias_adu = float(np.median(opened.levels_adu))
        bias = self._combine(opened, self._noise())
        self._write(BIAS_NAME, bias, opened)
        return bias

    def _darks(self, chosen: Sequence[Frame], bias: Master) -> dict[float, Path]:
        made: dict[float, Path] = {}
        for exposure_s, group in selection.grouped(chosen, lambda frame: frame.exposure_s):
            opened, kind = self._open(group), f"{exposure_s:g} s dark"
            levels = opened.levels_adu
            signal = max(float(np.median(levels)) - self.bias_adu, 0.0) if levels else 0.0
            opened = opened.only(self._keep(selection.level(opened.frames, levels, kind=kind, signal_adu=signal)))
            opened = self._enough(opened, self.options.minimum_darks, kind)
            if opened.frames:
                dark = calibration.subtract(self._combine(opened, self._noise()), bias)
                name = f"dark-{naming.exposure_text(exposure_s)}.fits"
                made[exposure_s] = self._write(name, dark, opened, {"BIASNAME": BIAS_NAME})
        if not made:
            raise UnusableData(self._none("master dark"))
        return made

    def _flats(self, chosen: Sequence[Frame], bias: Master, darks: Mapping[float, Path]) -> dict[str, Path]:
        made: dict[str, Path] = {}
        dark_s = min(darks)
        dark = _read_master(darks[dark_s])
        for filter_, group in selection.grouped(chosen, lambda frame: frame.filter):
            opened = self._open(group)
            signals = [level - self.bias_adu for level in opened.levels_adu]
            full = self.options.saturation_adu - self.bias_adu
            opened = opened.only(self._keep(selection.exposed(opened.frames, signals, saturation_adu=full)))
            opened = self._enough(opened, self.options.minimum_flats, f"{filter_} flat")
            if opened.frames:
                cards = {"BIASNAME": BIAS_NAME, "DARKNAME": darks[dark_s].name}
                made[filter_] = self._flat(opened, f"n{filter_}.fits", bias, (dark, dark_s), cards)
        return made

    def _flat(
        self, opened: RawSet, name: str, bias: Master, dark: tuple[Master, float], cards: Mapping[str, Any]
    ) -> Path:
        scales = [frame.exposure_s / dark[1] for frame in opened.frames]
        levels = [
            float(np.median(calibration.flat_signal(stored.rows(), bias, dark[0], scale=scale)))
            for stored, scale in zip(opened.stored, scales, strict=True)
        ]

        def prepare(plane: Any, number: int, rows: slice) -> Any:
            xp = arrays.array_namespace(plane)
            near, dim = (_rows_of(master, rows, xp) for master in (bias, dark[0]))
            signal = calibration.flat_signal(plane, near, dim, scale=scales[number])
            return signal / xp.float32(levels[number])

        noise = combining.Noise(read_adu=self.read_adu, gain=self.gain, scale_adu=float(np.median(levels)))
        flat, factor = calibration.renormalise(self._combine(opened, noise, prepare))
        path = self._write(name, flat, opened, {**cards, "FLATFACT": factor, "BUNIT": ""})
        _write_map(naming.mask_of(path), calibration.bad_flat(flat), unit=opened.frames[0].unit)
        return path

    def _open(self, chosen: Sequence[Frame]) -> RawSet:
        opened, unreadable = raw_sets.open_set(chosen)
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

    def _combine(
        self, opened: RawSet, noise: combining.Noise, prepare: Callable[[Any, int, slice], Any] | None = None
    ) -> Master:
        try:
            return _combine_bands(arrays.device(), opened.stored, self.options, noise, prepare)
        except arrays.out_of_memory():
            log.warning("the device is full: %d frames are combined on the CPU", len(opened.stored))
            arrays.release()
            return _combine_bands(np, opened.stored, self.options, noise, prepare)

    def _write(self, name: str, master: Master, opened: RawSet, cards: Mapping[str, Any] | None = None) -> Path:
        path = self.folder / name
        figures = {"BUNIT": "adu", "EGAIN": self.gain, "RDNOISE": self.read_adu * self.gain}
        raw = [stored.header for stored in opened.stored]
        header = {**provenance.master_cards(opened.frames, raw), **figures, **(cards or {})}
        for place, data in ((path, master.image), (naming.variance_of(path), master.variance)):
            with products.staged(place) as temporary:
                images.write_image(temporary, data, header)
        return path


def _combine_bands(
    xp: Any,
    stored: Sequence[images.Stored],
    options: CalibrateOptions,
    noise: combining.Noise,
    prepare: Callable[[Any, int, slice], Any] | None,
) -> Master:
    """Combine in bands of rows, so that memory is bounded whatever the number of frames."""
    image, variance = (np.empty(stored[0].shape, np.float32) for _ in range(2))
    for rows, raw in raw_sets.bands(stored, step=_band_rows(stored, xp)):
        stack = xp.asarray(raw)
        if prepare is not None:
            stack = xp.stack([prepare(plane, number, rows) for number, plane in enumerate(stack)])
        combined = combining.combine(stack, mode=options.combine, noise=noise, clip_sigma=options.clip_sigma)
        image[rows], variance[rows] = arrays.to_host(combined.image), arrays.to_host(combined.variance)
    return Master(image=image, variance=variance)


def _band_rows(stored: Sequence[images.Stored], xp: Any) -> int:
    free = arrays.free_memory_bytes()
    budget = BAND_BYTES if xp is np or free is None else int(free * DEVICE_FRACTION)
    return max(1, budget // (len(stored) * stored[0].shape[1] * np.dtype(np.float32).itemsize))


def _rows_of(master: Master, rows: slice, xp: Any) -> Master:
    return Master(image=xp.asarray(master.image[rows]), variance=xp.asarray(master.variance[rows]))


def _files(masters: Masters) -> list[Path]:
    combined = [masters.bias, *masters.darks.values(), *masters.flats.values()]
    maps = [naming.mask_of(flat) for flat in masters.flats.values()]
    return [*combined, *map(naming.variance_of, combined), *maps, masters.bad_pixels]


def _write_map(path: Path, bits: Any, *, unit: str) -> None:
    with products.staged(path) as temporary:
        cards = {"OBS": unit, "NHOTPIX": int((bits != 0).sum())}
        images.write_image(temporary, arrays.to_host(bits), cards)


def _read_master(path: Path) -> Master:
    image, variance = master_files.read_planes(path, naming.variance_of(path))
    return Master(image=image, variance=variance)
