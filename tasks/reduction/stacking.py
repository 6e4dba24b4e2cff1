"""Stacking of reduced frames of one object and filter on the field's own grid; stacks are measured like frames."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from prefect import Task, task
from prefect.cache_policies import NO_CACHE

from tasks import naming, products
from tasks.io.catalogues import photometric_cells
from tasks.options import StackOptions
from tasks.programs import outputs
from tasks.records import Reduced, Rejected, Stack, StageResult
from tasks.reduction.engines import stack_building
from tasks.science.stacking import stack_members
from tasks.science.stacking.stack_members import Combination

log = logging.getLogger(__name__)


def group(results: Iterable[StageResult], options: StackOptions) -> tuple[tuple[Reduced, ...], ...]:
    """Group the reduced frames of a night by object, filter and pauses in time; leave out the objects to be skipped."""
    frames, _ = stack_members.set_aside([frame for result in results for frame in result.reduced], options.skip)
    return stack_members.group_by_gap(frames, options.gap_s, together=options.units == "together")


def skipped(results: Iterable[StageResult], options: StackOptions) -> tuple[Rejected, ...]:
    """Return the objects that the options exclude from stacking, once for each unit and filter."""
    return stack_members.set_aside([frame for result in results for frame in result.reduced], options.skip)[1]


@task(name="combine", cache_policy=NO_CACHE, persist_result=False)
def combine(
    group: tuple[Reduced, ...],
    catalogue: Path,
    root: Path,
    options: StackOptions,
    telescope: str = "7DT",
    *,
    deep: bool = False,
    centre_deg: tuple[float, float] | None = None,
) -> Stack:
    """Combine a group of frames into a stack with variance, mask, weight, number of frames, zero points and catalogue.

    A ``deep`` stack has the name of all units, and its frames were selected beforehand; ``centre_deg`` moves its grid.
    """
    started = time.monotonic()
    chosen = stack_members.choose(group, equal=options.combine == "seed", judge=not deep)
    unit = naming.joint_unit(chosen.units, always=deep)
    image = _place(chosen, unit, root, options, centre_deg=centre_deg)
    files = photometric_cells.files(catalogue, [(item.astrometry.ra_deg, item.astrometry.dec_deg) for item in group])
    inputs = [path for item in group for path in (item.image, item.variance, item.mask)]
    stage = "deepen" if deep else "combine"
    recipe = products.Recipe(stage=stage, inputs=(*inputs, *files), options=[options, centre_deg])
    if (earlier := products.recall(recipe, image, Stack)) is not None:
        return earlier
    frame = chosen.reference.frame
    place = naming.NightTree(root=root).scratch(frame.unit, naming.night_of(frame.date_obs))
    with outputs.scratch(place, "stack") as folder:
        job = stack_building.plan(chosen, options, telescope, folder, moved=centre_deg)
        stack = stack_building.build(job, photometric_cells.read(files), image, unit=unit)
    stack = replace(stack, seconds=time.monotonic() - started)
    planes = (stack.variance, stack.mask, naming.weight_of(image), naming.number_of(image))
    products.remember(recipe, [image, *planes, stack.photometry.catalogue, *stack.photometry.plots], stack)
    _tell(stack)
    return stack


def for_slot(options: StackOptions) -> Task[..., Stack]:
    """Return the task ``combine`` for its slot: a GPU's if the options ask for one."""
    return combine.with_options(tags=["gpu"]) if options.gpu else combine


def _place(
    chosen: Combination, unit: str, root: Path, options: StackOptions, *, centre_deg: tuple[float, float] | None
) -> Path:
    frame = chosen.reference.frame
    stem = naming.image_stem(frame.object, unit, frame.filter, chosen.date_obs, chosen.exposure_s)
    variant = naming.stack_variant(with_sky=options.background == "none", centre_deg=centre_deg)
    return naming.NightTree(root=root).science(frame.object, unit, frame.filter) / f"{stem}{variant}.com.fits"


def _tell(stack: Stack) -> None:
    photometry = stack.photometry
    log.info(
        '%s %s: %d frames, seeing %.2f", ZP %.3f mag, depth %.2f mag (5 sigma), %.1f s',
        stack.unit,
        stack.image.name,
        len(stack.inputs),
        photometry.seeing_arcsec,
        photometry.zero_point_mag["AUTO"],
        photometry.depth5_mag["1"],
        stack.seconds,
    )
    for left in stack.rejected:
        log.warning("%s is left out of the stack: %s", left.name, left.reason)
