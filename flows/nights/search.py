"""Search: stacks of a night to candidates."""

from __future__ import annotations

from datetime import date

from prefect import flow

from flows.deprecated import block_keywords
from tasks import futures, observatory, runtime
from tasks.nights import stage_results
from tasks.options import SearchOptions
from tasks.records import Blocks, Stage, StageResult
from tasks.reduction import candidates, subtraction


@flow(name="search", flow_run_name="search-{night}", task_runner=runtime.own_runner())
@block_keywords("observatory")
def search(
    night: date,
    units: tuple[str, ...] = (),
    *,
    objects: tuple[str, ...] = (),
    options: SearchOptions = SearchOptions(),
    blocks: Blocks = Blocks(),
) -> tuple[StageResult, ...]:
    """Subtract the reference from each stack and find candidates in the difference.

    Args:
        night: Date of the evening; its frames must be stacked.
        units: Units to search; none means all that were stacked.
        objects: Objects or tiles (``T00123`` or 123) to take; none means all.
        options: How references are subtracted and what counts as a detection.
        blocks: Names of the blocks; the observatory's is used.
    """
    places = observatory.places(blocks)
    root = places.product_root
    stacked = stage_results.read_stage(root, night, units, Stage.STACK, objects)

    differences, searched = [], []
    for stack in [stack for unit in stacked for stack in unit.stacks]:
        label = stage_results.label(stack)
        difference = futures.submit(
            subtraction.subtract, stack, places.references, root, options, name=f"subtract-{label}"
        )
        differences.append(difference)
        searched.append(futures.submit(candidates.search, difference, root, options, name=f"search-{label}"))
    subtracted, no_difference = futures.gather(differences, stage=Stage.SEARCH)
    batches, no_search = futures.gather(searched, stage=Stage.SEARCH)

    failures = (*no_difference, *no_search)
    return stage_results.conclude_search(night, root, stacked, subtracted, batches, failures, objects)
