"""Frames of many nights and units to deep stacks: what there is, which are chosen, what came of them."""

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
from tasks.science.headers.raw_headers import Header
from tasks.science.stacking import deep_selection

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which frames are looked at; what is empty means all, and the days are the evenings' dates, inclusive."""

    objects: tuple[str, ...] = ()
    filters: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    start: date | None = None
    end: date | None = None

    def takes(self, image: Path) -> bool:
        """Tell by its name whether a frame is wanted."""
        night = naming.night_of(naming.parse_image(image.name).date_obs)
        return (self.start or night) <= night <= (self.end or night)


@task(cache_policy=NO_CACHE, task_run_name="survey")
def survey(root: Path, wanted: Wanted) -> Survey:
    """Read the headers of a tree's calibrated frames, and write the tables of what there is.

    Raises
    ------
    UnusableData
        Where there is no frame.
    """
    found = _headers(root, wanted)
    if not found:
        raise UnusableData(f"no calibrated frame in {root} is of the objects, filters, units and nights asked for")
    usable: list[Reduced] = []
    rejected: list[Rejected] = []
    for image, unit, cards in found:
        try:
            usable.append(_checked(deep_selection.frame_of(cards, image, unit=unit)))
        except UnusableData as error:
            rejected.append(Rejected(name=image.name, stage=Stage.STACK, reason=str(error), unit=unit))
    tables = _write_tables(root, found, usable)
    log.info("%d calibrated frames, %d of them without WCS, zero point or planes", len(found), len(rejected))
    return Survey(frames=tuple(usable), rejected=tuple(rejected), tables=tables)


@task(cache_policy=NO_CACHE, task_run_name="select")
def select(found: Survey, root: Path, options: DeepOptions) -> tuple[Selection, ...]:
    """Choose the frames of each field and filter, and write list, figures and plot beside where the stack will be.

    Raises
    ------
    UnusableData
        Where a frame is asked for by name that is not there.
    """
    known = {item.image.name for item in found.frames} | {each.name for each in found.rejected}
    if missing := sorted(set(options.names) - known):
        raise UnusableData(f"no calibrated frame is called {', '.join(missing)}")
    made = []
    for group in deep_selection.fields(found.frames):
        bad = [each for each in found.rejected if _is_of(each.name, group[0])]
        selection = deep_selection.select(group, bad, options)
        _write_lists(selection, group, root, deep_selection.label(options))
        log.info("%s %s: %d of %d frames chosen", selection.object, selection.filter, len(selection.frames), len(group))
        made.append(selection)
    return tuple(made)


@task(cache_policy=NO_CACHE, task_run_name="conclude-deepen")
def conclude(
    found: Survey,
    selections: Sequence[Selection],
    stacks: Sequence[Stack],
    failures: Sequence[Rejected],
    root: Path,
    options: DeepOptions,
) -> Deepened:
    """Join what came of a run, and show it on the run's page."""
    empty = [
        Rejected(
            name=f"{each.object} {each.filter}",
            stage=Stage.STACK,
            reason=f"none of {each.figures['n_all']:g} frames is chosen by {deep_selection.label(options)}",
        )
        for each in selections
        if not each.frames
    ]
    left_out = (rejected for each in selections for rejected in each.rejected)
    rows = [
        {
            "stack": each.image.name,
            "frames": len(each.inputs),
            "exposure_s": each.exposure_s,
            "seeing_arcsec": round(each.photometry.seeing_arcsec, 2),
            "depth_mag": round(each.photometry.depth5_mag["1"], 2),
        }
        for each in stacks
    ]
    create_table_artifact(rows, key="deep-stacks", description="Deep stacks")
    lists = (path for each in selections for path in _lists(each, root, deep_selection.label(options)))
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
            raise UnusableData(f"{plane.name} is not beside it")
    return item


def _is_of(name: str, item: Reduced) -> bool:
    parsed = naming.parse_image(name)
    return (naming.slug(parsed.object), parsed.filter) == (naming.slug(item.frame.object), item.frame.filter)


def _write_tables(root: Path, found: Sequence[tuple[Path, str, Header]], usable: Sequence[Reduced]) -> tuple[Path, ...]:
    """Write a table of all headers for each unit and filter, and one of what there is of each field."""
    folder = naming.NightTree(root=root).survey()
    rows: dict[str, list[tuple[str, Header]]] = {}
    for image, unit, cards in found:
        rows.setdefault(f"{unit}_{naming.parse_image(image.name).filter}", []).append((image.name, cards))
    texts = {folder / f"{name}.csv": deep_stack_tables.header_table(each) for name, each in sorted(rows.items())}
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
