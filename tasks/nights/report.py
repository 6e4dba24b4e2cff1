"""What became of a night: the ledger of each stage, the report, its page, its artifacts."""

from __future__ import annotations

import logging
from collections.abc import Sequence
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
from tasks.io.nights import report_rows, stage_results
from tasks.io.pages import night_page
from tasks.options import NightOptions
from tasks.records import (
    Calibrated,
    Difference,
    NightFolder,
    NightReport,
    Places,
    Plan,
    Ranking,
    Reduced,
    Rehearsal,
    Response,
    Stack,
    Stage,
    StageResult,
)
from tasks.science.nights import frame_accounting

log = logging.getLogger(__name__)

MOST_PICTURES = 12


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


@task(cache_policy=NO_CACHE, task_run_name="invalidate-recipes-{night}")
def invalidate_recipes(
    night: date, root: Path, folders: Sequence[NightFolder], stages: Sequence[Stage], objects: Sequence[str] = ()
) -> int:
    """Delete the recipes of some stages' products, so that these are made again; return how many."""
    tree = naming.NightTree(root=root)
    forgotten = 0
    for unit in {folder.unit for folder in folders}:
        for stage in stages:
            ledger = tree.stage(unit, night, stage)
            made = _files(frame_accounting.only(stage_results.read_stage(ledger), objects)) if ledger.exists() else []
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
    made = frame_accounting.summarise(night, results, seconds=runtime.seconds())
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
def rehearsed(response: Response, plans: tuple[Plan, ...], reduced: NightReport, ranked: Ranking | None) -> Rehearsal:
    """Join the parts of a rehearsal."""
    return Rehearsal(response=response, plans=plans, report=reduced, ranking=ranked)


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
