"""Deepen: calibrated frames of many nights and units to deep stacks."""

from __future__ import annotations

from datetime import date

from prefect import flow

from flows.deprecated import block_keywords
from tasks import futures, observatory, runtime
from tasks.options import DeepOptions
from tasks.records import Blocks, Deepened, Stage
from tasks.reduction import deep_stacks, stacking


@flow(name="deepen", flow_run_name="deepen-{start}-{end}", task_runner=runtime.own_runner())
@block_keywords("observatory")
def deepen(
    objects: tuple[str, ...] = (),
    filters: tuple[str, ...] = (),
    units: tuple[str, ...] = (),
    *,
    start: date | None = None,
    end: date | None = None,
    options: DeepOptions = DeepOptions(),
    blocks: Blocks = Blocks(),
) -> Deepened:
    """Stack the best frames of each field and filter, of all units and nights, and write tables of all frames.

    With ``select`` all and one night, the result is that night's stack of all units.

    Args:
        objects: Objects or tiles (``T00123`` or 123) to take; none means all.
        filters: Filters to take; none means all.
        units: Units to take; none means all.
        start: First night, the date of its evening; none means from the beginning.
        end: Last night; none means to the end.
        options: Which frames are chosen, and how they are combined.
        blocks: Names of the blocks; the observatory's is used.
    """
    places = observatory.places(blocks)
    root = places.product_root
    wanted = deep_stacks.Wanted(objects=objects, filters=filters, units=units, start=start, end=end)
    survey = deep_stacks.survey(root, wanted)
    selections = deep_stacks.select(survey, root, options)

    combine = stacking.for_slot(options.stacking)
    stacked = [
        futures.submit(
            combine,
            each.frames,
            places.photometric_catalogue,
            root,
            options.stacking,
            places.telescope,
            deep=True,
            centre_deg=options.centre_deg,
            name=f"deepen-{each.object}-{each.filter}",
        )
        for each in selections
        if each.frames
    ]
    stacks, failures = futures.gather(stacked, stage=Stage.STACK)

    return deep_stacks.conclude(survey, selections, stacks, failures, root, options)
