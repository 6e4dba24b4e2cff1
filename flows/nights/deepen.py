"""Calibrated frames of many nights and units to deep stacks."""

from __future__ import annotations

from datetime import date

from prefect import flow

from tasks import futures, runtime
from tasks import observatory as tasks_observatory
from tasks.options import DeepOptions
from tasks.records import Deepened, Stage
from tasks.reduction import deep_stacks, stacking


@flow(name="deepen", flow_run_name="deepen-{start}-{end}", task_runner=runtime.own_runner())
def deepen(
    objects: tuple[str, ...] = (),
    filters: tuple[str, ...] = (),
    units: tuple[str, ...] = (),
    *,
    start: date | None = None,
    end: date | None = None,
    options: DeepOptions = DeepOptions(),
    observatory: str = "observatory",
) -> Deepened:
    """Stack the best frames of each field and filter, of all units and nights, and write tables of all frames.

    With ``select`` all and one night this is that night's stack of all units.

    Args:
        objects: Objects or tiles (``T00123`` or 123) to take; none means all.
        filters: Filters to take; none means all.
        units: Units to take; none means all.
        start: First night, the date of its evening; none means from the beginning.
        end: Last night; none means to the end.
        options: Which frames are chosen, and how they are combined.
        observatory: Name of the block with the observatory's places.
    """
    places = tasks_observatory.places(observatory)
    wanted = deep_stacks.Wanted(objects=objects, filters=filters, units=units, start=start, end=end)
    found = deep_stacks.survey(places.product_root, wanted)
    selections = deep_stacks.select(found, places.product_root, options)

    combine = stacking.for_slot(options.stacking)
    stacked = [
        combine.with_options(task_run_name=f"deepen-{each.object}-{each.filter}").submit(
            each.frames,
            places.photometric_catalogue,
            places.product_root,
            options.stacking,
            places.telescope,
            deep=True,
            centre_deg=options.centre_deg,
        )
        for each in selections
        if each.frames
    ]
    stacks, failures = futures.gather(stacked, stage=Stage.STACK)

    return deep_stacks.conclude(found, selections, stacks, failures, places.product_root, options)
