"""What leaves the house for a notice: the words into the outbox, with the cause on record.

Every place is the name of a block, loaded in the task that uses it; an empty name means under ``root``: an SQLite file,
a folder of rendered messages, a folder for products.
"""

from __future__ import annotations

from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks import resources
from tasks.io.messages import event_announcements
from tasks.io.services import store_layout
from tasks.messages import coincidences, event_facts, outgoing
from tasks.messages.event_facts import EventContext
from tasks.records import Alert, Audience, Decision, Home
from tasks.records.events import EventHistory, Registered
from tasks.records.outbox import Outgoing
from tasks.records.skymaps import Overlap
from tasks.registry import Session, events, history, plans
from tasks.registry.store import now
from tasks.science.alerts import best_position, decisions

SAME_TIME_S = 60.0
"""Most seconds between events of two missions that may have one source."""


@task(cache_policy=NO_CACHE, **resources.PATIENT, task_run_name="announce-{alert.notice.event_id}")
def announce(
    alert: Alert,
    decision: Decision | None,
    registered: Registered,
    home: Home,
    *,
    source: Path | None = None,
    within_s: float = SAME_TIME_S,
) -> int:
    """Record the decision, link the event, and put the notice's messages and files into the outbox, in one transaction.

    The top messages of linked events are rewritten, once for each notice. ``source`` is the notice's bytes, ``within_s``
    how far apart in time linked events may be. Announcing again does nothing. Returns the number of new messages.
    """
    links, files = resources.links_of(home, alert), store_layout.of_notice(alert, source, home.root)
    # sky maps take seconds to compare: before the transaction, for which other writers wait
    overlap = event_facts.overlap(registered.previous, alert)
    with resources.registry(home) as registry, registry.begin() as session:
        if decision is not None:
            events.record_decision(session, alert, decision, now=now())
        news = events.mark_announced(session, alert.sha256, now=now())
        event = history.of_event(session, registered.slug)
        cancelled = _end_plans(session, alert, decision, registered, event) if news and decision is not None else None
        if cancelled is not None:
            event = history.of_event(session, registered.slug)
        linked = coincidences.link(session, alert, event, within_s=within_s)
        if linked.new:
            event = history.of_event(session, registered.slug)
        messages = list(linked.messages)
        if news:
            context = event_facts.context(event, links)
            if cancelled is not None and decision is not None:
                # before a top message in another channel: a reply goes to the thread of the newest one
                messages += event_announcements.of_cancelled_plan(
                    alert,
                    decision,
                    registered,
                    telescopes=cancelled,
                    known=context.knowledge,
                    audience=_newest_thread(event),
                )
            messages += _of_notice(alert, decision, registered, context, overlap)
            outgoing.enqueue_files(session, registered.slug, files)
        messages += [message for other in linked.others for message in _of_linked(other, alert.sha256, home)]
        return outgoing.enqueue(session, messages)


def _of_notice(
    alert: Alert, decision: Decision | None, registered: Registered, event: EventContext, overlap: Overlap | None
) -> tuple[Outgoing, ...]:
    """Return the messages that a notice calls for."""
    return event_announcements.of_notice(
        alert,
        decision,
        registered,
        known=event.knowledge,
        opened=frozenset(_threads(event.history)),
        overlap=overlap,
    )


def _threads(event: EventHistory) -> tuple[Audience, ...]:
    """Return the audiences that have a thread on an event, in order."""
    return tuple(entry.audience for entry in event.messages if entry.kind == event_announcements.TOP)


def _newest_thread(event: EventHistory) -> Audience:
    return next(reversed(_threads(event)), Audience.NOBODY)


def _end_plans(
    session: Session, alert: Alert, decision: Decision, registered: Registered, event: EventHistory
) -> tuple[str, ...] | None:
    """Cancel the plans whose ground the decision takes away: all of the event, or those of telescopes that it drops.

    Returns the dropped telescopes, none meaning all; None if no plan was cancelled.
    """
    if not (registered.planned and registered.counts):
        return None
    reason = f"a newer notice: {decision.summary}"
    located = best_position.located(event_facts.alerts(event))
    if decisions.ends_plan(decision, alert, previous=registered.previous_decision, located=located):
        return () if plans.cancel_of(session, registered.slug, reason=reason) else None
    dropped = decisions.dropped_telescopes(decision, registered.previous_decision)
    if dropped and plans.drop_telescopes(session, registered.slug, telescopes=dropped, reason=reason):
        return dropped
    return None


def _of_linked(event: EventHistory, key: str, home: Home) -> tuple[Outgoing, ...]:
    """Rewrite the top message of an event of which something came to be known; ``key`` names what, once."""
    tops = [entry.audience for entry in event.messages if entry.kind == event_announcements.TOP]
    if not tops:
        return ()
    known = event_facts.knowledge(event, resources.links_of(home, event.newest.alert))
    return (event_announcements.of_refresh(event.slug, known=known, audience=tops[-1], key=key),)
