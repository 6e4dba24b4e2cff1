"""Reduced frames of a night to stacks."""

from __future__ import annotations

from datetime import date

from prefect import flow

from tasks import futures, runtime
from tasks import observatory as tasks_observatory
from tasks.nights import stage_results
from tasks.options import StackOptions
from tasks.records import Stage, StageResult
from tasks.reduction import stacking, superseded_stacks


@flow(name="stack", flow_run_name="stack-{night}", task_runner=runtime.own_runner())
def stack(
    night: date,
    units: tuple[str, ...] = (),
    *,
    objects: tuple[str, ...] = (),
    options: StackOptions = StackOptions(),
    observatory: str = "observatory",
) -> tuple[StageResult, ...]:
    """Combine each unit's frames of one field and filter, or those of all units together.

    Args:
        night: Date of the evening; its frames must be reduced.
        units: Units to stack; none means all that were reduced.
        objects: Objects or tiles (``T00123`` or 123) to take; none means all.
        options: Which frames are stacked together, and how.
        observatory: Name of the block with the observatory's places.
    """
    places = tasks_observatory.places(observatory)
    reduced = stage_results.read_stage(places.product_root, night, units, Stage.REDUCE, objects)
    groups = stacking.group(reduced, options)

    combine = stacking.for_slot(options)
    stacked = [
        combine.with_options(task_run_name=f"stack-{stage_results.label(group[0].frame)}").submit(
            group, places.photometric_catalogue, places.product_root, options, places.telescope
        )
        for group in groups
    ]
    stacks, failures = futures.gather(stacked, stage=Stage.STACK)

    superseded_stacks.supersede(night, places.product_root, stacks)
    failures = (*stacking.skipped(reduced, options), *failures)
    return stage_results.conclude_stacks(night, places.product_root, reduced, stacks, failures, objects)
