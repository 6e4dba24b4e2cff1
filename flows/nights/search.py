"""Stacks of a night to candidates."""

from __future__ import annotations

from datetime import date

from prefect import flow

from tasks import futures, runtime
from tasks import observatory as tasks_observatory
from tasks.nights import stage_results
from tasks.options import SearchOptions
from tasks.records import Stage, StageResult
from tasks.reduction import candidates, subtraction


@flow(name="search", flow_run_name="search-{night}", task_runner=runtime.own_runner())
def search(
    night: date,
    units: tuple[str, ...] = (),
    *,
    objects: tuple[str, ...] = (),
    options: SearchOptions = SearchOptions(),
    observatory: str = "observatory",
) -> tuple[StageResult, ...]:
    """Subtract the reference from each stack and find what is new.

    Args:
        night: Date of the evening; its frames must be stacked.
        units: Units to search; none means all that were stacked.
        objects: Objects or tiles (``T00123`` or 123) to take; none means all.
        options: How references are subtracted and what counts as a detection.
        observatory: Name of the block with the observatory's places.
    """
    places = tasks_observatory.places(observatory)
    stacked = stage_results.read_stage(places.product_root, night, units, Stage.STACK, objects)

    differences, searched = [], []
    for each in [stack for unit in stacked for stack in unit.stacks]:
        label = stage_results.label(each)
        difference = subtraction.subtract.with_options(task_run_name=f"subtract-{label}").submit(
            each, places.references, places.product_root, options
        )
        # Prefect hands the task what the future becomes; its types do not say so
        found = candidates.search.with_options(task_run_name=f"search-{label}").submit(  # type: ignore[call-overload]
            difference,
            places.product_root,
            options,
        )
        differences.append(difference)
        searched.append(found)
    subtracted, no_difference = futures.gather(differences, stage=Stage.SEARCH)
    batches, no_search = futures.gather(searched, stage=Stage.SEARCH)

    failures = (*no_difference, *no_search)
    return stage_results.conclude_search(night, places.product_root, stacked, subtracted, batches, failures, objects)
