"""Events and what their notices are to them: first, update, late, correction, duplicate, retraction."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from importlib import metadata

import sqlalchemy as sa
from sqlalchemy.orm import Session, aliased

from tasks import naming
from tasks.records import Alert, Decision, Kind, SkyMapSummary
from tasks.records.events import EventHistory, EventState, Registered, Standing
from tasks.registry import columns, models, plans, row_updates

# more triggers of other missions within a minute are a flood, not a coincidence
MOST_NEIGHBOURS = 5


def content_hash(alert: Alert) -> str:
    """Hash what a notice says, whichever topic and spelling it came by."""
    notice = dataclasses.replace(alert.notice, topic=None, remarks=())
    maps = [dataclasses.replace(summary, path=None) for summary in _maps(alert)]
    return hashlib.sha256(columns.dump([notice, maps]).encode()).hexdigest()


def record_alert(session: Session, alert: Alert, *, now: datetime) -> Registered:
    """Give a notice its place in its event, once; asking again returns the same answer.

    The event's row is locked meanwhile, so that of two notices at the same time one comes first.
    """
    event = _event(session, alert, now=now)
    related = _related(session, event, alert)
    row = related.own
    if row is None:
        values = {"path": "", "received": now, "state": "received"}
        row, _ = row_updates.insert_once(session, models.Notice, key={"sha256": alert.sha256}, values=values)
    if row.standing is None:
        _settle(session, event, row, alert, related)
    return _registered(session, row, event, related)


def record_decision(session: Session, alert: Alert, decision: Decision, *, now: datetime) -> bool:
    """Record what a policy said of a notice; the same policy says it once."""
    notice_id = sa.select(models.Notice.id).where(models.Notice.sha256 == alert.sha256).scalar_subquery()
    row = {
        "notice_id": notice_id,
        "policy": decision.policy,
        "policy_sha256": decision.policy_sha256,
        "score": decision.score,
        "action": decision.action,
        "code": metadata.version("brightsiren"),
        "created": now,
        "decision": columns.dump(decision),
    }
    return row_updates.insert_missing(session, models.Decision, [row], key=("notice_id", "policy_sha256")) == 1


def mark_announced(session: Session, sha256: str, *, now: datetime) -> bool:
    """Claim the announcement of a notice; False when its messages are in the outbox already."""
    notice = models.Notice
    return row_updates.compare_and_set(
        session, notice, notice.sha256 == sha256, notice.announced.is_(None), announced=now
    )


def decision_on(session: Session, sha256: str) -> Decision | None:
    """Return the latest decision on a notice."""
    return decisions_on(session, [sha256]).get(sha256)


def decisions_on(session: Session, hashes: Sequence[str]) -> dict[str, Decision]:
    """Return the latest decision on each of some notices that has one, by the notice's hash."""
    query = (
        sa.select(models.Notice.sha256, models.Decision.decision)
        .join(models.Notice, models.Notice.id == models.Decision.notice_id)
        .where(models.Notice.sha256.in_(hashes))
        .order_by(models.Decision.id)
    )
    latest = {sha256: document for sha256, document in session.execute(query)}  # noqa: C416 - rows are no pairs to mypy
    return {sha256: columns.load(Decision, document) for sha256, document in latest.items()}


def on_record(session: Session, sha256: str, *, policy_sha256: str) -> tuple[Standing | None, Decision | None] | None:
    """Return a notice's standing and the decision on it: of this policy, or else the latest; None for no such notice."""
    notice = session.scalars(sa.select(models.Notice).filter_by(sha256=sha256)).one_or_none()
    if notice is None:
        return None
    query = sa.select(models.Decision.decision).filter_by(notice_id=notice.id, policy_sha256=policy_sha256)
    document = session.scalars(query).one_or_none()
    decision = columns.load(Decision, document) if document else decision_on(session, sha256)
    return Standing(notice.standing) if notice.standing else None, decision


def link(session: Session, one: int, other: int, *, kind: str, evidence: str, now: datetime) -> bool:
    """Link two events that may be one thing in the sky; return whether that is news."""
    first, second = sorted((one, other))
    values = {"kind": columns.text(kind), "evidence": columns.text(evidence), "created": now}
    return row_updates.insert_once(session, models.Link, key={"first_id": first, "second_id": second}, values=values)[1]


def link_slugs(session: Session, one: str, other: str, *, kind: str, evidence: str, now: datetime) -> bool:
    """Link two events by the names of their folders."""
    query = sa.select(models.Event.id).where(models.Event.slug.in_((one, other)))
    first, second = session.scalars(query).all()
    return link(session, first, second, kind=kind, evidence=evidence, now=now)


def neighbours(session: Session, event: EventHistory, *, follows: str | None, within_s: float) -> tuple[str, ...]:
    """Return the events of other senders near one in time, and the one that it follows, itself not.

    The one that is followed comes first; of the others at most ``MOST_NEIGHBOURS``: a flood of notices with one time must
    not slow each of them down.
    """
    other = models.Event
    near: list[sa.ColumnElement[bool]] = []
    if event.time is not None:
        span = timedelta(seconds=within_s)
        of_another = sa.or_(other.kind != event.kind, other.mission != event.mission)
        near.append(sa.and_(other.t0.between(event.time - span, event.time + span), of_another))
    followed = other.name == columns.identity(follows) if follows else sa.false()
    if follows:
        near.append(followed)
    if not near:
        return ()
    conditions = (other.slug != event.slug, other.test == event.test, sa.or_(*near))
    query = sa.select(other.slug).where(*conditions).order_by(sa.case((followed, 0), else_=1), other.id)
    return tuple(session.scalars(query.limit(MOST_NEIGHBOURS)))


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Related:
    """What a notice is judged by: its own row, its event's newest notice, one of the same content, how many there are."""

    own: models.Notice | None
    newest: models.Notice | None
    twin: models.Notice | None
    others: int


def _related(session: Session, event: models.Event, alert: Alert) -> _Related:
    """Read a notice's own row and those that it is compared with, in one statement."""
    notice, counted = models.Notice, aliased(models.Notice)
    content = content_hash(alert)
    # duplicates have no content hash of their own and are not counted
    others = (
        sa.select(sa.func.count())
        .where(counted.event_id == event.id, counted.content_sha256.is_not(None))
        .scalar_subquery()
    )
    same_content = sa.and_(notice.event_id == event.id, notice.content_sha256 == content)
    wanted = sa.or_(notice.sha256.in_([alert.sha256, event.newest_sha256 or ""]), same_content)
    rows = session.execute(sa.select(notice, others).where(wanted)).all()
    by_hash = {row.sha256: row for row, _ in rows}
    return _Related(
        own=by_hash.get(alert.sha256),
        newest=by_hash.get(event.newest_sha256 or ""),
        twin=next((row for row, _ in rows if row.content_sha256 == content and row.event_id == event.id), None),
        others=max((count for _, count in rows), default=0),
    )


def _event(session: Session, alert: Alert, *, now: datetime) -> models.Event:
    """Return the event's row, made if missing, and lock it until the transaction ends."""
    notice = alert.notice
    key = {"mission": columns.identity(notice.mission), "name": columns.identity(notice.event_id)}
    query = sa.select(models.Event).filter_by(**key).with_for_update().execution_options(populate_existing=True)
    event = session.scalars(query).one_or_none()
    if event is not None:
        return event
    values = {
        "kind": notice.kind,
        "slug": naming.event_slug(notice),
        "t0": notice.time,
        "state": EventState.OPEN,
        "test": notice.test,
        "muted": False,
        "created": now,
    }
    event, made = row_updates.insert_once(session, models.Event, key=key, values=values)
    # a row that another transaction made meanwhile is to be locked, too
    return event if made else session.scalars(query).one()


def _settle(session: Session, event: models.Event, row: models.Notice, alert: Alert, related: _Related) -> None:
    notice, newest, twin = alert.notice, related.newest, related.twin
    row.moment = notice.time_created or row.received
    row.standing = Standing.DUPLICATE if twin else _standing(alert, row.moment, event, newest)
    row.duplicate_of = twin.sha256 if twin else None
    row.content_sha256 = None if twin else content_hash(alert)
    row.event_id = event.id
    row.kind, row.alert_type = notice.kind, columns.text(notice.alert_type)
    row.significant, row.test = notice.significant, notice.test
    row.alert = columns.dump(alert)
    row.state = "understood"
    row.previous_sha256 = newest.sha256 if newest else None
    row.number = related.others + 1
    if row.standing not in (Standing.DUPLICATE, Standing.LATE):
        _advance(session, event, row, newest)
    row.event_state = event.state
    _localise(session, row, alert)


def _standing(alert: Alert, moment: datetime, event: models.Event, newest: models.Notice | None) -> Standing:
    """Judge a notice by the newest one of its event; the first that holds wins."""
    notice = alert.notice
    if newest is None:
        return Standing.RETRACTION if notice.retraction else Standing.FIRST
    if newest.moment is not None and moment < newest.moment:
        return Standing.LATE
    if notice.retraction:
        return Standing.RETRACTION
    if event.state == EventState.RETRACTED:
        return Standing.REINSTATED
    if notice.significant and newest.significant is False:
        return Standing.PROMOTED
    same = moment == newest.moment and notice.time_created is not None and newest.alert_type == notice.alert_type
    return Standing.CORRECTION if same else Standing.UPDATE


def _advance(session: Session, event: models.Event, row: models.Notice, newest: models.Notice | None) -> None:
    """Make a notice the newest of its event; a retraction also ends the event's plans."""
    if newest is not None:
        newest.superseded_by = row.sha256
    event.newest_sha256 = row.sha256
    if row.standing == Standing.RETRACTION:
        event.state = EventState.RETRACTED
        plans.cancel(session, event.id, reason="the event was retracted")
    elif row.standing == Standing.REINSTATED:
        event.state = EventState.REINSTATED
    _set_time(event, row)


def _set_time(event: models.Event, row: models.Notice) -> None:
    """Keep T0: a later notice of a burst may carry the time of an image, one of a merger a better T0."""
    time = columns.load(Alert, row.alert or "").notice.time
    if time is not None and (event.t0 is None or event.kind == Kind.GW):
        event.t0 = time


def _localise(session: Session, row: models.Notice, alert: Alert) -> None:
    session.flush()
    places = [
        {
            "role": summary.role,
            "area50_deg2": summary.area50_deg2,
            "area90_deg2": summary.area90_deg2,
            "distance_mpc": summary.distance_mpc,
            "distance_std_mpc": summary.distance_std_mpc,
            "ra_deg": summary.peak_ra_deg,
            "dec_deg": summary.peak_dec_deg,
            "error_deg": None,
            "path": str(summary.path) if summary.path else None,
        }
        for summary in _maps(alert)
    ]
    notice = alert.notice
    if notice.ra_deg is not None and notice.dec_deg is not None:
        nothing = dict.fromkeys(("area50_deg2", "area90_deg2", "distance_mpc", "distance_std_mpc", "path"))
        position = {"ra_deg": notice.ra_deg, "dec_deg": notice.dec_deg, "error_deg": notice.error_deg}
        places.append({"role": "position", **nothing, **position})
    rows = [{"notice_id": row.id, **place} for place in places]
    row_updates.insert_missing(session, models.Localisation, rows, key=("notice_id", "role"))


def _maps(alert: Alert) -> tuple[SkyMapSummary, ...]:
    return tuple(summary for summary in (alert.sky_map, alert.combined) if summary is not None)


def _registered(session: Session, row: models.Notice, event: models.Event, related: _Related) -> Registered:
    session.flush()
    previous = _alert(session, row.previous_sha256, related) if row.previous_sha256 else None
    decisions = decisions_on(session, [sha256 for sha256 in (row.sha256, row.previous_sha256) if sha256])
    return Registered(
        slug=event.slug,
        standing=Standing(row.standing or Standing.FIRST),
        state=EventState(row.event_state or event.state),
        number=row.number or 1,
        test=event.test,
        previous=previous,
        previous_decision=decisions.get(row.previous_sha256 or ""),
        decision=decisions.get(row.sha256),
        planned=plans.stands(session, event.id),
    )


def _alert(session: Session, sha256: str, related: _Related) -> Alert | None:
    document = (
        related.newest.alert
        if related.newest is not None and related.newest.sha256 == sha256
        else session.scalars(sa.select(models.Notice.alert).filter_by(sha256=sha256)).one()
    )
    return columns.load(Alert, document) if document else None
