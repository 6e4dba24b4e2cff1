"""Calibration of one unit's lights: raw counts to images with variance and mask.

A frame stays on the device from its raw counts to the planes that are written; the next one is read and the last one
written meanwhile. Calibrating again is a lookup.
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
from tasks.io import frames as images
from tasks.io import master_files, sections
from tasks.options import CalibrateOptions
from tasks.records import (
    Calibrated,
    CalibratedBatch,
    Frame,
    Masters,
    Rejected,
)
from tasks.science import arrays, calibration, cosmic_rays, lights, provenance, selection
from tasks.science.calibration import Master, Planes

log = logging.getLogger(__name__)

TOOLS = {"numpy": np.__version__}


@task(task_run_name="calibrate-{masters.unit}-{night}", tags={"gpu"}, cache_policy=NO_CACHE)
def calibrate_lights(
    frames: tuple[Frame, ...], masters: Masters, night: date, root: Path, options: CalibrateOptions
) -> CalibratedBatch:
    """Calibrate lights of one unit; a light that cannot be calibrated is named with the reason."""
    folder = naming.NightTree(root=root).scratch(masters.unit, night)
    done = _Bench(masters=masters, folder=folder, options=options).calibrate(frames)
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
    qa: int = 0
    doubts: tuple[str, ...] = ()

    @property
    def scale(self) -> float:
        """Return the light's exposure over the dark's."""
        return self.frame.exposure_s / self.dark_s


def _read_master(path: Path, xp: Any = np) -> Master:
    image, variance = master_files.read_planes(path, naming.variance_of(path))
    return Master(image=xp.asarray(image), variance=xp.asarray(variance))


class _Bench:
    """Calibrates lights of one unit, one on the device at a time."""

    def __init__(self, *, masters: Masters, folder: Path, options: CalibrateOptions) -> None:
        self.masters = masters
        self.folder = folder
        self.options = options
        self.limits = cosmic_rays.Limits(
            sigma=options.cosmic_sigma,
            fraction=options.cosmic_fraction,
            contrast=options.cosmic_contrast,
            rounds=options.cosmic_rounds,
        )
        self.bias = images.open_image(masters.bias)
        self.setups: dict[tuple[Any, ...], lights.Setup] = {}

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
        inputs = [frame.path, self.masters.bias, dark, flat, self.masters.bad_pixels]
        qa, doubts = self._doubts((self.masters.bias, dark, flat), frame.exposure_s / dark_s)
        recipe = products.Recipe(stage="calibrate", inputs=inputs, options=(self.options, qa), tools=TOOLS)
        return _Job(
            frame=frame,
            dark_s=dark_s,
            dark=dark,
            flat=flat,
            image=self.folder / f"fdz{frame.path.name.removesuffix('.gz')}",
            recipe=recipe,
            qa=qa,
            doubts=tuple(doubts),
        )

    def _doubts(self, used: Sequence[Path], scale: float) -> tuple[int, list[str]]:
        """Return what is doubtful about the masters of a light, as bits and in words."""
        known = [each for each in self.masters.quality if each.file in used]
        ages = (self.options.bias_age_days, self.options.dark_age_days, self.options.flat_age_days)
        return provenance.quality(known, dict(zip(("bias", "dark", "flat"), ages, strict=True)), scale=scale)

    def _run(self, jobs: Sequence[_Job]) -> Iterator[Calibrated | Rejected]:
        """Work through the jobs, reading one ahead and writing one behind."""
        with ThreadPoolExecutor(2) as threads:
            coming = [threads.submit(self._read, job) for job in jobs[:1]]
            writing: list[Future[Calibrated]] = []
            for job, following in itertools.zip_longest(jobs, jobs[1:]):
                started = time.monotonic()
                raw = coming.pop()
                if following is not None:
                    coming.append(threads.submit(self._read, following))
                try:
                    counts, header = raw.result()
                    planes, cards = self._planes(job, counts, header)
                except UnusableData as error:
                    yield selection.reject(job.frame, str(error))
                    continue
                yield from (future.result() for future in writing)
                writing = [threads.submit(_write_light, job, planes, cards, started)]
            yield from (future.result() for future in writing)

    def _read(self, job: _Job) -> tuple[images.Image, images.Header]:
        stored = sections.open_raw(job.frame.path, overscan=self.options.overscan, trim=self.options.trim)
        return stored.rows(), stored.header

    def _planes(self, job: _Job, counts: Any, header: images.Header) -> tuple[Planes, images.Header]:
        """Calibrate one light on the device, on the CPU where the device is full; return host arrays and cards."""
        try:
            setup, planes = self._planes_on(arrays.device(), job, counts)
        except arrays.out_of_memory():
            log.warning("the device is full: %s is calibrated on the CPU", job.frame.path.name)
            self.setups.clear()
            arrays.release()
            setup, planes = self._planes_on(np, job, counts)
        facts = provenance.Facts(
            gain=setup.gain,
            read_noise_e=setup.read_noise_e,
            saturation_adu=setup.saturation_adu,
            dark_scale=job.scale,
            bits=calibration.count_bits(planes.mask),
            qa=job.qa,
            doubts=job.doubts,
        )
        return planes, provenance.light_cards(job.frame, header, facts, self._sources(job), self.options.header_table)

    def _planes_on(self, xp: Any, job: _Job, counts: Any) -> tuple[lights.Setup, Planes]:
        key = (xp, job.dark, job.flat, job.scale, job.frame.egain)
        if key not in self.setups:
            self.setups.clear()  # lights come sorted: the last setup is the only one used again
            self.setups[key] = self._setup(xp, job)
        setup = self.setups[key]
        return setup, lights.process(
            counts,
            setup,
            find_cosmic_rays=self.options.cosmic_rays and job.frame.exposure_s >= self.options.cosmic_exposure_s,
            limits=self.limits,
        )

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
    light = Calibrated(frame=job.frame, image=places[0], variance=places[1], mask=places[2], seconds=seconds, qa=job.qa)
    products.remember(job.recipe, places, light)
    return light


def _name(each: Calibrated | Rejected) -> str:
    return each.name if isinstance(each, Rejected) else each.frame.path.name
