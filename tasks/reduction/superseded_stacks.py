"""Removal of stacks superseded by a longer one after a late frame, with all their products."""

from __future__ import annotations

import glob
import logging
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks import naming, products
from tasks.io.fits import fits_images
from tasks.records import Stack
from tasks.science.stacking import stack_members

log = logging.getLogger(__name__)


@task(cache_policy=NO_CACHE, task_run_name="supersede-{night}")
def supersede(night: date, root: Path, stacks: Sequence[Stack]) -> tuple[Path, ...]:
    """Remove the night's stacks that were made before a late frame arrived, and return them.

    A stack is named after its frames' mean time and whole exposure, so a stack with a late frame has another name and
    would lie beside the earlier one. The earlier one is removed only if the new one is complete and all earlier frames
    are in it, or were left out of it for a reason. Deep stacks are kept; a stack with its sky is not superseded by one
    without, nor the reverse.
    """
    current = {stack.image for stack in stacks}
    gone = []
    for stack in stacks:
        for earlier in sorted(set(_neighbours(stack.image, night)) - current):
            if _is_superseded(earlier, stack):
                _remove(earlier, naming.NightTree(root=root).report(night))
                log.info("%s removed: superseded by %s, which holds its frames", earlier.name, stack.image.name)
                gone.append(earlier)
    return tuple(gone)


def _neighbours(image: Path, night: date) -> list[Path]:
    """Return the stacks of one night in the folder of a stack, itself included."""
    days = (night, night + timedelta(days=1))
    return [path for day in days for path in image.parent.glob(f"calib_*_{day:%Y%m%d}_*.com.fits")]


def _is_superseded(earlier: Path, stack: Stack) -> bool:
    if products.stage_of(earlier) not in {"", products.stage_of(stack.image)}:
        return False
    before, now = fits_images.read_header(earlier), fits_images.read_header(stack.image)
    return stack_members.holds(
        before, now, [*(path.name for path in stack.inputs), *(rejection.name for rejection in stack.rejected)]
    )


def _remove(stack: Path, report: Path) -> None:
    """Remove a stack, its planes, catalogue, difference and candidates; last its image, by which they are found."""
    stem = glob.escape(stack.name.removesuffix("fits"))
    own = [path for path in stack.parent.rglob(f"{stem}*") if path != stack and path.is_file()]
    named_otherwise = [path for product in own for path in products.made_with(product)]
    pictures = report.glob(f"report-*/previews/{stem}fits*")
    for path in (*named_otherwise, *map(naming.sidecar, named_otherwise), *pictures, *own, stack):
        path.unlink(missing_ok=True)
