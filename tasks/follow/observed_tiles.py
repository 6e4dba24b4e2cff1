"""Observed tiles of an event: by our telescopes, from nights and operators; by others, from the Treasure Map."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import date

from prefect import task
from prefect.cache_policies import NO_CACHE

from blocks import TreasureMap
from tasks import naming, resources
from tasks.errors import SirenError, UnusableData
from tasks.io.nights import stage_results
from tasks.io.services import treasuremap
from tasks.options import PlanOptions
from tasks.records import EventInHand, Home, Kind, Places, Stage
from tasks.records.plans import Already
from tasks.registry import Registry, plans

log = logging.getLogger(__name__)


@task(cache_policy=NO_CACHE, **resources.PATIENT, task_run_name="mark-{slug}-{night}")
def mark_night(slug: str, night: date, places: Places, home: Home) -> tuple[str, ...]:
    """Mark the tiles of an event's plans that a night observed: those named as OBJECT of a light after T0."""
    with resources.registry(home) as registry:
        begin = registry.history(slug).time
        files = sorted(naming.NightTree(root=places.product_root).report(night).glob(f"*/{Stage.CALIBRATE}.json"))
        frames = [light.frame for file in files for light in stage_results.read_stage(file).calibrated]
        later = [frame for frame in frames if frame.object and (begin is None or frame.date_obs >= begin)]
        objects = naming.object_slugs(frame.object for frame in later)
        with registry.read() as session:
            planned = plans.tiles_of(session, slug, places.telescope)
        observed = tuple(name for name in planned if naming.slug(name) in objects)
        return mark(registry, slug, places.telescope, observed)


def mark(registry: Registry, slug: str, telescope: str, tiles: Sequence[str]) -> tuple[str, ...]:
    """Mark tiles of an event's plans as observed; return those that were not marked before.

    Raises
    ------
    UnusableData
        If no plan of the event has such a tile for the telescope; the error lists the known tiles.
    """
    registry.history(slug)
    with registry.begin() as session:
        planned = plans.tiles_of(session, slug, telescope)
        if unknown := [name for name in tiles if name not in planned]:
            existing = ", ".join(sorted(planned)) or "none"
            raise UnusableData(f"{slug} has no tile {', '.join(unknown)} of {telescope}; there are {existing}")
        newly = tuple(name for name in dict.fromkeys(tiles) if planned[name] != "observed")
        plans.mark_observed_of(session, slug, telescope=telescope, tiles=newly)
    log.info("%s: %d tiles of %s observed", slug, len(newly), telescope)
    return newly


@task(cache_policy=NO_CACHE, task_run_name="already-{event.registered.slug}")
def already(event: EventInHand, options: PlanOptions, block: str) -> Already:
    """Return the observed tiles, which need no plan; if the Treasure Map fails, a remark in the plan says so."""
    own = event.observed if options.subtract_observed else ()
    if not options.treasure_map or event.alert.notice.kind is not Kind.GW:
        return Already(observed=own)
    try:
        place = resources.load(TreasureMap, block)
        session = place.client()
        if session is None:
            return Already(observed=own, remarks=("the Treasure Map was not asked: its block has no token",))
        with session:
            others = treasuremap.completed(session, place.url.rstrip("/"), event.alert.notice.event_id)
    except SirenError as error:
        log.warning("%s: %s", event.registered.slug, error)
        return Already(observed=own, remarks=(f"the Treasure Map was not asked: {error}",))
    return Already(observed=(*own, *others))
