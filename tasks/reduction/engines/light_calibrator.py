"""Calibrate lights together that share masters: read, compute on the device, finish on the host, write.

Lights stay on the device from raw counts to finished planes; meanwhile the next ones are read and the last ones
written. Calibrated lights are looked up, not calibrated again.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np

from tasks import naming, products
from tasks.errors import UnusableData
from tasks.io.fits import fits_images, master_files, overscan
from tasks.options import CalibrateOptions
from tasks.records import Calibrated, Frame, Masters, QaBit, Rejected
from tasks.science.calibration import correction, cosmic_rays, fringes, lights
from tasks.science.calibration.correction import LightPlanes, Master
from tasks.science.calibration.fringes import Fringes
from tasks.science.calibration.recipe import HostLight
from tasks.science.calibration.star_guard import Spared
from tasks.science.headers import provenance
from tasks.science.images import device_batches
from tasks.science.masters import assignment, selection
from tasks.science.masters.assignment import Assignment

TOOLS = {"numpy": np.__version__}
# lights on the device at a time: fewer than a task has, so that reading and writing overlap with computing
TOGETHER = 4
# one reads while one writes
THREADS = 2


@dataclass(frozen=True, kw_only=True)
class LightJob:
    """One light to calibrate, its masters, and its output file."""

    frame: Frame
    masters: Assignment
    image: Path
    recipe: products.Recipe
    fringe: Path | None = None

    @property
    def shared(self) -> tuple[Any, ...]:
        """Return the key that is equal for lights calibrated together."""
        masters, frame = self.masters, self.frame
        return masters.dark, masters.flat, self.fringe, masters.scale, frame.exposure_s, frame.egain


@dataclass(frozen=True, kw_only=True, eq=False)
class RawLight:
    """A light as read from its file."""

    job: LightJob
    counts: fits_images.Image
    header: fits_images.Header


@dataclass(frozen=True, kw_only=True, eq=False)
class CalibratedLight:
    """A calibrated light: its planes on the host, and its masters."""

    raw: RawLight
    setup: lights.Setup
    fringes: Fringes | None
    planes: LightPlanes
    spared: Spared


class LightCalibrator:
    """Calibrates lights of one unit, a few on the device at a time."""

    def __init__(self, *, masters: Masters, tree: naming.NightTree, night: date, options: CalibrateOptions) -> None:
        self.masters = masters
        self.tree = tree
        self.folder = tree.scratch(masters.unit, night)
        self.options = options
        self.limits = cosmic_rays.CosmicRayLimits(
            sigma=options.cosmic_sigma,
            fraction=options.cosmic_fraction,
            contrast=options.cosmic_contrast,
            rounds=options.cosmic_rounds,
        )
        self.bias = fits_images.open_image(masters.bias)
        together = device_batches.size(TOGETHER, bytes_each=lights.bytes_needed(self.bias.shape))
        self.batches = device_batches.Batches(together)
        self.setups: dict[tuple[Any, ...], lights.Setup] = {}
        self.fringes: dict[Path, Fringes] = {}
        self.spare: list[LightPlanes] = []

    def calibrate(self, frames: Iterable[Frame]) -> list[Calibrated | Rejected]:
        """Calibrate lights, ordered by their masters."""
        outcomes: list[Calibrated | Rejected] = []
        jobs: list[LightJob] = []
        for frame in sorted(frames, key=lambda frame: (frame.filter, frame.exposure_s, frame.path.name)):
            try:
                job = self._job(frame)
            except UnusableData as error:
                outcomes.append(selection.reject(frame, str(error)))
                continue
            if (earlier := products.recall(job.recipe, job.image, Calibrated)) is not None:
                outcomes.append(earlier)
            else:
                jobs.append(job)
        return sorted([*outcomes, *self._run(jobs)], key=_name)

    def _job(self, frame: Frame) -> LightJob:
        shape, gain_setting = self.bias.shape, self.bias.header.get("GAIN")
        masters = assignment.assign(frame, self.masters, self.options, shape=shape, gain_setting=gain_setting)
        fringe = self._fringe_frame(frame)
        if fringe is not None and not fringe.exists():
            doubts = (*masters.doubts, f"no fringe frame {fringe.name}")
            masters, fringe = replace(masters, qa=masters.qa | QaBit.FRINGED, doubts=doubts), None
        used = [masters.bias, masters.dark, masters.flat, masters.bad_pixels, *([fringe] if fringe else [])]
        recipe = products.Recipe(
            stage="calibrate", inputs=[frame.path, *used], options=(self.options, masters.qa), tools=TOOLS
        )
        return LightJob(
            frame=frame,
            masters=replace(masters, qa=masters.qa | frame.qa, doubts=(*masters.doubts, *frame.doubts)),
            image=self.folder / naming.raw_product(frame.path.name),
            recipe=recipe,
            fringe=fringe,
        )

    def _fringe_frame(self, frame: Frame) -> Path | None:
        """Return the path of a light's fringe frame, if its fringes are to be removed."""
        if frame.filter not in self.options.defringe:
            return None
        binning, gain = frame.binning, frame.gain_setting
        return self.tree.fringe_frame(self.masters.unit, frame.filter, binning=binning, gain_setting=gain)

    def _run(self, jobs: Sequence[LightJob]) -> Iterator[Calibrated | Rejected]:
        """Calibrate in batches that share masters, while the next batch is read and the last one written."""
        alike = [list(group) for _, group in itertools.groupby(jobs, lambda job: job.shared)]
        most = self.batches.most
        batches = [group[first : first + most] for group in alike for first in range(0, len(group), most)]
        with ThreadPoolExecutor(THREADS) as threads:
            coming = [threads.submit(self._read, job) for batch in batches[:1] for job in batch]
            writing: list[Future[Calibrated | Rejected]] = []
            for following in (*batches[1:], []):
                started = time.monotonic()
                raws = [future.result() for future in coming]
                coming = [threads.submit(self._read, job) for job in following]
                ready = self._process([raw for raw in raws if isinstance(raw, RawLight)])
                yield from (outcome for outcome in (*raws, *ready) if isinstance(outcome, Rejected))
                yield from (future.result() for future in writing)
                seconds = (time.monotonic() - started) / max(1, len(ready))
                writing = [
                    threads.submit(self._finish, light, seconds)
                    for light in ready
                    if isinstance(light, CalibratedLight)
                ]
            yield from (future.result() for future in writing)

    def _read(self, job: LightJob) -> RawLight | Rejected:
        try:
            stored = overscan.open_raw(job.frame.path, overscan=self.options.overscan, trim=self.options.trim)
            return RawLight(job=job, counts=stored.rows(), header=stored.header)
        except UnusableData as error:
            return selection.reject(job.frame, str(error))

    def _process(self, raws: Sequence[RawLight]) -> list[CalibratedLight] | list[Rejected]:
        """Calibrate lights that share masters; reject all of them if a master cannot be used."""
        try:
            return self.batches.do(self._process_on, raws)
        except UnusableData as error:
            return [selection.reject(raw.job.frame, str(error)) for raw in raws]

    def _process_on(self, xp: Any, raws: Sequence[RawLight]) -> list[CalibratedLight]:
        job = raws[0].job
        key = (xp, *job.shared)
        if key not in self.setups:
            self.setups.clear()  # lights come sorted: the last setup is the only one used again
            self.setups[key] = self._setup(xp, job)
        setup, pattern = self.setups[key], self._fringes(job.fringe)
        batch = lights.process(
            [raw.counts for raw in raws],
            setup,
            into=[self.spare.pop() for _ in raws[: len(self.spare)]],
            find_cosmic_rays=self.options.cosmic_rays and job.frame.exposure_s >= self.options.cosmic_exposure_s,
            limits=self.limits,
        )
        return [
            CalibratedLight(raw=raw, setup=setup, fringes=pattern, planes=light.planes, spared=light.spared)
            for raw, light in zip(raws, batch, strict=True)
        ]

    def _fringes(self, place: Path | None) -> Fringes | None:
        """Return a fringe frame, prepared once for all consecutive lights."""
        if place is None:
            return None
        if place not in self.fringes:
            self.fringes.clear()
            self.fringes[place] = fringes.prepare(fits_images.read_image(place)[0], shape=self.bias.shape)
        return self.fringes[place]

    def _finish(self, light: CalibratedLight, seconds: float) -> Calibrated | Rejected:
        """Finish a light on the host and write it with its header; ``seconds`` is the time spent so far."""
        job, started = light.raw.job, time.monotonic()
        try:
            finished = lights.finish(HostLight(planes=light.planes, fringes=light.fringes), self.options)
            cards = self._cards(light, finished)
        except UnusableData as error:
            return selection.reject(job.frame, str(error))
        written = _write_light(job, finished.planes, cards, started - seconds)
        self.spare.append(light.planes)
        return written

    def _cards(self, light: CalibratedLight, finished: HostLight) -> fits_images.Header:
        job, setup = light.raw.job, light.setup
        facts = provenance.Facts(
            gain=setup.gain,
            read_noise_e=setup.read_noise_e,
            saturation_adu=setup.saturation_adu,
            dark_scale=job.masters.scale,
            bits=correction.count_bits(finished.planes.mask),
            unevenness=finished.unevenness,
            qa=job.masters.qa,
            doubts=job.masters.doubts,
        )
        spared = light.spared.stars if light.spared.many else 0
        facts = provenance.judged(
            facts, unevenness=self.options.sky_unevenness, spared=spared, fwhm_px=light.spared.fwhm_px
        )
        sources = _sources(job.masters)
        table, rules = self.options.header_table, self.masters.camera.header
        cards = provenance.light_cards(job.frame, light.raw.header, facts, sources, table, rules)
        return cards | provenance.fringe_cards(job.fringe.name if job.fringe else "", finished.fringe_scale)

    def _setup(self, xp: Any, job: LightJob) -> lights.Setup:
        masters = job.masters
        bias, dark, flat = (_read_master(path, xp) for path in (masters.bias, masters.dark, masters.flat))
        maps = (masters.bad_pixels, naming.mask_of(masters.flat))
        general, of_flat = (xp.asarray(fits_images.read_image(path)[0]) for path in maps)
        cards = self.bias.header
        return lights.prepare(
            bias,
            dark,
            flat,
            general | of_flat,
            scale=masters.scale,
            gain=job.frame.egain or float(cards.get("EGAIN", 1.0)),
            read_noise_e=float(cards.get("RDNOISE", 0.0)),
            full=selection.saturation_adu(self.options, self.masters.camera),
        )


def _read_master(path: Path, xp: Any) -> Master:
    image, variance = master_files.read_planes(path, naming.variance_of(path))
    return Master(image=xp.asarray(image), variance=xp.asarray(variance))


def _sources(masters: Assignment) -> dict[str, tuple[str, datetime | None]]:
    """Return name and mean time of each master of a light."""
    paths = {"BIAS": masters.bias, "DARK": masters.dark, "FLAT": masters.flat, "BPM": masters.bad_pixels}
    return {key: (path.name, provenance.mean_time(fits_images.read_header(path))) for key, path in paths.items()}


def _write_light(job: LightJob, planes: LightPlanes, cards: fits_images.Header, started: float) -> Calibrated:
    """Write the three planes and their recipe."""
    places = (job.image, naming.variance_of(job.image), naming.mask_of(job.image))
    for place, plane in zip(places, (planes.image, planes.variance, planes.mask), strict=True):
        with products.staged(place) as temporary:
            fits_images.write_image(temporary, plane, cards)
    seconds = round(time.monotonic() - started, 3)
    light = Calibrated(
        frame=job.frame, image=places[0], variance=places[1], mask=places[2], seconds=seconds, qa=int(cards["QAFLAG"])
    )
    products.remember(job.recipe, places, light)
    return light


def _name(outcome: Calibrated | Rejected) -> str:
    return outcome.name if isinstance(outcome, Rejected) else outcome.frame.path.name
