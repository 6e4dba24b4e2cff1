"""Plans: which tile which telescope observes when, for a notice or a sky map, with tables and pictures."""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from prefect import task
from prefect.cache_policies import NO_CACHE
from pydantic_core import to_jsonable_python

from tasks import naming, products, telescopes
from tasks.errors import MissingPart, ProgramError, UnusableData
from tasks.io.catalogues import galaxy_tables
from tasks.io.notices import parsing
from tasks.io.pages import sky_map_plots
from tasks.io.planning import plan_tables
from tasks.io.skymaps import sky_map_files
from tasks.options import PlanOptions
from tasks.programs import gwemopt
from tasks.records import Alert, MapRole, Notice, Plan, SkyMap, SkyPicture, Telescope
from tasks.records.observed import NOTHING, Already
from tasks.science import (
    error_circles,
    footprints,
    galaxies,
    healpix,
    observed,
    pictures,
    positions,
    prospects,
    scheduling,
    tiling,
)

log = logging.getLogger(__name__)

FITS_MARKS = (b"SIMPLE  ", b"\x1f\x8b")
# the more a map says, the better: a coincidence before the event alone, before what a burst monitor drew
PREFERRED = (MapRole.COMBINED, MapRole.GW, MapRole.HEALPIX)
# gwemopt gets this many tiles for each that is asked: it needs seconds for a thousand
TILES_PER_WISH = 6
TILES_AT_LEAST = 100
MOST_PIXELS = 20_000


@dataclass(frozen=True, kw_only=True, eq=False)
class Aim:
    """What is planned for: a sky map, and for a position its place with the radius that holds 90 %."""

    sky_map: SkyMap
    notice: Notice | None = None
    centre_deg: tuple[float, float] | None = None
    error90_deg: float = 0.0


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
    done: Already = NOTHING,
    priority: int = 50,
) -> tuple[Plan, ...]:
    """Plan telescopes for a notice or sky map; one process for all of them. A file ``CANCEL`` in a folder stops it.

    What is ``done`` is planned no more. ``priority`` goes into the plans.
    """
    began = time.monotonic()
    aim = read_aim(source)
    known = tuple(telescopes.load(name) for name in dict.fromkeys(names))
    window = window_from(start or datetime.now(UTC), options)
    made = plan_aim(
        aim,
        known,
        window,
        options,
        event_id=event_id,
        galaxy_file=galaxy_file,
        cancel_folder=cancel_folder,
        done=_spent(done),
    )
    log.info("%s: planned %s in %.1f s", event_id, _counts(made), time.monotonic() - began)
    seconds, said = time.monotonic() - began, _remarks(done, aim)
    return tuple(replace(plan, seconds=seconds, priority=priority, remarks=(*plan.remarks, *said)) for plan in made)


@task(cache_policy=NO_CACHE, task_run_name="write-plans-{folder.name}")
def write_plans(plans: tuple[Plan, ...], source: Path, folder: Path, done: Already = NOTHING) -> tuple[Path, ...]:
    """Write plan.json, ALL.txt, each telescope's table and CSV, and the pictures; return the files."""
    sky_map = read_aim(source).sky_map
    known = {plan.telescope: telescopes.load(plan.telescope) for plan in plans}
    along = observed.without(footprints.curve(sky_map), _spent(done).spent)
    probability, area = scheduling.joint(plans, known, along)
    texts = {"plan.json": plan_tables.json_text(plans, probability=probability, area_deg2=area)}
    texts |= {"ALL.txt": plan_tables.all_tables(plans)}
    texts |= {f"tiles_{naming.slug(plan.telescope)}.txt": plan_tables.text_table(plan) for plan in plans}
    texts |= {f"tiles_{naming.slug(plan.telescope)}.csv": plan_tables.csv_table(plan) for plan in plans}
    for name, text in texts.items():
        products.write_text(folder / name, text)
    picture = _picture(sky_map, plans, known, probability, area)
    products.write_bytes(folder / "coverage.png", sky_map_plots.coverage(picture))
    return (*(folder / name for name in texts), folder / "coverage.png")


@task(cache_policy=NO_CACHE, task_run_name="picture-{target.name}")
def draw_sky_map(source: Path, target: Path, title: str, subtitle: str = "") -> Path:
    """Draw a notice's sky map, small, for messages; return the PNG."""
    picture = pictures.picture(read_aim(source).sky_map, title=title, subtitle=subtitle)
    products.write_bytes(target, sky_map_plots.sky_map(picture))
    return target


@task(cache_policy=NO_CACHE, task_run_name="picture-{alert.notice.event_id}")
def draw_alert(alert: Alert, root: Path) -> Path | None:
    """Draw the sky map that counts of an alert, for its messages and page; None where it has no map."""
    best = alert.best_map
    if best is None or best.path is None:
        return None
    notice = alert.notice
    target = naming.AlertTree(root=root).visit(alert) / "skymap.png"
    subtitle = f"{notice.alert_type.title()}, 90 % area {best.area90_deg2:,.0f} deg²"
    return draw_sky_map.fn(best.path, target, notice.event_id, subtitle)


def source_of(alert: Alert, root: Path) -> Path:
    """Return the file to plan from: the sky map that counts, else the notice itself."""
    best = alert.best_map
    return best.path if best and best.path else naming.AlertTree(root=root).notice_copy(alert)


def folder_of(alert: Alert, root: Path) -> Path:
    """Return the folder of the plans that a notice led to."""
    return naming.AlertTree(root=root).plans(alert)


def fingerprint(names: tuple[str, ...], options: PlanOptions, done: Already = NOTHING) -> str:
    """Return a hash of all that determines a plan besides its notice and its moment."""
    content = {"telescopes": list(names), "options": to_jsonable_python(options)}
    if done.observed:
        content["observed"] = to_jsonable_python(done.observed)
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def event_id_of(source: Path) -> str:
    """Return the id of a notice's event, else the object in a sky map's header, else the file's name."""
    aim = read_aim(source)
    if aim.notice is not None:
        return aim.notice.event_id
    return aim.sky_map.object or source.name.split(".")[0]


def joint(plans: Sequence[Plan], source: Path) -> tuple[float, float]:
    """Return probability and area in deg² of all plans' footprints together."""
    known = {plan.telescope: telescopes.load(plan.telescope) for plan in plans}
    return scheduling.joint(plans, known, footprints.curve(read_aim(source).sky_map))


def read_aim(source: Path) -> Aim:
    """Read what to plan for from a sky map or a notice, whichever the file is.

    Raises
    ------
    UnusableData
        If the file is neither, or a notice with neither map nor position.
    """
    if _starts_like_fits(source):
        return Aim(sky_map=sky_map_files.read(source))
    parsed = parsing.parse(parsing.read(source))
    role = next((role for role in PREFERRED if role in parsed.maps), None)
    if role is not None:
        return Aim(sky_map=sky_map_files.read(parsed.maps[role]), notice=parsed.notice)
    return _positioned(parsed.notice)


def _starts_like_fits(source: Path) -> bool:
    try:
        with source.open("rb") as file:
            return file.read(len(FITS_MARKS[0])).startswith(FITS_MARKS)
    except OSError as error:
        raise UnusableData(f"{source} cannot be read: {error.strerror}") from error


def _positioned(notice: Notice) -> Aim:
    if notice.ra_deg is None or notice.dec_deg is None or notice.retraction:
        words = "is a retraction" if notice.retraction else "has neither a sky map nor a position"
        raise UnusableData(f"notice {notice.event_id} {words}: there is nothing to plan")
    # an error that is not stated is taken for that of the instrument
    error90_deg = positions.error90_deg(notice)
    sky_map = error_circles.gaussian_map(notice.ra_deg, notice.dec_deg, error_deg=error90_deg)
    return Aim(sky_map=sky_map, notice=notice, centre_deg=(notice.ra_deg, notice.dec_deg), error90_deg=error90_deg)


def window_from(start: datetime, options: PlanOptions) -> prospects.Window:
    """Return the window that begins at ``start`` (UTC where it does not say)."""
    aware = start.replace(tzinfo=UTC) if start.tzinfo is None else start.astimezone(UTC)
    return prospects.Window(start=aware, end=aware + timedelta(hours=options.hours))


def plan_aim(
    aim: Aim,
    known: Sequence[Telescope],
    window: prospects.Window,
    options: PlanOptions,
    *,
    event_id: str,
    galaxy_file: Path | None = None,
    cancel_folder: Path | None = None,
    done: observed.Done = observed.NOTHING,
) -> tuple[Plan, ...]:
    """Plan likely host galaxies, or one field where it holds a position with its error, or else tiles of the map."""
    if galaxy_file is not None:
        return _plan_fields(aim, known, window, options, event_id=event_id, galaxy_file=galaxy_file, done=done)
    able = [each for each in known if aim.centre_deg and 2 * aim.error90_deg <= each.field_of_view.smaller_deg]
    others = [each for each in known if each not in able]
    made = _plan_fields(aim, able, window, options, event_id=event_id, galaxy_file=None, done=done) if able else ()
    if others:
        made += _plan_tiles(aim, others, window, options, event_id=event_id, cancel_folder=cancel_folder, done=done)
    order = [each.name for each in known]
    return tuple(sorted(made, key=lambda plan: order.index(plan.telescope)))


def _plan_tiles(
    aim: Aim,
    known: Sequence[Telescope],
    window: prospects.Window,
    options: PlanOptions,
    *,
    event_id: str,
    cancel_folder: Path | None,
    done: observed.Done,
) -> tuple[Plan, ...]:
    """Plan tiles of each telescope's grid, by the engine that is asked for; by ours where that one fails."""
    survey = prospects.survey(aim.sky_map, known, window, options, done)
    wishes: Mapping[str, Sequence[scheduling.Wish]] = {}
    engine: str = options.engine
    remarks: tuple[str, ...] = ()
    if engine == "gwemopt":
        try:
            wishes = _ask_gwemopt(survey, window, options, cancel_folder)
        except (ProgramError, MissingPart) as error:
            log.warning("%s: %s; planned without it", event_id, error)
            engine, remarks = "siren", (f"planned by siren: {error}",)
    slots = scheduling.schedule(survey.prospects, survey.targets, options, wishes)
    made = scheduling.plans(survey.prospects, slots, survey.along, window, event_id=event_id, engine=engine)
    return tuple(replace(plan, remarks=remarks) for plan in made)


def _plan_fields(
    aim: Aim,
    known: Sequence[Telescope],
    window: prospects.Window,
    options: PlanOptions,
    *,
    event_id: str,
    galaxy_file: Path | None,
    done: observed.Done,
) -> tuple[Plan, ...]:
    """Plan given fields with the native engine: there are few, and no grid to choose from.

    A good position that one telescope has observed is still worth a look by the others; a galaxy is not.
    """
    if aim.centre_deg is not None and galaxy_file is None:
        (fields, targets), called = error_circles.centred(*aim.centre_deg), "position"
    else:
        catalogue = galaxy_tables.read(galaxy_file or Path())
        fields, targets = galaxies.fields(catalogue, galaxies.weights(catalogue, aim.sky_map))
        targets = replace(targets, weight=observed.left(targets.points, targets.weight, done))
        called = "likely host galaxies"
    seen = prospects.around(fields, targets, known, window, called=called, done=done)
    slots = scheduling.schedule(seen, targets, options)
    along = footprints.curve(aim.sky_map)
    return scheduling.plans(seen, slots, along, window, event_id=event_id, engine="siren")


def _ask_gwemopt(
    survey: prospects.Survey, window: prospects.Window, options: PlanOptions, cancel_folder: Path | None
) -> dict[str, tuple[scheduling.Wish, ...]]:
    """Let gwemopt choose and order tiles for the telescopes that can observe any, larger fields first."""
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
    return {
        name: tuple(
            scheduling.Wish(row=int(rows[name][choice.row]), not_before_s=choice.start.timestamp())
            for choice in choices
        )
        for name, choices in chosen.items()
    }


def _promising(prospect: prospects.Prospect, targets: prospects.Targets, options: PlanOptions) -> list[int]:
    """Return the rows of the tiles with most probability, as many as are worth giving to gwemopt."""
    held = np.asarray(prospect.sharing @ targets.weight).ravel()
    most = TILES_PER_WISH * options.tiles + TILES_AT_LEAST
    return sorted(np.argsort(-held, kind="stable")[:most].tolist())


def _job(prospect: prospects.Prospect, rows: list[int]) -> gwemopt.Job:
    tiles = prospect.tiles.take(np.array(rows))
    return gwemopt.Job(telescope=prospect.telescope, centres_deg=np.stack([tiles.ra_deg, tiles.dec_deg], axis=1))


def _small_map(survey: prospects.Survey, field_deg: float) -> gwemopt.Map:
    """Return the region for gwemopt, whose time goes with pixels times tiles: a third of a field where that is few."""
    cells = observed.revalued(tiling.evened(survey.cells, field_deg / 3, MOST_PIXELS), survey.along)
    ra_deg, dec_deg = cells.centres()
    return gwemopt.Map(
        uniq=cells.pixel + (np.int64(4) << (2 * cells.order)),
        density=cells.probability / healpix.PIXEL_SR[cells.order],
        ra_deg=ra_deg,
        dec_deg=dec_deg,
    )


def _picture(
    sky_map: SkyMap, plans: Sequence[Plan], known: Mapping[str, Telescope], probability: float, area: float
) -> SkyPicture:
    event = plans[0].event_id if plans else "no plan"
    begins = [plan.tiles[0].start for plan in plans if plan.tiles and plan.tiles[0].start]
    first = f", first exposure {min(begins):%Y-%m-%d %H:%M} UTC" if begins else ""
    words = f"{100 * probability:.1f} % of the probability in {area:.1f} deg²{first}"
    return pictures.picture(sky_map, title=event, subtitle=words, plans=plans, telescopes=known)


def _spent(done: Already) -> observed.Done:
    named = {one.telescope: telescopes.load(one.telescope) for one in done.observed if one.telescope}
    return observed.Done(observed=done.observed, spent=observed.ranges(done.observed, named))


def _remarks(done: Already, aim: Aim) -> tuple[str, ...]:
    if not done.observed:
        return done.remarks
    return (observed.words(_spent(done), footprints.curve(aim.sky_map)), *done.remarks)


def _counts(made: Sequence[Plan]) -> str:
    return ", ".join(f"{plan.telescope} {len(plan.tiles)} tiles ({100 * plan.probability:.1f} %)" for plan in made)
