"""Master frames of one unit's night: bias, darks, flats, and the map of bad pixels; a rerun looks them up."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks import naming, products
from tasks.options import CalibrateOptions
from tasks.records import FrameType, Inventory, Masters
from tasks.reduction.engines import master_builder
from tasks.reduction.engines.master_archive import MasterArchive
from tasks.reduction.engines.master_builder import MasterBuilder

log = logging.getLogger(__name__)

TOOLS = {"numpy": np.__version__}


@task(task_run_name="masters-{inventory.unit}-{inventory.night}", tags={"gpu"}, cache_policy=NO_CACHE)
def make_masters(inventory: Inventory, root: Path, options: CalibrateOptions) -> Masters:
    """Combine a unit's bias, dark and flat frames, judge them, borrow what is missing, and map the bad pixels.

    A master that can be neither made nor borrowed is assumed and marked as doubtful. A later run replaces doubtful masters
    as soon as another night has a good one.

    Raises
    ------
    UnusableData
        If nothing tells the level of the bias, or the gain: no light of the unit can then be calibrated.
    """
    tree = naming.NightTree(root=root)
    folder = tree.masters(inventory.unit, inventory.night)
    inputs = [frame.path for frame in inventory.frames if frame.type is not FrameType.LIGHT]
    recipe = products.Recipe(stage="masters", inputs=inputs, options=(options, inventory.needs), tools=TOOLS)
    archive = MasterArchive(tree, inventory, options)
    earlier = products.recall(recipe, folder / master_builder.BAD_PIXELS_NAME, Masters)
    if earlier is not None and not archive.improves(earlier.quality):
        return earlier
    masters = MasterBuilder(folder=folder, archive=archive, inventory=inventory, options=options).make()
    products.remember(recipe, master_builder.files(masters, folder), masters)
    log.info("%s %s: masters of %d frames", inventory.unit, inventory.night, len(inputs) - len(masters.rejected))
    return masters
