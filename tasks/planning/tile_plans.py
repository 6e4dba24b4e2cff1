"""Plans: tiles and start times for each telescope, for a notice or a sky map, with tables and pictures."""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from prefect import task
from prefect.cache_policies import NO_CACHE
from pydantic_core import to_jsonable_python

from tasks import constants, naming, products, telescopes
from tasks.errors import MissingPart, ProgramError, UnusableData
from tasks.io.catalogues import galaxy_tables
from tasks.io.pages import sky_map_plots
from tasks.io.planning import plan_tables
from tasks.options import PlanOptions
from tasks.planning import aims
from tasks.planning.aims import Aim
from tasks.programs import gwemopt
from tasks.records import Alert, Plan, PlanRequest, Telescope
from tasks.records.plans import NONE_OBSERVED, Already
from tasks.science.planning import (
    already_observed,
    error_circles,
    galaxy_targets,
    observable_tiles,
    tile_scheduler,
    tiling,
)
from tasks.science.skymaps import footprints, healpix, regions

log = logging.getLogger(__name__)

HOSTS = "likely host galaxies"

# number of tiles given to gwemopt per requested tile: it needs seconds for a thousand
TILES_PER_WISH = 6
TILES_AT_LEAST = 100
MOST_PIXELS = 20_000


@task(cache_policy=NO_CACHE, task_run_name="plan-{event_id}")
def make_plans(
    source: Path,
    names: tuple[str, ...],
    options: PlanOptions,
    event_id: str,
    start: datetime | None = None,
    galaxy_file: Path | None = None,
    cancel_folder: Path | None = None,
    *,
    done: Already = NONE_OBSERVED,
    priority: int = 50,
) -> tuple[Plan, ...]:
    """Plan all telescopes for a notice or sky map together. A file ``CANCEL`` in ``cancel_folder`` stops the planner.

    Tiles in ``done`` are not planned again. ``priority`` is written into the plans.
    """
    began = time.monotonic()
    aim = aims.read_aim(source)
    chosen = tuple(telescopes.load(name) for name in dict.fromkeys(names))
    window = window_from(start or datetime.now(UTC), options)
    plans = plan_aim(
        aim,
        chosen,
        window,
        options,
        event_id=event_id,
        galaxy_file=galaxy_file,
        cancel_folder=cancel_folder,
        done=_spent(done),
    )
    log.info("%s: planned %s in %.1f s", event_id, _counts(plans), time.monotonic() - began)
    seconds, remarks = time.monotonic() - began, _remarks(done, aim)
    return tuple(replace(plan, seconds=seconds, priority=priority, remarks=(*plan.remarks, *remarks)) for plan in plans)


@task(cache_policy=NO_CACHE, task_run_name="write-plans-{folder.name}")
def write_plans(plans: tuple[Plan, ...], source: Path, folder: Path, done: Already = NONE_OBSERVED) -> tuple[Path, ...]:
    """Write plan.json, ALL.txt, each telescope's table and CSV, and the pictures; return the files."""
    sky_map = aims.read_aim(source).sky_map
    planned = {plan.telescope: telescopes.load(plan.telescope) for plan in plans}
    along = already_observed.without(footprints.curve(sky_map), _spent(done).spent)
    probability, area = tile_scheduler.joint(plans, planned, along)
    texts = {"plan.json": plan_tables.json_text(plans, probability=probability, area_deg2=area)}
    texts |= {"ALL.txt": plan_tables.all_tables(plans)}
    texts |= {f"tiles_{naming.slug(plan.telescope)}.txt": plan_tables.text_table(plan) for plan in plans}
    texts |= {f"tiles_{naming.slug(plan.telescope)}.csv": plan_tables.csv_table(plan) for plan in plans}
    for name, text in texts.items():
        products.write_text(folder / name, text)
    picture = aims.picture(sky_map, plans, planned, probability, area)
    products.write_bytes(folder / "coverage.png", sky_map_plots.coverage(picture))
    return (*(folder / name for name in texts), folder / "coverage.png")


def request_for(
    alert: Alert, names: tuple[str, ...], options: PlanOptions, done: Already = NONE_OBSERVED
) -> PlanRequest:
    """Return the request to plan a notice for these telescopes with these options."""
    parameters = fingerprint(names, options, done)
    return PlanRequest(notice_sha256=alert.sha256, telescopes=names, parameters_sha256=parameters)


def fingerprint(names: tuple[str, ...], options: PlanOptions, done: Already = NONE_OBSERVED) -> str:
    """Return a hash of all that determines a plan except its notice and its time."""
    content = {"telescopes": list(names), "options": to_jsonable_python(options)}
    if done.observed:
        content["observed"] = to_jsonable_python(done.observed)
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def joint(plans: Sequence[Plan], source: Path) -> tuple[float, float]:
    """Return probability and area in deg² of the union of all plans' footprints."""
    planned = {plan.telescope: telescopes.load(plan.telescope) for plan in plans}
    return tile_scheduler.joint(plans, planned, footprints.curve(aims.read_aim(source).sky_map))


def window_from(start: datetime, options: PlanOptions) -> observable_tiles.Window:
    """Return the window that begins at ``start`` (UTC if it has no time zone).

    Raises
    ------
    UnusableData
        If the year is not one in which observations are planned.
    """
    if not constants.FIRST_YEAR <= start.year <= constants.LAST_YEAR:
        allowed = f"{constants.FIRST_YEAR} to {constants.LAST_YEAR}"
        raise UnusableData(f"a plan that begins at {start.isoformat()}; the years {allowed} are allowed")
    aware = start.replace(tzinfo=UTC) if start.tzinfo is None else start.astimezone(UTC)
    return observable_tiles.Window(start=aware, end=aware + timedelta(hours=options.hours))


def plan_aim(
    aim: Aim,
    known: Sequence[Telescope],
    window: observable_tiles.Window,
    options: PlanOptions,
    *,
    event_id: str,
    galaxy_file: Path | None = None,
    cancel_folder: Path | None = None,
    done: already_observed.ObservedCoverage = already_observed.NONE_OBSERVED,
) -> tuple[Plan, ...]:
    """Plan likely host galaxies, or one field if it covers the position's error, or else tiles of the map.

    Without a likely host in the catalogue the map is planned by tiles, with a remark.
    """
    if galaxy_file is not None:
        galaxies = galaxy_tables.read(galaxy_file)
        weight = galaxy_targets.weights(galaxies, aim.sky_map)
        if weight.any():
            hosts = galaxy_targets.fields(galaxies, weight)
            return _plan_fields(aim, known, window, options, hosts, event_id=event_id, called=HOSTS, done=done)
        remark = galaxy_targets.no_host(galaxies, aim.sky_map)
        tiled = plan_aim(aim, known, window, options, event_id=event_id, cancel_folder=cancel_folder, done=done)
        return tuple(replace(plan, remarks=(*plan.remarks, remark)) for plan in tiled)
    able = [each for each in known if aim.centre_deg and 2 * aim.error90_deg <= each.field_of_view.smaller_deg]
    others = [each for each in known if each not in able]
    plans: tuple[Plan, ...] = ()
    if able and aim.centre_deg is not None:
        field = error_circles.centred(*aim.centre_deg)
        plans = _plan_fields(aim, able, window, options, field, event_id=event_id, called="position", done=done)
    if others:
        plans += _plan_tiles(aim, others, window, options, event_id=event_id, cancel_folder=cancel_folder, done=done)
    order = [each.name for each in known]
    return tuple(sorted(plans, key=lambda plan: order.index(plan.telescope)))


def _plan_tiles(
    aim: Aim,
    known: Sequence[Telescope],
    window: observable_tiles.Window,
    options: PlanOptions,
    *,
    event_id: str,
    cancel_folder: Path | None,
    done: already_observed.ObservedCoverage,
) -> tuple[Plan, ...]:
    """Plan tiles of each telescope's grid with the chosen engine; with ours if that fails."""
    survey = observable_tiles.survey(aim.sky_map, known, window, options, done)
    wishes: Mapping[str, Sequence[int]] = {}
    engine: str = options.engine
    remarks: tuple[str, ...] = ()
    spread = [each.telescope.name for each in survey.prospects if tile_scheduler.spreads(each, options)]
    if engine == "gwemopt" and spread:
        engine, remarks = (
            "siren",
            (f"planned by siren: gwemopt knows no units, and those of {', '.join(spread)} spread",),
        )
    if engine == "gwemopt":
        try:
            wishes = _ask_gwemopt(survey, window, options, cancel_folder)
        except (ProgramError, MissingPart) as error:
            log.warning("%s: %s; planned without it", event_id, error)
            engine, remarks = "siren", (f"planned by siren: {error}",)
    slots = tile_scheduler.schedule(survey.prospects, survey.targets, options, wishes)
    plans = tile_scheduler.plans(survey.prospects, slots, survey.along, window, event_id=event_id, engine=engine)
    return tuple(replace(plan, remarks=remarks) for plan in plans)


def _plan_fields(
    aim: Aim,
    known: Sequence[Telescope],
    window: observable_tiles.Window,
    options: PlanOptions,
    chosen: tuple[tiling.Tiles, observable_tiles.Targets],
    *,
    event_id: str,
    called: str,
    done: already_observed.ObservedCoverage,
) -> tuple[Plan, ...]:
    """Plan single fields with our own engine: there are few, and they are not on a grid.

    A position that one telescope has observed is still planned for the others; a galaxy is not.
    """
    fields, targets = chosen
    if called == HOSTS:
        targets = replace(targets, weight=already_observed.left(targets.points, targets.weight, done))
    seen = observable_tiles.around(fields, targets, known, window, called=called, done=done)
    slots = tile_scheduler.schedule(seen, targets, options)
    along = footprints.curve(aim.sky_map)
    return tile_scheduler.plans(seen, slots, along, window, event_id=event_id, engine="siren")


def _ask_gwemopt(
    survey: observable_tiles.ObservableSky,
    window: observable_tiles.Window,
    options: PlanOptions,
    cancel_folder: Path | None,
) -> dict[str, tuple[int, ...]]:
    """Run gwemopt to choose and order tiles for the telescopes that can observe any, larger fields first."""
    able = [each for each in survey.prospects if len(each.tiles)]
    able.sort(key=lambda each: (each.nights[0][0], -each.telescope.field_of_view.area_deg2, each.telescope.name))
    if not able:
        return {}
    rows = {each.telescope.name: _promising(each, survey.targets, options) for each in able}
    jobs = [_job(each, rows[each.telescope.name]) for each in able]
    with tempfile.TemporaryDirectory(prefix="gwemopt-") as scratch:
        chosen = gwemopt.plan(
            jobs,
            _small_map(survey, min(each.telescope.field_of_view.smaller_deg for each in able)),
            start=window.start,
            options=options,
            folder=Path(scratch),
            cancel_folder=cancel_folder,
        )
    return {name: tuple(int(rows[name][choice.row]) for choice in choices) for name, choices in chosen.items()}


def _promising(
    prospect: observable_tiles.Prospect, targets: observable_tiles.Targets, options: PlanOptions
) -> list[int]:
    """Return the rows of the most probable tiles, as many as gwemopt gets."""
    held = np.asarray(prospect.sharing @ targets.weight).ravel()
    most = TILES_PER_WISH * options.tiles + TILES_AT_LEAST
    return sorted(np.argsort(-held, kind="stable")[:most].tolist())


def _job(prospect: observable_tiles.Prospect, rows: list[int]) -> gwemopt.TelescopeTiles:
    tiles = prospect.tiles.take(np.array(rows))
    return gwemopt.TelescopeTiles(
        telescope=prospect.telescope, centres_deg=np.stack([tiles.ra_deg, tiles.dec_deg], axis=1)
    )


def _small_map(survey: observable_tiles.ObservableSky, field_deg: float) -> gwemopt.Map:
    """Return the region for gwemopt in pixels of up to a third of a field: its time grows with pixels times tiles."""
    cells = already_observed.revalued(regions.evened(survey.cells, field_deg / 3, MOST_PIXELS), survey.along)
    ra_deg, dec_deg = cells.centres()
    return gwemopt.Map(
        uniq=cells.pixel + (np.int64(4) << (2 * cells.order)),
        density=cells.probability / healpix.PIXEL_SR[cells.order],
        ra_deg=ra_deg,
        dec_deg=dec_deg,
    )


def _spent(done: Already) -> already_observed.ObservedCoverage:
    named = {one.telescope: telescopes.load(one.telescope) for one in done.observed if one.telescope}
    return already_observed.ObservedCoverage(
        observed=done.observed, spent=already_observed.ranges(done.observed, named)
    )


def _remarks(done: Already, aim: Aim) -> tuple[str, ...]:
    if not done.observed:
        return done.remarks
    return (already_observed.words(_spent(done), footprints.curve(aim.sky_map)), *done.remarks)


def _counts(plans: Sequence[Plan]) -> str:
    return ", ".join(f"{plan.telescope} {len(plan.tiles)} tiles ({100 * plan.probability:.1f} %)" for plan in plans)
