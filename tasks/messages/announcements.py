"""What leaves the house: notices into the registry, messages and files into the outbox, the outbox to Slack and the store.

Every place is the name of a block, loaded in the task that uses it; an empty name means under ``root``: an SQLite file,
a folder of rendered messages, a folder for products.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks import resources
from tasks.io.messages import event_announcements
from tasks.io.services import store_layout
from tasks.messages import event_facts, outgoing
from tasks.records import Alert, Decision, Home
from tasks.records.events import Registered
from tasks.registry import Session, events, history
from tasks.registry.store import now

log = logging.getLogger(__name__)


@task(cache_policy=NO_CACHE, **resources.PATIENT, task_run_name="announce-{alert.notice.event_id}")
def announce(
    alert: Alert, decision: Decision | None, registered: Registered, home: Home, *, source: Path | None = None
) -> int:
    """Record the decision and put the notice's messages and files into the outbox, in one transaction.

    ``source`` is the notice's bytes. Announcing again does nothing. Returns the number of new messages.
    """
    known_links, files = resources.links_of(home, alert), store_layout.of_notice(alert, source, home.root)
    with resources.registry(home) as registry, registry.begin() as session:
        if decision is not None:
            events.record_decision(session, alert, decision, now=now())
        if not events.mark_announced(session, alert.sha256, now=now()):
            return 0
        told = _tell_notice(session, alert, decision, registered, known_links)
        outgoing.enqueue_files(session, registered.slug, files)
        return told


@task(cache_policy=NO_CACHE, **resources.PATIENT, task_run_name="announce-sky-picture-{alert.notice.event_id}")
def announce_sky_picture(
    alert: Alert, decision: Decision | None, registered: Registered, picture: Path | None, home: Home
) -> int:
    """Put the picture of a notice's sky map, if there is one, into the outbox for its thread and its top message.

    It takes seconds to draw, for which the words do not wait. Doing so again does nothing. Returns the number of new
    messages.
    """
    if picture is None:
        return 0
    links = resources.links_of(home, alert)
    with resources.registry(home) as registry, registry.begin() as session:
        known = event_facts.knowledge(history.of_event(session, registered.slug), links)
        return outgoing.enqueue(
            session, event_announcements.of_picture(alert, decision, registered, picture, known=known)
        )


@task(cache_policy=NO_CACHE, **resources.PATIENT, task_run_name="refresh")
def refresh(slugs: Sequence[str], key: str, home: Home) -> int:
    """Rewrite the top messages of events of which something came to be known; ``key`` names what, once."""
    with resources.registry(home) as registry, registry.begin() as session:
        told = [history.of_event(session, slug) for slug in slugs]
        said = [
            event_announcements.of_refresh(
                each.slug,
                known=event_facts.knowledge(each, resources.links_of(home, each.newest.alert)),
                audience=tops[-1],
                key=key,
            )
            for each in told
            if (tops := [entry.audience for entry in each.messages if entry.kind == event_announcements.TOP])
        ]
        return outgoing.enqueue(session, said)


def _tell_notice(
    session: Session,
    alert: Alert,
    decision: Decision | None,
    registered: Registered,
    links: Mapping[str, str],
) -> int:
    known = history.of_event(session, registered.slug)
    opened_for = frozenset(entry.audience for entry in known.messages if entry.kind == event_announcements.TOP)
    said = event_announcements.of_notice(
        alert,
        decision,
        registered,
        known=event_facts.knowledge(known, links),
        opened=opened_for,
        overlap=event_facts.overlap(registered.previous, alert),
    )
    return outgoing.enqueue(session, said)
