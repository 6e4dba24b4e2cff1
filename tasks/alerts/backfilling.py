"""Notices that no broker has any more, from GraceDB: found by the gap in what was heard, stored as if they had been heard."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE
from pydantic import TypeAdapter
from pydantic_core import to_jsonable_python

from tasks import products, resources
from tasks.alerts.engines import arrivals
from tasks.errors import FAULTS, UnusableData
from tasks.io.messages import operator_alarms
from tasks.io.notices import parsing
from tasks.io.services.gracedb import GraceDb
from tasks.options import BackfillOptions
from tasks.records import Home
from tasks.records.backfills import Backfilled, Recovered, Span, Superevent
from tasks.registry import Registry, outbox
from tasks.registry import notices as rows
from tasks.registry.store import now
from tasks.science.alerts import listening_gaps

log = logging.getLogger(__name__)

# clocks differ, and a message may have been on its way
MARGIN = timedelta(minutes=10)
FOLDER = "backfills"


@task(cache_policy=NO_CACHE, **resources.PATIENT, task_run_name="gaps")
def find_gaps(since: datetime | None, until: datetime | None, options: BackfillOptions, home: Home) -> tuple[Span, ...]:
    """Return the span that is asked for, or else the gaps in what was heard that were not filled before."""
    with resources.registry(home) as registry:
        return spans_of(since, until, options, registry=registry, root=home.root)


@task(cache_policy=NO_CACHE, **resources.PATIENT, task_run_name="list")
def list_events(spans: Sequence[Span], options: BackfillOptions) -> tuple[Superevent, ...]:
    """Return the events that may have had notices within the spans, each once."""
    found: dict[str, Superevent] = {}
    with closing(GraceDb(options.url)) as server:
        for span in spans:
            wider = Span(since=span.since - timedelta(days=options.lookback_days), until=span.until + MARGIN)
            found |= {event.event_id: event for event in server.created(wider)}
    return tuple(found.values())


@task(cache_policy=NO_CACHE, **resources.PATIENT, task_run_name="recover-{event.event_id}")
def recover(event: Superevent, spans: Sequence[Span], options: BackfillOptions, home: Home) -> Recovered:
    """Store an event's notices of these spans as the listener would: a file, then a row, from which a run is made."""
    with resources.registry(home) as registry:
        return recovered_of(event, spans, options, registry=registry, root=home.root)


@task(cache_policy=NO_CACHE, **resources.PATIENT, task_run_name="report")
def report(spans: Sequence[Span], recovered: Sequence[Recovered], home: Home) -> Backfilled:
    """Tell the operators of the gaps and of what filled them, once, and remember that they are filled."""
    with resources.registry(home) as registry:
        return conclude(spans, recovered, registry=registry, root=home.root)


def spans_of(
    since: datetime | None, until: datetime | None, options: BackfillOptions, *, registry: Registry, root: Path
) -> tuple[Span, ...]:
    """Return the span that is asked for, times without a zone being UTC, or else the gaps that are not filled yet.

    Raises
    ------
    UnusableData
        If the span ends before it begins.
    """
    moment = _aware(until or now())
    if since is None:
        with registry.read() as session:
            heard = rows.arrivals(session, since=moment - timedelta(days=options.days))
        found = listening_gaps.between(heard, now=moment, longer_than=timedelta(hours=options.silence_h))
        return listening_gaps.left(found, _done(root))
    if _aware(since) >= moment:
        raise UnusableData(f"a span from {since.isoformat()} to {moment.isoformat()}: it must end after it begins")
    return (Span(since=_aware(since), until=moment),)


def recovered_of(
    event: Superevent, spans: Sequence[Span], options: BackfillOptions, *, registry: Registry, root: Path
) -> Recovered:
    """Fetch and store an event's notices of some spans, oldest first; what cannot be used is said in the result."""
    with closing(GraceDb(options.url)) as server:
        try:
            dated = sorted(
                (moment, content) for content in server.notices(event) if (moment := _within(content, spans))
            )
        except FAULTS as error:
            return Recovered(event_id=event.event_id, refused=(f"{event.event_id}: {error}",))
    fresh = {hashlib.sha256(content).hexdigest(): arrivals.keep(content, registry, root) for _, content in dated}
    new = tuple(sha256 for sha256, is_new in fresh.items() if is_new)
    return Recovered(event_id=event.event_id, new=new, known=len(fresh) - len(new))


def conclude(spans: Sequence[Span], recovered: Sequence[Recovered], *, registry: Registry, root: Path) -> Backfilled:
    """Put the operators' message into the outbox and write the report that marks the spans as filled."""
    made = Backfilled(
        spans=tuple(spans),
        events=len(recovered),
        new=sum(len(each.new) for each in recovered),
        known=sum(each.known for each in recovered),
        refused=tuple(words for each in recovered for words in each.refused),
    )
    if spans:
        with registry.begin() as session:
            outbox.enqueue_message(session, operator_alarms.of_backfill(made), now=now())
        name = f"{spans[0].since:%Y%m%dT%H%M%S}-{spans[-1].until:%Y%m%dT%H%M%S}.json"
        products.write_text(root / FOLDER / name, json.dumps(to_jsonable_python(made), indent=1) + "\n")
    log.info("%d gaps, %d events: %d notices new, %d known", len(spans), made.events, made.new, made.known)
    return made


def _aware(time: datetime) -> datetime:
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time


def _within(payload: bytes, spans: Sequence[Span]) -> datetime | None:
    """Return when a notice was made, where that lies in a gap."""
    moment = parsing.parse(payload).notice.time_created
    inside = moment is not None and any(each.since - MARGIN <= moment <= each.until + MARGIN for each in spans)
    return moment if inside else None


def _done(root: Path) -> tuple[Span, ...]:
    """Return the spans that were filled before."""
    reports = TypeAdapter(Backfilled)
    files = sorted((root / FOLDER).glob("*.json"))
    return tuple(span for file in files for span in reports.validate_json(file.read_bytes()).spans)
