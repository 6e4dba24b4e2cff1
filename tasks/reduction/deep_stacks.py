"""Deep stacks of frames of many nights and units: survey of the frames, selection, report."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from prefect import task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE

from tasks import naming, products
from tasks.errors import UnusableData
from tasks.io.fits import fits_images
from tasks.io.nights import deep_stack_tables
from tasks.options import DeepOptions
from tasks.records import Deepened, Reduced, Rejected, Selection, Stack, Stage, Survey
from tasks.science.headers.card_values import Header
from tasks.science.stacking import deep_selection

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which frames to survey: an empty field means all; days are the evenings' dates, inclusive."""

    objects: tuple[str, ...] = ()
    filters: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    start: date | None = None
    end: date | None = None

    def takes(self, image: Path) -> bool:
        """Return whether a frame is wanted, judged by its name."""
        night = naming.night_of(naming.parse_image(image.name).date_obs)
        return (self.start or night) <= night <= (self.end or night)


@task(cache_policy=NO_CACHE, task_run_name="survey")
def survey(root: Path, wanted: Wanted) -> Survey:
    """Read the headers of a tree's calibrated frames, and write tables of them.

    Raises
    ------
    UnusableData
        If there is no frame.
    """
    headers = _headers(root, wanted)
    if not headers:
        raise UnusableData(f"no calibrated frame in {root} matches the requested objects, filters, units and nights")
    usable: list[Reduced] = []
    rejected: list[Rejected] = []
    for image, unit, cards in headers:
        try:
            usable.append(_checked(deep_selection.frame_of(cards, image, unit=unit)))
        except UnusableData as error:
            rejected.append(Rejected(name=image.name, stage=Stage.STACK, reason=str(error), unit=unit))
    tables = _write_tables(root, headers, usable)
    log.info("%d calibrated frames, %d of them without WCS, zero point or planes", len(headers), len(rejected))
    return Survey(frames=tuple(usable), rejected=tuple(rejected), tables=tables)


@task(cache_policy=NO_CACHE, task_run_name="select")
def select(found: Survey, root: Path, options: DeepOptions) -> tuple[Selection, ...]:
    """Choose the frames of each field and filter; write list, figures and plot into the folder of the future stack.

    Raises
    ------
    UnusableData
        If a frame requested by name does not exist.
    """
    deep_selection.check_names(found.frames, found.rejected, options)
    selections = []
    for group in deep_selection.fields(found.frames):
        bad = [rejected for rejected in found.rejected if deep_selection.belongs(rejected.name, group[0])]
        selection = deep_selection.select(group, bad, options)
        _write_lists(selection, group, root, deep_selection.label(options))
        log.info("%s %s: %d of %d frames chosen", selection.object, selection.filter, len(selection.frames), len(group))
        selections.append(selection)
    return tuple(selections)


@task(cache_policy=NO_CACHE, task_run_name="conclude-deepen")
def conclude(
    found: Survey,
    selections: Sequence[Selection],
    stacks: Sequence[Stack],
    failures: Sequence[Rejected],
    root: Path,
    options: DeepOptions,
) -> Deepened:
    """Join the results of a run, and show them on the run's page."""
    empty = deep_selection.without_frames(selections, options)
    left_out = (rejected for selection in selections for rejected in selection.rejected)
    create_table_artifact(deep_stack_tables.stack_rows(stacks), key="deep-stacks", description="Deep stacks")
    label = deep_selection.label(options)
    lists = (path for selection in selections for path in _lists(selection, root, label))
    return Deepened(
        stacks=tuple(stacks),
        rejected=tuple(dict.fromkeys((*found.rejected, *left_out, *empty, *failures))),
        files=(*found.tables, *lists),
    )


def _headers(root: Path, wanted: Wanted) -> list[tuple[Path, str, Header]]:
    """Read the headers of the wanted calibrated frames, in the order of their paths."""
    tree = naming.NightTree(root=root)
    images = [path for path in tree.singles(wanted.objects, wanted.filters, wanted.units) if wanted.takes(path)]
    return [(path, naming.parse_image(path.name).unit, fits_images.read_header(path)) for path in images]


def _checked(item: Reduced) -> Reduced:
    for plane in (item.variance, item.mask):
        if not plane.is_file():
            raise UnusableData(f"{plane.name} is missing beside it")
    return item


def _write_tables(
    root: Path, headers: Sequence[tuple[Path, str, Header]], usable: Sequence[Reduced]
) -> tuple[Path, ...]:
    """Write a table of all headers for each unit and filter, and one table with a row for each field."""
    folder = naming.NightTree(root=root).survey()
    rows: dict[str, list[tuple[str, Header]]] = {}
    for image, unit, cards in headers:
        rows.setdefault(f"{unit}_{naming.parse_image(image.name).filter}", []).append((image.name, cards))
    texts = {folder / f"{name}.csv": deep_stack_tables.header_table(frames) for name, frames in sorted(rows.items())}
    texts[folder / "fields.csv"] = deep_stack_tables.tile_table(deep_selection.fields(usable))
    for path, text in texts.items():
        products.write_text(path, text)
    return tuple(texts)


def _lists(selection: Selection, root: Path, label: str) -> tuple[Path, Path, Path]:
    units = [item.frame.unit for item in selection.frames] or ["7DT00"]
    folder = naming.NightTree(root=root).science(
        selection.object, naming.joint_unit(units, always=True), selection.filter
    )
    stem = f"select_{label}_{naming.slug(selection.object)}_{selection.filter}"
    return folder / f"{stem}.txt", folder / f"{stem}.json", folder / f"{stem}.png"


def _write_lists(selection: Selection, group: Sequence[Reduced], root: Path, label: str) -> None:
    names, figures, picture = _lists(selection, root, label)
    products.write_text(names, deep_stack_tables.selection_list(selection))
    products.write_text(figures, deep_stack_tables.statistics(selection))
    products.write_bytes(picture, deep_stack_tables.plot(selection, group))
