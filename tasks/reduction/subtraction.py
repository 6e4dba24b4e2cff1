"""Subtraction: a stack minus the reference that suits it best, by the first engine that succeeds."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import numpy as np
from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks import naming, products
from tasks.errors import UnusableData
from tasks.io.fits import fits_images, image_planes
from tasks.io.fits.image_planes import ImagePlanes
from tasks.options import SearchOptions
from tasks.records import Difference, Stack
from tasks.reduction import subtraction_engines
from tasks.reduction.subtraction_engines import Result
from tasks.science import arrays
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
    if (known := products.recall(recipe, output, Difference)) is not None:
        return known
    science = image_planes.read(stack.image)
    result = subtraction_engines.difference(science, image_planes.read(reference), options)
    made = _write(stack, reference, science, result, output, seconds=time.monotonic() - started)
    products.remember(recipe, [made.image, made.variance, made.mask, made.convolved, naming.psf_of(made.image)], made)
    return made


def choose(stack: Stack, references: Path) -> Path:
    """Return the best reference: same object and filter, other data; ours before a survey's, the farthest in time.

    Raises
    ------
    UnusableData
        If there is none.
    """
    pattern = naming.reference_pattern(stack.object, stack.filter)
    known = [path for path in sorted(references.rglob("ref_*.fits")) if pattern.fullmatch(path.name)]
    used = {path.resolve() for path in (stack.image, *stack.inputs)}
    moment = stack.date_obs.strftime("%Y%m%d_%H%M%S")
    other = [path for path in known if path.resolve() not in used and f"_{moment}_" not in path.name]
    if not other:
        raise UnusableData(
            f"no reference of {stack.object} in {stack.filter} under {references}"
            + (f": the {len(known)} there hold the stack's own data" if known else "")
        )
    day = stack.date_obs.toordinal()
    return max(other, key=lambda path: (path.name.startswith("ref_7DT_"), abs(_day(path) - day), path.name))


def _inputs(stack: Stack, reference: Path) -> list[Path]:
    planes = (naming.variance_of(reference), naming.mask_of(reference))
    return [stack.image, stack.variance, stack.mask, reference, *(path for path in planes if path.is_file())]


def _day(path: Path) -> int:
    return naming.reference_date(path.name).toordinal()


def write_planes(
    output: Path, convolved: Path, result: Result, header: dict[str, Any], *, science: ImagePlanes, reference: str
) -> None:
    """Write difference, variance, mask, convolved image and PSF; their headers say how they came about."""
    made = result.subtraction
    cards = {
        **header,
        "SUBENG": made.engine,
        "SUBCONV": made.direction,
        "KERSUM": made.kernel_sum,
        "SUBCHI2": made.chi2,
        "SUBNSTMP": made.substamps,
        "FWHMSCI": made.fwhm_science_px,
        "FWHMREF": made.fwhm_reference_px,
        "REFNAME": reference[:68],
        "SCINAME": science.path.name[:68],
    }
    planes = {
        output: made.difference,
        naming.variance_of(output): made.variance,
        naming.mask_of(output): result.bits,
        convolved: made.convolved,
        naming.psf_of(output): made.psf.astype(np.float32),
    }
    for path, plane in planes.items():
        own = cards if path != naming.psf_of(output) else {}
        with products.staged(path) as temporary:
            fits_images.write_image(temporary, arrays.to_host(plane), own)


def _write(
    stack: Stack, reference: Path, science: ImagePlanes, result: Result, output: Path, *, seconds: float
) -> Difference:
    """Write the products of one subtraction and the record of them."""
    made = result.subtraction
    convolved = output.with_name(naming.convolved_name(reference, stack.date_obs))
    write_planes(output, convolved, result, dict(science.header), science=science, reference=reference.name)
    products.write_text(output.with_name(output.name.replace(".subt.fits", ".ssf.txt")), _positions(made))
    log.info(
        "%s: %s, %s convolved, kernel sum %.3f, chi2 %.2f on %d stamps, %.1f s",
        output.name, made.engine, made.direction, made.kernel_sum, made.chi2, made.substamps, seconds,
    )  # fmt: skip
    return Difference(
        stack=stack,
        reference=reference,
        image=output,
        convolved=convolved,
        variance=naming.variance_of(output),
        mask=naming.mask_of(output),
        direction=made.direction,
        engine=made.engine,
        kernel_sum=made.kernel_sum,
        chi2=made.chi2,
        substamps=made.substamps,
        seconds=seconds,
    )


def _positions(made: Subtraction) -> str:
    """Return the substamps' positions as HOTPANTS lists them: 1-based."""
    return "".join(f"{x + 1:.2f} {y + 1:.2f}\n" for x, y in zip(made.x, made.y, strict=True))
