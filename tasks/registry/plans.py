"""Plans: claimed once per notice, telescopes and parameters; superseded and cancelled with their tiles."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.orm import Session

from tasks.records import Plan
from tasks.records.events import PlanState
from tasks.records.plans import PlanRequest, joined, separated
from tasks.registry import columns, models, row_updates

STANDING = (PlanState.RUNNING, PlanState.DONE, PlanState.EMPTY)
# a plan that ended without result may be asked for again
RESTARTABLE = (PlanState.FAILED, PlanState.CANCELLED)
# long enough for a registry that is away for a moment, or a machine that is busy; the process renews it several times within
LEASE = timedelta(minutes=3)

S = TypeVar("S")


def claim(session: Session, request: PlanRequest, *, now: datetime, asked_by: str | None = None) -> bool:
    """Claim a plan; return False if another process has claimed or made it.

    A process that has not renewed its claim for ``LEASE`` loses it to the next one that asks.
    """
    row, made = _insert(session, request, now=now, asked_by=asked_by)
    return made or row_updates.compare_and_set(
        session,
        models.Plan,
        models.Plan.id == row.id,
        sa.or_(
            models.Plan.state.in_(RESTARTABLE),
            sa.and_(models.Plan.state == PlanState.RUNNING, models.Plan.alive < now - LEASE),
        ),
        models.Plan.attempt == row.attempt,
        state=PlanState.RUNNING,
        attempt=row.attempt + 1,
        reason="",
        asked_by=columns.text(asked_by) if asked_by else None,
        created=now,
        alive=now,
        finished=None,
    )


def renew(session: Session, request: PlanRequest, *, now: datetime) -> bool:
    """Renew the claim on a plan; return whether the plan still runs."""
    row = _row(session, request)
    running = (models.Plan.id == row.id, models.Plan.state == PlanState.RUNNING)
    return row_updates.compare_and_set(session, models.Plan, *running, alive=now)


def fail_abandoned(session: Session, *, now: datetime) -> tuple[str, ...]:
    """Mark plans as failed whose claim expired and whose notice is not its event's newest; return the events' slugs."""
    plan, event, notice = models.Plan, models.Event, models.Notice
    dead = sa.and_(plan.state == PlanState.RUNNING, plan.alive < now - LEASE)
    query = (
        sa.select(plan.id, event.slug)
        .join(event, event.id == plan.event_id)
        .join(notice, notice.id == plan.notice_id)
        .where(dead, event.newest_sha256 != notice.sha256)
    )
    found = session.execute(query).all()
    reason = "its process died, and a newer notice came"
    for row in found:
        row_updates.change(session, plan, plan.id == row.id, dead, state=PlanState.FAILED, reason=reason, finished=now)
    return tuple(sorted({row.slug for row in found}))


def attempts(session: Session, sha256: str, telescopes: Sequence[str]) -> int:
    """Count how often the planning of a notice was begun for these telescopes."""
    count = sa.select(sa.func.coalesce(sa.func.sum(models.Plan.attempt), 0))
    return int(session.scalars(_of(count, sha256, telescopes)).one())


def states(session: Session, sha256: str, telescopes: Sequence[str]) -> tuple[PlanState, ...]:
    """Return the states of the plans of a notice for these telescopes."""
    return tuple(PlanState(state) for state in session.scalars(_of(sa.select(models.Plan.state), sha256, telescopes)))


def _of(query: sa.Select[tuple[S]], sha256: str, telescopes: Sequence[str]) -> sa.Select[tuple[S]]:
    of_notice = sa.select(models.Notice.id).where(models.Notice.sha256 == sha256).scalar_subquery()
    return query.where(models.Plan.notice_id == of_notice, models.Plan.telescopes == joined(telescopes))


def record(session: Session, request: PlanRequest, plans: Sequence[Plan], *, now: datetime) -> bool:
    """Record the plans that one run made, one per telescope; return whether that is news.

    The run need not have been claimed. Older plans of the event for the same telescopes are superseded and their
    planned tiles withdrawn. A run that was cancelled meanwhile changes nothing.
    """
    row, _ = _insert(session, request, now=now)
    tiles = sum(len(plan.tiles) for plan in plans)
    done = row_updates.compare_and_set(
        session,
        models.Plan,
        models.Plan.id == row.id,
        models.Plan.state == PlanState.RUNNING,
        state=PlanState.DONE if tiles else PlanState.EMPTY,
        finished=now,
        reason=columns.text("; ".join(plan.reason for plan in plans if plan.reason)),
        probability=_finite(max((plan.probability for plan in plans), default=0.0)),
        area_deg2=_finite(sum(plan.area_deg2 for plan in plans)),
        plans=columns.dump(tuple(plans)),
    )
    if done:
        _supersede(session, row)
        session.add_all(_tiles(row.id, plans))
        session.flush()
    return done


def fail(session: Session, request: PlanRequest, *, reason: str, now: datetime) -> bool:
    """Mark a claimed plan as failed, with the reason; it may be claimed again."""
    row = _row(session, request)
    return row_updates.compare_and_set(
        session,
        models.Plan,
        models.Plan.id == row.id,
        models.Plan.state == PlanState.RUNNING,
        state=PlanState.FAILED,
        reason=columns.text(reason),
        finished=now,
    )


def stands(session: Session, event_id: int) -> bool:
    """Tell whether a plan of an event runs, or was made and is in force."""
    plan = models.Plan
    found = sa.exists().where(plan.event_id == event_id, plan.state.in_(STANDING))
    return bool(session.scalars(sa.select(found)).one())


def cancel(session: Session, event_id: int, *, reason: str) -> int:
    """Cancel the standing plans of an event and withdraw their planned tiles; return how many plans."""
    plan = models.Plan
    where = (plan.event_id == event_id, plan.state.in_(STANDING))
    _withdraw(session, *where)
    return row_updates.change(session, plan, *where, state=PlanState.CANCELLED, reason=columns.text(reason))


def cancel_of(session: Session, slug: str, *, reason: str) -> int:
    """Cancel the standing plans of an event, named by its folder; return how many plans."""
    event_id = session.scalars(sa.select(models.Event.id).filter_by(slug=slug)).one()
    return cancel(session, event_id, reason=reason)


def drop_telescopes(session: Session, slug: str, *, telescopes: Collection[str], reason: str) -> bool:
    """Withdraw the planned tiles of some telescopes of an event, named by its folder; return whether there were any.

    A plan of these telescopes only is cancelled; one of others, too, stands for those.
    """
    plan, tile = models.Plan, models.Tile
    event_id = session.scalars(sa.select(models.Event.id).filter_by(slug=slug)).one()
    rows = session.scalars(sa.select(plan).where(plan.event_id == event_id, plan.state.in_(STANDING)))
    named = {row.id: set(separated(row.telescopes)) for row in rows}
    lost = (tile.plan_id.in_(named), tile.telescope.in_(telescopes), tile.state == "planned")
    withdrawn = row_updates.change(session, tile, *lost, state="withdrawn")
    whole = [number for number, of_plan in named.items() if of_plan.issubset(telescopes)]
    cancelled = row_updates.change(
        session, plan, plan.id.in_(whole), state=PlanState.CANCELLED, reason=columns.text(reason)
    )
    return withdrawn + cancelled > 0


def tiles_of(session: Session, slug: str, telescope: str) -> dict[str, str]:
    """Return the tiles of one telescope in all plans of an event: the state of each, ``observed`` before any other."""
    plan, tile = models.Plan, models.Tile
    query = (
        sa.select(tile.name, tile.state)
        .join(plan, plan.id == tile.plan_id)
        .join(models.Event, models.Event.id == plan.event_id)
        .where(models.Event.slug == slug, tile.telescope == telescope)
        .order_by((tile.state == "observed").asc(), tile.id)
    )
    return {row.name: row.state for row in session.execute(query)}


def mark_observed(session: Session, event_id: int, *, telescope: str, tiles: Sequence[str]) -> int:
    """Note that tiles of an event were observed; return how many rows changed."""
    tile = models.Tile
    of_event = sa.select(models.Plan.id).where(models.Plan.event_id == event_id)
    where = (tile.plan_id.in_(of_event), tile.telescope == telescope, tile.name.in_(tiles))
    return row_updates.change(session, tile, *where, tile.state != "observed", state="observed")


def mark_observed_of(session: Session, slug: str, *, telescope: str, tiles: Sequence[str]) -> int:
    """Note that tiles of an event, named by its folder, were observed; return how many rows changed."""
    event_id = session.scalars(sa.select(models.Event.id).filter_by(slug=slug)).one()
    return mark_observed(session, event_id, telescope=telescope, tiles=tiles)


def _insert(
    session: Session, request: PlanRequest, *, now: datetime, asked_by: str | None = None
) -> tuple[models.Plan, bool]:
    notice = session.scalars(sa.select(models.Notice).filter_by(sha256=request.notice_sha256)).one()
    key = {
        "notice_id": notice.id,
        "telescopes": request.joined_telescopes,
        "parameters_sha256": request.parameters_sha256,
    }
    values = {
        "event_id": notice.event_id,
        "state": PlanState.RUNNING,
        "attempt": 1,
        "reason": "",
        "asked_by": columns.text(asked_by) if asked_by else None,
        "created": now,
        "alive": now,
        "plans": "[]",
    }
    return row_updates.insert_once(session, models.Plan, key=key, values=values)


def _row(session: Session, request: PlanRequest) -> models.Plan:
    query = (
        sa.select(models.Plan)
        .join(models.Notice, models.Notice.id == models.Plan.notice_id)
        .where(
            models.Notice.sha256 == request.notice_sha256,
            models.Plan.telescopes == request.joined_telescopes,
            models.Plan.parameters_sha256 == request.parameters_sha256,
        )
    )
    return session.scalars(query).one()


def _supersede(session: Session, row: models.Plan) -> None:
    """Withdraw the planned tiles of the event's older plans for these telescopes; supersede the plans that are left with none.

    An older plan stands as long as a telescope that this one does not plan has tiles of it.
    """
    plan, tile = models.Plan, models.Tile
    older = (plan.event_id == row.event_id, plan.id < row.id, plan.state.in_((*STANDING, *RESTARTABLE)))
    telescopes = set(separated(row.telescopes))
    named = {each.id: set(separated(each.telescopes)) for each in session.scalars(sa.select(plan).where(*older))}
    again = [number for number, of_plan in named.items() if of_plan & telescopes]
    mine = (tile.plan_id.in_(again), tile.telescope.in_(telescopes), tile.state == "planned")
    row_updates.change(session, tile, *mine, state="withdrawn")
    open_ = set(session.scalars(sa.select(tile.plan_id).where(tile.plan_id.in_(again), tile.state == "planned")))
    replaced = [number for number in again if named[number] <= telescopes or number not in open_]
    row_updates.change(session, plan, plan.id.in_(replaced), state=PlanState.SUPERSEDED)


def _withdraw(session: Session, *plans: sa.ColumnElement[bool]) -> None:
    tile = models.Tile
    ids = sa.select(models.Plan.id).where(*plans)
    row_updates.change(session, tile, tile.plan_id.in_(ids), tile.state == "planned", state="withdrawn")


def _tiles(plan_id: int, plans: Sequence[Plan]) -> list[models.Tile]:
    made: list[models.Tile] = []
    visits: dict[tuple[str, str], int] = {}
    for plan in plans:
        for tile in plan.tiles:
            name = (plan.telescope, tile.id)
            visits[name] = visits.get(name, 0) + 1
            made.append(
                models.Tile(
                    plan_id=plan_id,
                    telescope=plan.telescope,
                    visit=visits[name],
                    name=tile.id,
                    ra_deg=tile.ra_deg,
                    dec_deg=tile.dec_deg,
                    start=tile.start,
                    exposure_s=tile.exposure_s,
                    filter=tile.filter,
                    probability=tile.probability,
                    state="planned",
                )
            )
    return made


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
