"""Calibrate: raw frames of a night to calibrated lights."""

from __future__ import annotations

from datetime import date

from prefect import flow

from flows.deprecated import block_keywords
from tasks import futures, observatory, runtime
from tasks.nights import folders, housekeeping, stage_results
from tasks.options import CalibrateOptions
from tasks.records import Blocks, Stage, StageResult
from tasks.reduction import calibration, inventory, masters


@flow(name="calibrate", flow_run_name="calibrate-{night}", task_runner=runtime.own_runner())
@block_keywords("observatory")
def calibrate(
    night: date,
    units: tuple[str, ...] = (),
    *,
    objects: tuple[str, ...] = (),
    options: CalibrateOptions = CalibrateOptions(),
    blocks: Blocks = Blocks(),
) -> tuple[StageResult, ...]:
    """Make each unit's master frames and calibrate its lights.

    Args:
        night: Date of the evening.
        units: Units to calibrate; none means all that have frames of the night.
        objects: Objects or tiles (``T00123`` or 123) to take; none means all.
        options: How masters are combined and lights calibrated.
        blocks: Names of the blocks; the observatory's is used.
    """
    places = observatory.places(blocks)
    raw = folders.night_folders(places.raw_root, night, units)

    taken = [
        futures.submit(inventory.take_inventory, folder.folder, folder.unit, night, options, objects, places.telescope)
        for folder in raw
    ]
    partial, no_inventory = futures.gather(taken, stage=Stage.CALIBRATE)
    inventories = inventory.join(partial)
    housekeeping.check_space(inventories, places.product_root)

    building = {
        frames: futures.submit(masters.make_masters, frames, places.product_root, options) for frames in inventories
    }
    lights = [
        futures.submit(calibration.calibrate_lights, batch, built, night, places.product_root, options)
        for frames, built in building.items()
        for batch in frames.batches(options.batch)
    ]
    batches, no_batch = futures.gather(lights, stage=Stage.CALIBRATE)
    built, no_masters = futures.gather(building.values(), stage=Stage.CALIBRATE)

    failures = (*no_inventory, *no_masters, *no_batch)
    return stage_results.conclude_calibration(
        night, places.product_root, inventories, built, batches, failures, objects
    )
