"""Raw frames of a night to calibrated lights."""

from __future__ import annotations

from datetime import date

from prefect import flow

from tasks import futures, runtime
from tasks import observatory as tasks_observatory
from tasks.nights import folders as observing
from tasks.nights import housekeeping, stage_results
from tasks.options import CalibrateOptions
from tasks.records import Stage, StageResult
from tasks.reduction import calibration, inventory
from tasks.reduction import masters as mastering


@flow(name="calibrate", flow_run_name="calibrate-{night}", task_runner=runtime.own_runner())
def calibrate(
    night: date,
    units: tuple[str, ...] = (),
    *,
    objects: tuple[str, ...] = (),
    options: CalibrateOptions = CalibrateOptions(),
    observatory: str = "observatory",
) -> tuple[StageResult, ...]:
    """Make each unit's master frames and calibrate its lights.

    Args:
        night: Date of the evening.
        units: Units to calibrate; none means all that have frames of the night.
        objects: Objects or tiles (``T00123`` or 123) to take; none means all.
        options: How masters are combined and lights calibrated.
        observatory: Name of the block with the observatory's places.
    """
    places = tasks_observatory.places(observatory)
    folders = observing.night_folders(places.raw_root, night, units)

    taken = [
        inventory.take_inventory.submit(each.folder, each.unit, night, options, objects, places.telescope)
        for each in folders
    ]
    found, no_inventory = futures.gather(taken, stage=Stage.CALIBRATE)
    inventories = inventory.join(found)
    housekeeping.check_space(inventories, places.product_root)

    masters = {each: mastering.make_masters.submit(each, places.product_root, options) for each in inventories}
    lights = [
        # Prefect hands the task what the future becomes; its types do not say so
        calibration.calibrate_lights.submit(batch, own, night, places.product_root, options)  # type: ignore[call-overload]
        for each, own in masters.items()
        for batch in each.batches(options.batch)
    ]
    batches, no_batch = futures.gather(lights, stage=Stage.CALIBRATE)
    made, no_masters = futures.gather(masters.values(), stage=Stage.CALIBRATE)

    failures = (*no_inventory, *no_masters, *no_batch)
    return stage_results.conclude_calibration(night, places.product_root, inventories, made, batches, failures, objects)
