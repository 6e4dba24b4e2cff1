"""What leaves the house: notices into the registry, messages and files into the outbox, the outbox to Slack and the store.

Every place is the name of a block, loaded in the task that uses it; an empty name means under ``root``: an SQLite file,
a folder of rendered messages, a folder for products.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks import knowing, naming, products, resources
from tasks.io.messages import event_announcements
from tasks.io.messages import plan_change_text as plan_tellings
from tasks.io.pages import event_page
from tasks.io.services import store_layout
from tasks.records import Alert, Audience, Decision, EventInHand, Plan
from tasks.records.effects import Drained, Outgoing, PlanChange, Registered
from tasks.registry import Session, delivery, events, history, outbox, plans
from tasks.registry.store import now
from tasks.science import plan_changes

log = logging.getLogger(__name__)


@task(cache_policy=NO_CACHE, **resources.PATIENT, task_run_name="announce-{alert.notice.event_id}")
def announce(
    alert: Alert,
    decision: Decision | None,
    registered: Registered,
    *,
    root: Path,
    source: Path | None = None,
    registry: str = "",
    store: str = "",
) -> int:
    """Record the decision and put the notice's messages and files into the outbox, in one transaction.

    ``source`` is the notice's bytes. Announcing again does nothing. Returns the number of new messages.
    """
    known_links, files = resources.links_of(store, alert), store_layout.of_notice(alert, source, root)
    with resources.registry(registry, root) as kept, kept.begin() as session:
        if decision is not None:
            events.record_decision(session, alert, decision, now=now())
        if not events.mark_announced(session, alert.sha256, now=now()):
            return 0
        told = _tell_notice(session, alert, decision, registered, known_links)
        _enqueue_files(session, registered.slug, files)
        return told


@task(cache_policy=NO_CACHE, **resources.PATIENT, task_run_name="illustrate-{alert.notice.event_id}")
def illustrate(
    alert: Alert,
    decision: Decision | None,
    registered: Registered,
    picture: Path | None,
    *,
    root: Path,
    registry: str = "",
    store: str = "",
) -> int:
    """Put the picture of a notice's sky map, if there is one, into the outbox for its thread and its top message.

    It takes seconds to draw, for which the words do not wait. Doing so again does nothing. Returns the number of new
    messages.
    """
    if picture is None:
        return 0
    links = resources.links_of(store, alert)
    with resources.registry(registry, root) as kept, kept.begin() as session:
        known = knowing.knowledge(history.of_event(session, registered.slug), links)
        return _enqueue(session, event_announcements.of_picture(alert, decision, registered, picture, known=known))


@task(cache_policy=NO_CACHE, **resources.PATIENT, task_run_name="announce-plans-{alert.notice.event_id}")
def announce_plans(
    alert: Alert,
    made: tuple[Plan, ...],
    registered: Registered,
    *,
    parameters_sha256: str,
    audience: Audience,
    root: Path,
    files: tuple[Path, ...] = (),
    registry: str = "",
    store: str = "",
) -> bool:
    """Record finished plans and put their message and files into the outbox; False when they were known or cancelled."""
    known_links = resources.links_of(store, alert)
    with resources.registry(registry, root) as book, book.begin() as session:
        if not plans.record(session, alert.sha256, made, parameters_sha256=parameters_sha256, now=now()):
            return False
        key = f"{alert.sha256}:{plans.joined([plan.telescope for plan in made])}:{parameters_sha256}"
        told = history.of_event(session, registered.slug)
        changed = plan_changes.of_history(told)
        known = knowing.knowledge(told, known_links)
        picture = next((path for path in files if path.suffix == ".png"), None) if any(e.tiles for e in made) else None
        said = event_announcements.of_plans(
            alert, registered, made, known=known, audience=audience, key=key, changed=changed, picture=picture
        )
        _enqueue(session, said)
        kept = [*files, *_changes_file(alert, changed, root)]
        _enqueue_files(
            session, registered.slug, {f"{naming.StoreTree.visit(alert)}/{path.name}": path for path in kept}
        )
        return True


@task(cache_policy=NO_CACHE, **resources.PATIENT, task_run_name="refresh")
def refresh(slugs: Sequence[str], key: str, *, root: Path, registry: str = "", store: str = "") -> int:
    """Rewrite the top messages of events of which something came to be known; ``key`` names what, once."""
    with resources.registry(registry, root) as book, book.begin() as session:
        told = [history.of_event(session, slug) for slug in slugs]
        said = [
            event_announcements.of_refresh(
                each.slug,
                known=knowing.knowledge(each, resources.links_of(store, each.newest.alert)),
                audience=tops[-1],
                key=key,
            )
            for each in told
            if (tops := [entry.audience for entry in each.messages if entry.kind == event_announcements.TOP])
        ]
        return _enqueue(session, said)


@task(cache_policy=NO_CACHE, **resources.PATIENT, task_run_name="known-plans-{slug}")
def known_plans(slug: str, *, root: Path, registry: str = "") -> tuple[Plan, ...]:
    """Return the plans last made for an event's newest notice."""
    with resources.registry(registry, root) as kept:
        known = kept.history(slug)
    made = [entry.plans for entry in known.plans if entry.notice_sha256 == known.newest.alert.sha256]
    return made[-1] if made else ()


@task(cache_policy=NO_CACHE, **resources.PATIENT, task_run_name="claim-plan-{alert.notice.event_id}")
def claim_plan(
    alert: Alert,
    telescopes: tuple[str, ...],
    *,
    parameters_sha256: str,
    root: Path,
    asked_by: str = "",
    registry: str = "",
) -> bool:
    """Claim the planning of a notice; False when somebody has it or did it, or when it retracts its event.

    An older notice may be answered again after the retraction: that is no failure to tell of.
    """
    if alert.notice.retraction:
        log.info("%s was retracted: nothing is planned", alert.notice.event_id)
        return False
    with resources.registry(registry, root) as kept, kept.begin() as session:
        return plans.claim(
            session,
            alert.sha256,
            telescopes=telescopes,
            parameters_sha256=parameters_sha256,
            now=now(),
            asked_by=asked_by or None,
        )


@task(cache_policy=NO_CACHE, **resources.PATIENT, task_run_name="start-plan-{event.alert.notice.event_id}")
def announce_started_plan(
    event: EventInHand,
    telescopes: tuple[str, ...],
    *,
    engine: str,
    asked_by: str = "",
    parameters_sha256: str,
    root: Path,
    registry: str = "",
    store: str = "",
) -> bool:
    """Say in the thread that planning has begun, once for each who asked."""
    key = f"{event.alert.sha256}:{plans.joined(telescopes)}:{parameters_sha256}:{asked_by}"
    with resources.registry(registry, root) as kept, kept.begin() as session:
        told = history.of_event(session, event.registered.slug)
        said = event_announcements.of_started_plan(
            event.alert,
            event.registered,
            telescopes,
            engine=engine,
            asked_by=asked_by,
            known=knowing.knowledge(told, resources.links_of(store, event.alert)),
            audience=event.audience,
            key=key,
        )
        return bool(_enqueue(session, said))


@task(cache_policy=NO_CACHE, **resources.PATIENT, task_run_name="fail-plan-{alert.notice.event_id}")
def announce_failed_plan(
    alert: Alert,
    telescopes: tuple[str, ...],
    reason: str,
    registered: Registered,
    *,
    parameters_sha256: str,
    audience: Audience,
    root: Path,
    registry: str = "",
    store: str = "",
) -> bool:
    """Record that a plan failed and say why in the thread; it may be claimed again."""
    where = {"telescopes": telescopes, "parameters_sha256": parameters_sha256}
    with resources.registry(registry, root) as kept, kept.begin() as session:
        if not plans.fail(session, alert.sha256, **where, reason=reason, now=now()):  # type: ignore[arg-type]
            return False
        key = f"{alert.sha256}:{plans.joined(telescopes)}:{parameters_sha256}:{now().isoformat()}"
        known = knowing.knowledge(history.of_event(session, registered.slug), resources.links_of(store, alert))
        said = event_announcements.of_failed_plan(
            alert, registered, telescopes, reason, known=known, audience=audience, key=key
        )
        return bool(_enqueue(session, said))


@task(cache_policy=NO_CACHE, **resources.PATIENT, task_run_name="say-{message.kind}")
def say(
    message: Outgoing,
    *,
    root: Path,
    files: Mapping[str, Path] | None = None,
    registry: str = "",
) -> bool:
    """Put one message, and files by their paths in the store, into the outbox; False when it was there."""
    with resources.registry(registry, root) as kept, kept.begin() as session:
        _enqueue_files(session, message.subject.removeprefix("event:"), files or {})
        return outbox.enqueue_message(session, message, now=now())


@task(cache_policy=NO_CACHE, **resources.PATIENT, task_run_name="page-{slug}")
def publish_page(slug: str, *, root: Path, registry: str = "", store: str = "") -> Path:
    """Write an event's page from all that is known of it and put it into the outbox."""
    with resources.registry(registry, root) as kept:
        known = kept.history(slug)
        alert = known.newest.alert
        page = naming.AlertTree(root=root).page(alert.notice)
        pictures = sorted(page.parent.rglob("*.png"))
        html = event_page.render(
            known,
            burst=knowing.burst(known),
            pictures=pictures,
            links=resources.links_of(store, alert),
            changed=plan_changes.of_history(known),
            overlaps=knowing.overlaps_of(known),
        )
        products.write_text(page, html)
        with kept.begin() as session:
            _enqueue_files(session, slug, {naming.StoreTree.page(alert.notice): page})
    return page


@task(cache_policy=NO_CACHE, **resources.PATIENT)
def deliver(*, root: Path, registry: str = "", workspace: str = "", patience_s: float = 20.0) -> Drained:
    """Send the messages of the outbox that are due; wait a while for those to be tried again.

    Any number of senders may do so at a time: each message is claimed by one, and they keep one pace by the registry. No
    limit of the server holds one back, for the headline of a new event would wait for one that waits for its next try.
    """
    sender = resources.sender(workspace, root)
    with resources.registry(registry, root) as kept:
        drained = delivery.drain_messages(kept, sender.send, patience_s=patience_s, pace_s=sender.pace_s)
    log.info("%d messages sent, %d wait, %d given up", drained.sent, drained.waiting, drained.failed)
    return drained


@task(cache_policy=NO_CACHE, **resources.PATIENT, tags=["store"])
def upload(*, root: Path, registry: str = "", store: str = "", patience_s: float = 20.0) -> Drained:
    """Bring the files of the outbox that are due into the store; wait a while for those to be tried again."""
    with resources.registry(registry, root) as kept, contextlib.closing(resources.store(store, root)) as place:
        drained = delivery.drain_uploads(
            kept,
            lambda claimed: place.put(claimed.source, claimed.remote, attempt=claimed.attempt),
            patience_s=patience_s,
        )
    log.info("%d files uploaded, %d wait, %d given up", drained.sent, drained.waiting, drained.failed)
    return drained


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
        known=knowing.knowledge(known, links),
        opened=opened_for,
        overlap=knowing.overlap(registered.previous, alert),
    )
    return _enqueue(session, said)


def _enqueue(session: Session, said: Sequence[Outgoing]) -> int:
    heard = (message for message in said if message.audience is not Audience.NOBODY)
    return sum(outbox.enqueue_message(session, message, now=now()) for message in heard)


def _enqueue_files(session: Session, slug: str, files: Mapping[str, Path]) -> None:
    for remote, path in files.items():
        outbox.enqueue_upload(
            session,
            source=path.resolve(),
            remote=remote,
            sha256=products.sha256_of(path),
            size=path.stat().st_size,
            now=now(),
            subject=f"event:{slug}",
        )


def _changes_file(alert: Alert, changed: Sequence[PlanChange], root: Path) -> tuple[Path, ...]:
    if not changed:
        return ()
    path = naming.AlertTree(root=root).plans(alert) / "changes.json"
    products.write_text(path, plan_tellings.document(changed))
    return (path,)
