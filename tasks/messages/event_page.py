"""The tasks that write an event's page and queue it for the store, with the picture of a notice's sky map."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks import naming, products, resources
from tasks.io.messages import event_announcements
from tasks.io.pages import event_page
from tasks.messages import event_facts, outgoing
from tasks.messages.event_facts import EventContext
from tasks.records import Alert, Decision, Home
from tasks.records.events import Registered
from tasks.records.outbox import Drained
from tasks.registry import Registry, history, unsent
from tasks.science.planning import plan_diff


@task(cache_policy=NO_CACHE, **resources.PATIENT, task_run_name="page-{slug}")
def publish_page(slug: str, home: Home) -> Path:
    """Write an event's page from all that is known of it and put it into the outbox."""
    with resources.registry(home) as registry:
        event = registry.history(slug)
        return _publish(event_facts.context(event, resources.links_of(home, event.newest.alert)), home, registry)


@task(cache_policy=NO_CACHE, **resources.PATIENT, task_run_name="picture-and-page-{registered.slug}")
def publish_picture_and_page(
    alert: Alert, decision: Decision | None, registered: Registered, picture: Path | None, home: Home
) -> Path:
    """Put a notice's picture and its event's page into the outbox, both from one reading of the event.

    The picture of the sky map, if there is one, goes into the thread and the top message: it takes seconds to draw, for
    which the words do not wait. Doing so again does nothing. Returns the page. Pages of linked events are written again
    when the link is new to them.
    """
    links = resources.links_of(home, alert)
    with resources.registry(home) as registry:
        with registry.begin() as session:
            event = history.of_event(session, registered.slug)
            context = event_facts.context(event, links)
            if picture is not None:
                messages = event_announcements.of_picture(alert, decision, registered, picture, known=context.knowledge)
                if outgoing.enqueue(session, messages):
                    event = history.with_new_messages(session, event)
        newest = event.newest.alert
        links = links if newest == alert else resources.links_of(home, newest)
        page = _publish(dataclasses.replace(context, history=event, links=links), home, registry)
        for slug in event.linked:
            _publish_link(slug, event.slug, home, registry)
        return page


@task(cache_policy=NO_CACHE, **resources.PATIENT, task_run_name="show-losses")
def show_losses(drained: Sequence[Drained], home: Home) -> tuple[str, ...]:
    """Update the pages of events with a message or file that was given up, or sent after a failure; return these events.

    The pages are not queued for the store, which may be the cause.
    """
    touched = [name for each in drained for name in each.touched]
    if not touched:
        return ()
    with resources.registry(home) as registry:
        with registry.read() as session:
            slugs = unsent.events_of(session, touched)
        for slug in slugs:
            event = registry.history(slug)
            _write(event_facts.context(event, resources.links_of(home, event.newest.alert)), home)
    return slugs


def _publish_link(slug: str, other: str, home: Home, registry: Registry) -> None:
    """Write the page of a linked event again if it does not show the link yet."""
    event = registry.history(slug)
    alert = event.newest.alert
    page = naming.AlertTree(root=home.root).page(alert.notice)
    if not page.is_file() or other not in page.read_text(encoding="utf-8"):
        _publish(event_facts.context(event, resources.links_of(home, alert)), home, registry)


def _publish(event: EventContext, home: Home, registry: Registry) -> Path:
    """Write an event's page and queue it."""
    page = _write(event, home)
    notice = event.history.newest.alert.notice
    with registry.begin() as session:
        outgoing.enqueue_files(session, event.history.slug, {naming.StoreTree.page(notice): page})
    return page


def _write(event: EventContext, home: Home) -> Path:
    page = naming.AlertTree(root=home.root).page(event.history.newest.alert.notice)
    html = event_page.render(
        event.history,
        burst=event.burst,
        pictures=sorted(page.parent.rglob("*.png")),
        links=event.links,
        changed=plan_diff.of_history(event.history),
        overlaps=event_facts.overlaps_of(event.history),
    )
    products.write_text(page, html)
    return page
