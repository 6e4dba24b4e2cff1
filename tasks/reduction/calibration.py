"""Calibration of one unit's lights: raw counts to images with variance and mask.

Lights with the same masters stay on the device together, from their raw counts to the planes that are written; the next
ones are read and the last ones written meanwhile. Calibrating again is a lookup.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks import naming, products
from tasks.errors import UnusableData
from tasks.io.fits import fits_images as images
from tasks.io.fits import master_files, overscan
from tasks.options import CalibrateOptions
from tasks.records import Calibrated, CalibratedBatch, Frame, Masters, QaBit, Rejected
from tasks.science.calibration import artefacts, correction, cosmic_rays, fringes, lights
from tasks.science.calibration.correction import Master, Planes
from tasks.science.calibration.fringes import Fringes
from tasks.science.headers import provenance
from tasks.science.images import device_batches
from tasks.science.masters import quality, selection

log = logging.getLogger(__name__)

TOOLS = {"numpy": np.__version__}
# lights on the device at a time: a task has more, so that reading and writing go on meanwhile
TOGETHER = 4
# one reads while one writes
THREADS = 2


@task(task_run_name="calibrate-{masters.unit}-{night}", tags={"gpu"}, cache_policy=NO_CACHE)
def calibrate_lights(
    frames: tuple[Frame, ...], masters: Masters, night: date, root: Path, options: CalibrateOptions
) -> CalibratedBatch:
    """Calibrate lights of one unit; a light that cannot be calibrated is named with the reason."""
    tree = naming.NightTree(root=root)
    done = _Bench(masters=masters, tree=tree, night=night, options=options).calibrate(frames)
    rejected = tuple(each for each in done if isinstance(each, Rejected))
    log.info("%s %s: %d lights calibrated, %d rejected", masters.unit, night, len(done) - len(rejected), len(rejected))
    good = tuple(each for each in done if isinstance(each, Calibrated))
    return CalibratedBatch(calibrated=good, rejected=rejected)


@dataclass(frozen=True, kw_only=True)
class _Job:
    """One light to calibrate: with which masters, into which file."""

    frame: Frame
    dark_s: float
    dark: Path
    flat: Path
    image: Path
    recipe: products.Recipe
    fringe: Path | None = None
    qa: int = 0
    doubts: tuple[str, ...] = ()

    @property
    def scale(self) -> float:
        """Return the light's exposure over the dark's."""
        return self.frame.exposure_s / self.dark_s

    @property
    def shared(self) -> tuple[Any, ...]:
        """Return what lights have in common that are calibrated together."""
        return self.dark, self.flat, self.fringe, self.scale, self.frame.exposure_s, self.frame.egain


@dataclass(frozen=True, kw_only=True, eq=False)
class _Read:
    """A light that was read."""

    job: _Job
    counts: images.Image
    header: images.Header


@dataclass(frozen=True, kw_only=True, eq=False)
class _Made:
    """A light that was calibrated: planes on the host, and with what."""

    read: _Read
    setup: lights.Setup
    fringes: Fringes | None
    planes: Planes

    def without_fringes(self) -> tuple[Planes, float]:
        """Return its planes without fringes, and the scale of those; 0 where they are to stay."""
        return fringes.removed(self.planes, self.fringes) if self.fringes else (self.planes, 0.0)


def _read_master(path: Path, xp: Any = np) -> Master:
    image, variance = master_files.read_planes(path, naming.variance_of(path))
    return Master(image=xp.asarray(image), variance=xp.asarray(variance))


class _Bench:
    """Calibrates lights of one unit, a few on the device at a time."""

    def __init__(self, *, masters: Masters, tree: naming.NightTree, night: date, options: CalibrateOptions) -> None:
        self.masters = masters
        self.tree = tree
        self.folder = tree.scratch(masters.unit, night)
        self.options = options
        self.limits = cosmic_rays.Limits(
            sigma=options.cosmic_sigma,
            fraction=options.cosmic_fraction,
            contrast=options.cosmic_contrast,
            rounds=options.cosmic_rounds,
        )
        self.bias = images.open_image(masters.bias)
        together = device_batches.size(TOGETHER, bytes_each=lights.bytes_needed(self.bias.shape))
        self.batches = device_batches.Batches(together)
        self.setups: dict[tuple[Any, ...], lights.Setup] = {}
        self.fringes: dict[Path, Fringes] = {}
        self.spare: list[Planes] = []

    def calibrate(self, chosen: Iterable[Frame]) -> list[Calibrated | Rejected]:
        """Calibrate lights; those with the same masters follow each other."""
        done: list[Calibrated | Rejected] = []
        jobs: list[_Job] = []
        for frame in sorted(chosen, key=lambda frame: (frame.filter, frame.exposure_s, frame.path.name)):
            job = self._job(frame)
            if isinstance(job, _Job) and (known := products.recall(job.recipe, job.image, Calibrated)) is not None:
                done.append(known)
            elif isinstance(job, _Job):
                jobs.append(job)
            else:
                done.append(job)
        return sorted([*done, *self._run(jobs)], key=_name)

    def _job(self, frame: Frame) -> _Job | Rejected:
        reason = selection.misfit(frame, shape=self.bias.shape, gain_setting=self.bias.header.get("GAIN"))
        if reason := reason or selection.missing_flat(frame, self.masters.flats):
            return selection.reject(frame, reason)
        dark_s = lights.nearest_exposure(list(self.masters.darks), frame.exposure_s)
        dark, flat = self.masters.darks[dark_s], self.masters.flats[frame.filter]
        qa, doubts = self._doubts((self.masters.bias, dark, flat), frame.exposure_s / dark_s)
        fringe = self._fringe(frame)
        if fringe is not None and not fringe.exists():
            qa, doubts, fringe = qa | QaBit.FRINGED, [*doubts, f"no fringe frame {fringe.name}"], None
        inputs = [frame.path, self.masters.bias, dark, flat, self.masters.bad_pixels, *([fringe] if fringe else [])]
        recipe = products.Recipe(stage="calibrate", inputs=inputs, options=(self.options, qa), tools=TOOLS)
        return _Job(
            frame=frame,
            dark_s=dark_s,
            dark=dark,
            flat=flat,
            image=self.folder / f"fdz{frame.path.name.removesuffix('.gz')}",
            recipe=recipe,
            fringe=fringe,
            qa=qa | frame.qa,
            doubts=(*doubts, *frame.doubts),
        )

    def _fringe(self, frame: Frame) -> Path | None:
        """Return the place of the fringe frame of a light that shall lose its fringes."""
        if frame.filter not in self.options.defringe:
            return None
        binning, gain = frame.binning, frame.gain_setting
        return self.tree.fringe_frame(self.masters.unit, frame.filter, binning=binning, gain_setting=gain)

    def _doubts(self, used: Sequence[Path], scale: float) -> tuple[int, list[str]]:
        """Return what is doubtful about the masters of a light, as bits and in words."""
        known = [each for each in self.masters.quality if each.file in used]
        ages = (self.options.bias_age_days, self.options.dark_age_days, self.options.flat_age_days)
        return provenance.quality(known, dict(zip(("bias", "dark", "flat"), ages, strict=True)), scale=scale)

    def _run(self, jobs: Sequence[_Job]) -> Iterator[Calibrated | Rejected]:
        """Work through the jobs in batches that share masters, reading one batch ahead and writing one behind."""
        alike = [list(group) for _, group in itertools.groupby(jobs, lambda job: job.shared)]
        most = self.batches.most
        batches = [group[first : first + most] for group in alike for first in range(0, len(group), most)]
        with ThreadPoolExecutor(THREADS) as threads:
            coming = [threads.submit(self._read, job) for batch in batches[:1] for job in batch]
            writing: list[Future[Calibrated | Rejected]] = []
            for following in (*batches[1:], []):
                started = time.monotonic()
                read = [future.result() for future in coming]
                coming = [threads.submit(self._read, job) for job in following]
                made = self._process([each for each in read if isinstance(each, _Read)])
                yield from (each for each in (*read, *made) if isinstance(each, Rejected))
                yield from (future.result() for future in writing)
                seconds = (time.monotonic() - started) / max(1, len(made))
                writing = [threads.submit(self._finish, each, seconds) for each in made if isinstance(each, _Made)]
            yield from (future.result() for future in writing)

    def _read(self, job: _Job) -> _Read | Rejected:
        try:
            stored = overscan.open_raw(job.frame.path, overscan=self.options.overscan, trim=self.options.trim)
            return _Read(job=job, counts=stored.rows(), header=stored.header)
        except UnusableData as error:
            return selection.reject(job.frame, str(error))

    def _process(self, read: Sequence[_Read]) -> list[_Made] | list[Rejected]:
        """Calibrate lights that share masters; where those cannot be used no light of them can be calibrated."""
        try:
            return self.batches.do(self._process_on, read)
        except UnusableData as error:
            return [selection.reject(each.job.frame, str(error)) for each in read]

    def _process_on(self, xp: Any, read: Sequence[_Read]) -> list[_Made]:
        job = read[0].job
        key = (xp, *job.shared)
        if key not in self.setups:
            self.setups.clear()  # lights come sorted: the last setup is the only one used again
            self.setups[key] = self._setup(xp, job)
        setup, pattern = self.setups[key], self._fringes(job.fringe)
        made = lights.process(
            [each.counts for each in read],
            setup,
            into=[self.spare.pop() for _ in read[: len(self.spare)]],
            find_cosmic_rays=self.options.cosmic_rays and job.frame.exposure_s >= self.options.cosmic_exposure_s,
            limits=self.limits,
        )
        return [
            _Made(read=each, setup=setup, fringes=pattern, planes=planes)
            for each, planes in zip(read, made, strict=True)
        ]

    def _fringes(self, place: Path | None) -> Fringes | None:
        """Return a fringe frame, made ready once for all lights that follow each other."""
        if place is None:
            return None
        if place not in self.fringes:
            self.fringes.clear()
            self.fringes[place] = fringes.prepare(images.read_image(place)[0], shape=self.bias.shape)
        return self.fringes[place]

    def _finish(self, made: _Made, seconds: float) -> Calibrated | Rejected:
        """Write a light with its header; ``seconds`` is what it took until here."""
        job, started = made.read.job, time.monotonic()
        try:
            cleaned, fringe_scale = made.without_fringes()
        except UnusableData as error:
            return selection.reject(job.frame, str(error))
        planes = artefacts.marked(
            cleaned,
            halos=self.options.halos,
            trail_sigma=self.options.trail_sigma if self.options.trails else None,
            reflections=self.options.reflections,
        )
        facts = provenance.Facts(
            gain=made.setup.gain,
            read_noise_e=made.setup.read_noise_e,
            saturation_adu=made.setup.saturation_adu,
            dark_scale=job.scale,
            bits=correction.count_bits(planes.mask),
            unevenness=quality.sky_unevenness(planes.image, planes.variance, planes.mask),
            qa=job.qa,
            doubts=job.doubts,
        )
        facts = provenance.judged(facts, unevenness=self.options.sky_unevenness)
        table = self.options.header_table
        try:
            cards = provenance.light_cards(job.frame, made.read.header, facts, self._sources(job), table)
            cards |= provenance.fringe_cards(job.fringe.name if job.fringe else "", fringe_scale)
        except UnusableData as error:
            return selection.reject(job.frame, str(error))
        light = _write_light(job, planes, cards, started - seconds)
        self.spare.append(made.planes)
        return light

    def _setup(self, xp: Any, job: _Job) -> lights.Setup:
        bias, dark, flat = (_read_master(path, xp) for path in (self.masters.bias, job.dark, job.flat))
        maps = (self.masters.bad_pixels, naming.mask_of(job.flat))
        general, of_flat = (xp.asarray(images.read_image(path)[0]) for path in maps)
        known = self.bias.header
        return lights.prepare(
            bias,
            dark,
            flat,
            general | of_flat,
            scale=job.scale,
            gain=job.frame.egain or float(known.get("EGAIN", 1.0)),
            read_noise_e=float(known.get("RDNOISE", 0.0)),
            full=self.options.saturation_adu,
        )

    def _sources(self, job: _Job) -> dict[str, tuple[str, datetime | None]]:
        """Return name and mean time of each master of a light."""
        paths = {"BIAS": self.masters.bias, "DARK": job.dark, "FLAT": job.flat, "BPM": self.masters.bad_pixels}
        return {key: (path.name, provenance.mean_time(images.read_header(path))) for key, path in paths.items()}


def _write_light(job: _Job, planes: Planes, cards: images.Header, started: float) -> Calibrated:
    """Write the three planes and their recipe."""
    places = (job.image, naming.variance_of(job.image), naming.mask_of(job.image))
    for place, data in zip(places, (planes.image, planes.variance, planes.mask), strict=True):
        with products.staged(place) as temporary:
            images.write_image(temporary, data, cards)
    seconds = round(time.monotonic() - started, 3)
    light = Calibrated(
        frame=job.frame, image=places[0], variance=places[1], mask=places[2], seconds=seconds, qa=int(cards["QAFLAG"])
    )
    products.remember(job.recipe, places, light)
    return light


def _name(each: Calibrated | Rejected) -> str:
    return each.name if isinstance(each, Rejected) else each.frame.path.name
