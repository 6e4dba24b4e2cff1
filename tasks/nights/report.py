"""The report of a night: its page, tables and Prefect artifacts; recall of an earlier report."""

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
    """Return the report of an earlier run if frames, options and all products are unchanged, else None."""
    if force:
        return None
    earlier = products.recall(
        _recipe(places, folders, options), _report_file(places, night, folders, options), NightReport
    )
    if earlier is not None:
        log.info("%s: nothing has changed since it was reduced; %d stacks", night, len(earlier.stacks))
    return earlier


@task(cache_policy=NO_CACHE, task_run_name="invalidate-recipes-{night}")
def invalidate_recipes(
    night: date, root: Path, folders: Sequence[NightFolder], stages: Sequence[Stage], objects: Sequence[str] = ()
) -> int:
    """Delete the recipes of some stages' products, so that they are made again; return how many."""
    tree = naming.NightTree(root=root)
    deleted = 0
    for unit in {folder.unit for folder in folders}:
        for stage in stages:
            ledger = tree.stage(unit, night, stage)
            files = _files(frame_accounting.only(stage_results.read_stage(ledger), objects)) if ledger.exists() else []
            sidecars = {*map(naming.sidecar, files), *tree.notes(unit, night, stage)}
            for sidecar in sidecars:
                sidecar.unlink(missing_ok=True)
            deleted += len(sidecars)
            if stage is Stage.REDUCE and not objects:
                tree.batches(unit, night).unlink(missing_ok=True)
    return deleted


@task(cache_policy=NO_CACHE, task_run_name="progress-{stage}")
def progress(night: date, stage: Stage, until: Stage) -> None:
    """Show the progress of a night on the run's page in Prefect."""
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
    """Write the night's page and report, its recipe and its Prefect artifacts."""
    summary = frame_accounting.summarise(night, results, seconds=runtime.seconds())
    file = _report_file(places, night, folders, options)
    page = file.with_name("index.html")
    complete = replace(summary, page=page)
    previews = night_page.write_previews(complete, page.parent / "previews", products.staged)
    products.write_text(page, night_page.render(complete, previews))
    products.write_text(file, night_page.to_json(complete))
    files = [file, page, *previews.values()]
    if any(loss.passing for loss in complete.rejected):
        log.warning("%s: some losses may not happen again: run the night once more", night)
        naming.sidecar(file).unlink(missing_ok=True)
    else:
        others = dict.fromkeys(path for result in results for path in _files(result))
        products.remember(_recipe(places, folders, options), files, complete, others=list(others))
    _show(complete, tuple(previews.values()))
    return complete


@task(cache_policy=NO_CACHE, task_run_name="rehearsed")
def rehearsed(response: Response, plans: tuple[Plan, ...], reduced: NightReport, ranked: Ranking | None) -> Rehearsal:
    """Combine the parts of a rehearsal."""
    return Rehearsal(response=response, plans=plans, report=reduced, ranking=ranked)


def _show(finished: NightReport, pictures: Sequence[Path]) -> None:
    for picture in pictures[:MOST_PICTURES]:
        name = naming.slug(picture.name.removesuffix(".com.fits.png"))
        create_image_artifact(
            image_url=night_page.thumbnail(picture),
            key=f"stack-{name}".replace("_", "-").replace(".", "-").lower(),
            description=name,
        )
    night = finished.night
    create_table_artifact(report_rows.frame_rows(finished), key="night-frames", description=f"Frames of {night}")
    create_table_artifact(report_rows.stack_rows(finished), key="night-stacks", description=f"Stacks of {night}")
    create_table_artifact(
        report_rows.candidate_rows(finished), key="night-candidates", description=f"Candidates of {night}"
    )
    create_markdown_artifact(night_page.markdown(finished), key="night-report", description=f"Report of {night}")
    create_progress_artifact(progress=100.0, key=f"night-{night}", description=f"{night}: done")


def _recipe(places: Places, folders: Sequence[NightFolder], options: NightOptions) -> products.Recipe:
    raw = [path for folder in folders for path in sorted(folder.folder.iterdir()) if path.is_file()]
    references = sorted(places.references.rglob("*.fits")) if places.references.is_dir() else []
    photometric = places.photometric_catalogue
    cells = sorted(photometric.glob("*.fits")) if photometric.is_dir() else [photometric]
    catalogues = [path for path in (places.astrometric_catalogue, *cells) if path.exists()]
    return products.Recipe(stage="night", inputs=[*raw, *catalogues, *references], options=options)


def _report_file(places: Places, night: date, folders: Sequence[NightFolder], options: NightOptions) -> Path:
    """Return the path of a night's report; each selection of units and objects has its own."""
    folder = naming.NightTree(root=places.product_root).report(night)
    part = "-".join((*sorted({each.unit for each in folders}), *sorted(naming.object_slugs(options.objects))))
    return folder / f"report-{naming.hashed(part)}" / "report.json"


def _files(result: StageResult) -> list[Path]:
    """Return the files of the products in a stage's result."""
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
