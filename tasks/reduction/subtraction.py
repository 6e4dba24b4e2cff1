"""Subtraction of the best reference from a stack, by the first engine that succeeds."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import numpy as np
from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks import naming, products
from tasks.io.fits import image_planes
from tasks.options import SearchOptions
from tasks.records import Difference, Stack
from tasks.reduction.engines import difference_files, subtraction_engines
from tasks.science.subtraction import references as reference_choice
from tasks.science.subtraction.alard_lupton import Subtraction

log = logging.getLogger(__name__)

TOOLS = {"numpy": np.__version__}


@task(task_run_name="subtract-{stack.object}-{stack.filter}", tags={"gpu"}, cache_policy=NO_CACHE)
def subtract(stack: Stack, references: Path, root: Path, options: SearchOptions) -> Difference:
    """Subtract the best reference under ``references`` from a stack.

    Raises
    ------
    UnusableData
        If there is no reference of the same object and filter, or the two cannot be aligned.
    """
    started = time.monotonic()
    folder = naming.NightTree(root=root).science(stack.object, stack.unit, stack.filter) / "transient"
    reference = choose(stack, references)
    output = naming.difference_of(folder / stack.image.name)
    recipe = products.Recipe(stage="subtract", inputs=_inputs(stack, reference), options=options, tools=TOOLS)
    if (earlier := products.recall(recipe, output, Difference)) is not None:
        return earlier
    science = image_planes.read(stack.image)
    result = subtraction_engines.difference(science, image_planes.read(reference), options)
    convolved = output.with_name(naming.convolved_name(reference, stack.date_obs))
    difference_files.write(output, convolved, result, science=science, reference=reference.name)
    difference_files.write_substamps(output, result)
    difference = _record(stack, reference, result.subtraction, output, convolved, seconds=time.monotonic() - started)
    planes = (difference.image, difference.variance, difference.mask, difference.convolved, naming.psf_of(output))
    products.remember(recipe, planes, difference)
    log.info(
        "%s: %s, %s convolved, kernel sum %.3f, chi2 %.2f on %d stamps, %.1f s",
        output.name, difference.engine, difference.direction, difference.kernel_sum, difference.chi2,
        difference.substamps, difference.seconds,
    )  # fmt: skip
    return difference


def choose(stack: Stack, references: Path) -> Path:
    """Return the best reference in a folder and its subfolders; see ``tasks/science/subtraction/references``.

    Raises
    ------
    UnusableData
        If there is none.
    """
    used = {path.resolve() for path in (stack.image, *stack.inputs)}
    paths = sorted(references.rglob("ref_*.fits"))
    own = [path for path in paths if path.resolve() in used]
    return reference_choice.best(stack, paths, own=own, place=references)


def _inputs(stack: Stack, reference: Path) -> list[Path]:
    planes = (naming.variance_of(reference), naming.mask_of(reference))
    return [stack.image, stack.variance, stack.mask, reference, *(path for path in planes if path.is_file())]


def _record(
    stack: Stack, reference: Path, subtraction: Subtraction, output: Path, convolved: Path, *, seconds: float
) -> Difference:
    return Difference(
        stack=stack,
        reference=reference,
        image=output,
        convolved=convolved,
        variance=naming.variance_of(output),
        mask=naming.mask_of(output),
        direction=subtraction.direction,
        engine=subtraction.engine,
        kernel_sum=subtraction.kernel_sum,
        chi2=subtraction.chi2,
        substamps=subtraction.substamps,
        seconds=seconds,
    )
