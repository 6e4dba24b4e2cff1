"""What became of a night: the ledger of each stage, the report, its page, its artifacts."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

from prefect import task
from prefect.artifacts import (
    create_image_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
)
from prefect.cache_policies import NO_CACHE

from tasks import naming, products, runtime
from tasks.errors import UnusableData
from tasks.io.nights import report_rows, stage_results
from tasks.io.pages import night_page
from tasks.options import NightOptions
from tasks.records import (
    Calibrated,
    CalibratedBatch,
    CandidateBatch,
    Difference,
    Frame,
    Inventory,
    Masters,
    NightFolder,
    NightReport,
    Places,
    Ranking,
    Reduced,
    ReducedBatch,
    Rehearsal,
    Rejected,
    Response,
    SolvedBatch,
    Stack,
    Stage,
    StageResult,
)
from tasks.science import accounting

log = logging.getLogger(__name__)

MOST_PICTURES = 12

Failures = tuple[Rejected, ...]


def label(each: Frame | Stack) -> str:
    """Return the words that tell one batch of a night from another in the names of its runs."""
    return f"{each.unit}-{naming.slug(each.object)}-{each.filter}"


@task(cache_policy=NO_CACHE, task_run_name="conclude-calibrate-{night}")
def conclude_calibration(
    night: date,
    root: Path,
    inventories: Sequence[Inventory],
    masters: Sequence[Masters],
    batches: Sequence[CalibratedBatch],
    failures: Failures,
    objects: Sequence[str] = (),
) -> tuple[StageResult, ...]:
    """Write each unit's ledger of calibration; every light is in it, calibrated or rejected."""
    results = []
    for inventory in inventories:
        made = tuple(each for batch in batches for each in batch.calibrated if each.frame.unit == inventory.unit)
        left_out = [*(each.rejected for each in masters), *(each.rejected for each in batches)]
        own = (*inventory.rejected, *_of_unit(inventory.unit, left_out))
        lost = accounting.unaccounted(
            [frame.path.name for batch in inventory.batches(1) for frame in batch],
            [each.frame.path.name for each in made],
            own,
            failures,
            stage=Stage.CALIBRATE,
            unit=inventory.unit,
        )
        results.append(
            StageResult(
                stage=Stage.CALIBRATE,
                unit=inventory.unit,
                night=night,
                seconds=runtime.seconds(),
                inventory=inventory,
                calibrated=made,
                rejected=(*own, *lost),
                masters=tuple(quality for each in masters if each.unit == inventory.unit for quality in each.quality),
            )
        )
    return _write(root, results, failures, objects)


@task(cache_policy=NO_CACHE, task_run_name="conclude-reduce-{night}")
def conclude_reduction(
    night: date,
    root: Path,
    calibrated: Sequence[StageResult],
    solutions: Sequence[SolvedBatch],
    batches: Sequence[ReducedBatch],
    failures: Failures,
    objects: Sequence[str] = (),
) -> tuple[StageResult, ...]:
    """Write each unit's ledger of reduction; every calibrated light is in it, reduced or rejected."""
    del night
    results = []
    for before in calibrated:
        made = tuple(each for batch in batches for each in batch.reduced if each.frame.unit == before.unit)
        left_out = [*(each.rejected for each in solutions), *(each.rejected for each in batches)]
        own = _of_unit(before.unit, left_out)
        lost = accounting.unaccounted(
            [each.frame.path.name for each in before.calibrated],
            [each.frame.path.name for each in made],
            own,
            failures,
            stage=Stage.REDUCE,
            unit=before.unit,
        )
        solved = {each.frame.path.name: each.seconds for batch in solutions for each in batch.solved}
        own_s = {light.frame.path.name: solved.get(light.frame.path.name) for light in before.calibrated}
        solved_s = {name: seconds for name, seconds in own_s.items() if seconds is not None}
        result = _next(before, Stage.REDUCE)
        results.append(replace(result, reduced=made, rejected=(*own, *lost), solved_s=solved_s))
    return _write(root, results, failures, objects)


@task(cache_policy=NO_CACHE, task_run_name="conclude-stack-{night}")
def conclude_stacks(
    night: date,
    root: Path,
    reduced: Sequence[StageResult],
    stacks: Sequence[Stack],
    failures: Failures,
    objects: Sequence[str] = (),
) -> tuple[StageResult, ...]:
    """Write each unit's ledger of stacks, and one of those that several units share.

    A frame that a stack leaves out is in it with the reason.
    """
    del night
    shared = sorted({each.unit for each in stacks} - {before.unit for before in reduced})
    results = []
    for before in (*reduced, *(replace(reduced[0], unit=unit) for unit in shared)):
        own = tuple(each for each in stacks if each.unit == before.unit)
        left_out = tuple(frame for each in own for frame in each.rejected)
        failed = tuple(each for each in failures if f"{before.unit}-" in each.name)
        results.append(replace(_next(before, Stage.STACK), stacks=own, rejected=(*left_out, *failed)))
    return _write(root, results, failures, objects)


@task(cache_policy=NO_CACHE, task_run_name="conclude-search-{night}")
def conclude_search(
    night: date,
    root: Path,
    stacked: Sequence[StageResult],
    differences: Sequence[Difference],
    batches: Sequence[CandidateBatch],
    failures: Failures,
    objects: Sequence[str] = (),
) -> tuple[StageResult, ...]:
    """Write each unit's ledger of differences and candidates."""
    del night
    results = []
    for before in stacked:
        own = [batch for batch in batches if batch.difference.stack.unit == before.unit]
        results.append(
            replace(
                _next(before, Stage.SEARCH),
                differences=tuple(each for each in differences if each.stack.unit == before.unit),
                candidates=tuple(candidate for batch in own for candidate in batch.candidates),
                tables=tuple(batch.table for batch in own),
                searched_s=tuple(batch.seconds for batch in own),
                rejected=tuple(each for each in failures if f"{before.unit}-" in each.name),
            )
        )
    return _write(root, results, failures, objects)


@task(cache_policy=NO_CACHE, task_run_name="read-{stage}-{night}")
def read_stage(
    root: Path, night: date, units: Sequence[str], stage: Stage, objects: Sequence[str] = ()
) -> tuple[StageResult, ...]:
    """Read what a stage made of a night, for the units and objects asked for or for all that have it."""
    tree = naming.NightTree(root=root)
    paths = [tree.stage(unit, night, stage) for unit in units] or sorted(tree.report(night).glob(f"*/{stage}.json"))
    if not paths:
        raise UnusableData(f"no unit has finished stage {stage} of {night} in {root}: run it first")
    return tuple(accounting.only(stage_results.read_stage(path), objects) for path in paths)


@task(cache_policy=NO_CACHE, task_run_name="recall-{night}")
def recall_night(
    night: date, places: Places, folders: Sequence[NightFolder], options: NightOptions, force: Sequence[Stage] = ()
) -> NightReport | None:
    """Return the report of an earlier run where frames, options and every product are as it left them."""
    if force:
        return None
    known = products.recall(
        _recipe(places, folders, options), _report_file(places, night, folders, options), NightReport
    )
    if known is not None:
        log.info("%s: nothing has changed since it was reduced; %d stacks stand", night, len(known.stacks))
    return known


@task(cache_policy=NO_CACHE, task_run_name="forget-{night}")
def forget(
    night: date, root: Path, folders: Sequence[NightFolder], stages: Sequence[Stage], objects: Sequence[str] = ()
) -> int:
    """Forget how the products of some stages were made, so that they are made anew; return how many."""
    tree = naming.NightTree(root=root)
    forgotten = 0
    for unit in {folder.unit for folder in folders}:
        for stage in stages:
            ledger = tree.stage(unit, night, stage)
            made = _files(accounting.only(stage_results.read_stage(ledger), objects)) if ledger.exists() else []
            notes = {*map(naming.sidecar, made), *tree.notes(unit, night, stage)}
            for note in notes:
                note.unlink(missing_ok=True)
            forgotten += len(notes)
            if stage is Stage.REDUCE and not objects:
                tree.batches(unit, night).unlink(missing_ok=True)
    return forgotten


@task(cache_policy=NO_CACHE, task_run_name="progress-{stage}")
def progress(night: date, stage: Stage, until: Stage) -> None:
    """Show in the run's page how far a night has come."""
    stages = until.and_before()
    done = 100 * stages.index(stage) / len(stages)
    create_progress_artifact(progress=done, key=f"night-{night}", description=f"{night}: now {stage}")


@task(cache_policy=NO_CACHE, task_run_name="report-{night}")
def report(
    night: date,
    places: Places,
    folders: Sequence[NightFolder],
    options: NightOptions,
    results: tuple[StageResult, ...],
) -> NightReport:
    """Write the night's page and tables, remember its recipe, show its artifacts."""
    made = accounting.summarise(night, results, seconds=runtime.seconds())
    file = _report_file(places, night, folders, options)
    page = file.with_name("index.html")
    complete = replace(made, page=page)
    previews = night_page.write_previews(complete, page.parent / "previews", products.staged)
    products.write_text(page, night_page.render(complete, previews))
    products.write_text(file, night_page.to_json(complete))
    files = [file, page, *previews.values()]
    if any(each.passing for each in complete.rejected):
        log.warning("%s: some losses may not happen again: run the night once more", night)
        naming.sidecar(file).unlink(missing_ok=True)
    else:
        others = dict.fromkeys(path for result in results for path in _files(result))
        products.remember(_recipe(places, folders, options), files, complete, others=list(others))
    _show(complete, tuple(previews.values()))
    return complete


@task(cache_policy=NO_CACHE, task_run_name="rehearsed")
def rehearsed(response: Response, made: NightReport, ranked: Ranking | None) -> Rehearsal:
    """Join what a rehearsal came to."""
    return Rehearsal(response=response, report=made, ranking=ranked)


def _show(made: NightReport, pictures: Sequence[Path]) -> None:
    for picture in pictures[:MOST_PICTURES]:
        name = naming.slug(picture.name.removesuffix(".com.fits.png"))
        create_image_artifact(
            image_url=night_page.thumbnail(picture),
            key=f"stack-{name}".replace("_", "-").replace(".", "-").lower(),
            description=name,
        )
    create_table_artifact(report_rows.frame_rows(made), key="night-frames", description=f"Frames of {made.night}")
    create_table_artifact(report_rows.stack_rows(made), key="night-stacks", description=f"Stacks of {made.night}")
    create_table_artifact(
        report_rows.candidate_rows(made), key="night-candidates", description=f"Candidates of {made.night}"
    )
    create_markdown_artifact(night_page.markdown(made), key="night-report", description=f"Report of {made.night}")
    create_progress_artifact(progress=100.0, key=f"night-{made.night}", description=f"{made.night}: done")


def _recipe(places: Places, folders: Sequence[NightFolder], options: NightOptions) -> products.Recipe:
    raw = [path for folder in folders for path in sorted(folder.folder.iterdir()) if path.is_file()]
    references = sorted(places.references.rglob("*.fits")) if places.references.is_dir() else []
    photometric = places.photometric_catalogue
    cells = sorted(photometric.glob("*.fits")) if photometric.is_dir() else [photometric]
    catalogues = [path for path in (places.astrometric_catalogue, *cells) if path.exists()]
    return products.Recipe(stage="night", inputs=[*raw, *catalogues, *references], options=options)


def _report_file(places: Places, night: date, folders: Sequence[NightFolder], options: NightOptions) -> Path:
    """Name a night's report; one of a part of the units or objects has a name of its own."""
    folder = naming.NightTree(root=places.product_root).report(night)
    part = "-".join((*sorted({each.unit for each in folders}), *sorted(naming.object_slugs(options.objects))))
    return folder / f"report-{naming.hashed(part)}" / "report.json"


def _files(result: StageResult) -> list[Path]:
    """Return the products that a stage's result names."""
    planes: list[Calibrated | Reduced | Stack | Difference] = [
        *result.calibrated,
        *result.reduced,
        *result.stacks,
        *result.differences,
    ]
    files = [path for each in planes for path in (each.image, each.variance, each.mask)]
    files += [each.photometry.catalogue for each in result.reduced]
    files += [each.photometry.catalogue for each in result.stacks]
    files += [each.convolved for each in result.differences]
    files += [each.stamp for each in result.candidates if each.stamp is not None]
    return [*files, *result.tables]


def _of_unit(unit: str, groups: Iterable[Sequence[Rejected]]) -> Failures:
    return tuple(each for group in groups for each in group if each.unit == unit)


def _next(before: StageResult, stage: Stage) -> StageResult:
    return StageResult(stage=stage, unit=before.unit, night=before.night, seconds=runtime.seconds())


def _write(
    root: Path, results: Sequence[StageResult], failures: Failures, objects: Sequence[str]
) -> tuple[StageResult, ...]:
    """Write the ledgers, of some objects into those of all; raise where not even one unit got through."""
    if not results:
        reasons = "; ".join(f"{each.name}: {each.reason}" for each in failures) or "there was none"
        raise UnusableData(f"no unit could be used: {reasons}")
    strays = tuple(each for each in failures if not any(result.unit in each.name for result in results))
    results = [replace(results[0], rejected=(*results[0].rejected, *strays)), *results[1:]]
    tree = naming.NightTree(root=root)
    for result in results:
        place = tree.stage(result.unit, result.night, result.stage)
        whole = (
            accounting.merged(stage_results.read_stage(place), result, objects)
            if objects and place.exists()
            else result
        )
        products.write_bytes(place, stage_results.stage_bytes(whole))
        log.info("%s %s: %d done, %d rejected", result.unit, result.stage, result.done, len(result.rejected))
    return tuple(results)
