"""Stack: reduced frames of a night to stacks."""

from __future__ import annotations

from datetime import date

from prefect import flow

from flows.deprecated import block_keywords
from tasks import futures, observatory, runtime
from tasks.nights import stage_results
from tasks.options import StackOptions
from tasks.records import Blocks, Stage, StageResult
from tasks.reduction import stacking, superseded_stacks


@flow(name="stack", flow_run_name="stack-{night}", task_runner=runtime.own_runner())
@block_keywords("observatory")
def stack(
    night: date,
    units: tuple[str, ...] = (),
    *,
    objects: tuple[str, ...] = (),
    options: StackOptions = StackOptions(),
    blocks: Blocks = Blocks(),
) -> tuple[StageResult, ...]:
    """Combine each unit's frames of one field and filter, or those of all units together.

    Args:
        night: Date of the evening; its frames must be reduced.
        units: Units to stack; none means all that were reduced.
        objects: Objects or tiles (``T00123`` or 123) to take; none means all.
        options: Which frames are stacked together, and how.
        blocks: Names of the blocks; the observatory's is used.
    """
    places = observatory.places(blocks)
    root, reference = places.product_root, places.photometric_catalogue
    reduced = stage_results.read_stage(root, night, units, Stage.REDUCE, objects)

    combine = stacking.for_slot(options)
    stacked = [
        futures.submit(
            combine,
            group,
            reference,
            root,
            options,
            places.telescope,
            name=f"stack-{stage_results.label(group[0].frame)}",
        )
        for group in stacking.group(reduced, options)
    ]
    stacks, failures = futures.gather(stacked, stage=Stage.STACK)

    superseded_stacks.supersede(night, root, stacks)
    failures = (*stacking.skipped(reduced, options), *failures)
    return stage_results.conclude_stacks(night, root, reduced, stacks, failures, objects)
