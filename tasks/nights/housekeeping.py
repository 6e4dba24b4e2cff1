"""Housekeeping of a night: lock, leftovers of killed runs, disk space, cancellation."""

from __future__ import annotations

import fcntl
import logging
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import date
from math import prod
from pathlib import Path
from typing import IO, Any, cast

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import FlowRun, State

from blocks import Observatory
from tasks import naming, products
from tasks.errors import Unavailable
from tasks.programs.outputs import SCRATCH
from tasks.programs.run import CANCEL_FILE
from tasks.records import Blocks, FrameType, Inventory, NightFolder

log = logging.getLogger(__name__)

LOCK_FILE = ".lock"
# a product is written within seconds; younger temporary files may belong to a running night of the unit
STALE_S = 600.0
# image, variance and mask after calibration and after photometry, and the solved image
BYTES_PER_LIGHT_PIXEL = 22
# a stack and its difference with all their planes
BYTES_PER_STACK_PIXEL = 36
# SWarp resamples image and weight of every frame, and reads a weight file
BYTES_PER_SCRATCH_PIXEL = 16


@contextmanager
def night_lock(night: date, root: Path, folders: Sequence[NightFolder]) -> Iterator[None]:
    """Hold the lock of some units' night while the block runs, and remove leftovers of killed runs first.

    Raises
    ------
    Unavailable
        If another run holds one of the locks; a killed run holds none.
    """
    tree = naming.NightTree(root=root)
    with ExitStack() as locks:
        for unit in sorted({folder.unit for folder in folders}):
            _hold(locks, tree.scratch(unit, night), f"{unit} {night}")
            if removed := clear(tree, unit, night):
                log.info("%s %s: removed %d files and folders of a killed run", unit, night, removed)
        yield


def clear(tree: naming.NightTree, unit: str, night: date) -> int:
    """Remove leftovers of killed runs of a unit's night: scratch folders, partial files, an old cancellation."""
    scratch = tree.scratch(unit, night)
    (scratch / CANCEL_FILE).unlink(missing_ok=True)
    folders = [path for path in scratch.glob("**/.*") if path.is_dir() and SCRATCH.fullmatch(path.name)]
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
    own = [path for folder in (scratch, tree.masters(unit, night)) for path in products.partial_files(folder)]
    common = tree.lasting(unit)
    shared = [path for folder in common for path in products.partial_files(folder) if _is_stale(path)]
    for path in (*own, *shared):
        path.unlink(missing_ok=True)
    return len(folders) + len(own) + len(shared)


def cancel(flow: Any, flow_run: FlowRun, state: State) -> None:
    """Stop the programs of a cancelled night on every worker; a hook that Prefect calls with these keywords."""
    del flow, state
    night = date.fromisoformat(str(flow_run.parameters["night"])[:10])
    blocks = Blocks(**flow_run.parameters.get("blocks", {}))
    name = flow_run.parameters.get("observatory") or blocks.observatory
    block = cast("Observatory", Observatory.load(str(name)))
    tree = naming.NightTree(root=block.paths()["product_root"])
    for unit in flow_run.parameters.get("units") or tree.begun(night):
        folder = tree.scratch(unit, night)
        products.write_text(folder / CANCEL_FILE, "the night was cancelled\n")
        log.warning("%s %s: cancelled; its programs are stopped", unit, night)


@task(cache_policy=NO_CACHE, task_run_name="check-space")
def check_space(inventories: Sequence[Inventory], root: Path) -> int:
    """Estimate the bytes that the lights still need; return the free space beyond that.

    Raises
    ------
    Unavailable
        If the disk has less, so that the run fails before hours of work, not after.
    """
    root.mkdir(parents=True, exist_ok=True)
    needed = sum(_needed(inventory, root) for inventory in inventories)
    free = shutil.disk_usage(root).free
    if free < needed:
        raise Unavailable(
            f"the products of this night need about {_gib(needed)} more and {root} has {_gib(free)} left: "
            "make room there and run the night again"
        )
    return free - needed


def _hold(locks: ExitStack, folder: Path, words: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    lock: IO[bytes] = locks.enter_context((folder / LOCK_FILE).open("wb"))
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise Unavailable(f"{words} is being reduced by another run; wait for it or cancel it") from error


def _is_stale(path: Path) -> bool:
    try:
        return time.time() - path.stat().st_mtime > STALE_S
    except FileNotFoundError:
        return False


def _needed(inventory: Inventory, root: Path) -> int:
    """Return the bytes of the missing products and of the largest stack's scratch."""
    folder = naming.NightTree(root=root).scratch(inventory.unit, inventory.night)
    left = [frame for frame in inventory.of(FrameType.LIGHT) if not (folder / f"fdz{frame.path.name}").exists()]
    if not left:
        return 0
    pixels = max(prod(frame.shape) for frame in left)
    stacks = Counter((frame.object, frame.filter) for frame in left)
    each = BYTES_PER_LIGHT_PIXEL * len(left) + BYTES_PER_STACK_PIXEL * len(stacks)
    return pixels * (each + BYTES_PER_SCRATCH_PIXEL * max(stacks.values()))


def _gib(size: int) -> str:
    return f"{size / (1 << 30):.2f} GiB"
