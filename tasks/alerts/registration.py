"""Tasks that register a notice, load its event, and mark it answered or dead."""

from __future__ import annotations

import json
import logging
from datetime import timedelta
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks import naming, products, resources
from tasks.io.messages import event_announcements
from tasks.messages import event_facts
from tasks.records import Alert, EventInHand, Home
from tasks.records.events import Registered, StoredNotice
from tasks.registry import notices, outbox
from tasks.registry.store import now
from tasks.science.alerts import best_position
from tasks.science.planning import already_observed

log = logging.getLogger(__name__)


@task(cache_policy=NO_CACHE, **resources.PATIENT, task_run_name="register-{alert.notice.event_id}")
def register(alert: Alert, home: Home) -> Registered:
    """Give a notice its place in its event; registering it again gives the same answer."""
    with resources.registry(home) as registry:
        registered = registry.record_alert(alert)
    log.info("%s: notice %d, %s", registered.slug, registered.number, registered.standing)
    return registered


@task(cache_policy=NO_CACHE, **resources.PATIENT, task_run_name="load-{slug}")
def load_event(slug: str, home: Home) -> EventInHand:
    """Take up an event by the name of its folder: its newest notice and what was decided on it.

    Raises
    ------
    UnusableData
        If the registry does not know the event.
    """
    with resources.registry(home) as registry:
        history = registry.history(slug)
        entry = history.newest
        return EventInHand(
            alert=entry.alert,
            registered=registry.record_alert(entry.alert),
            decision=entry.decision,
            located=best_position.located(event_facts.alerts(history)) or entry.alert,
            observed=already_observed.of_history(history),
        )


@task(cache_policy=NO_CACHE, **resources.PATIENT, task_run_name="unanswered")
def unanswered(silence_s: float, home: Home) -> tuple[StoredNotice, ...]:
    """Return the notices that a run was made for at least ``silence_s`` seconds ago and that came to nothing."""
    with resources.registry(home) as registry:
        return registry.unanswered(before=now() - timedelta(seconds=silence_s))


@task(cache_policy=NO_CACHE, **resources.PATIENT, task_run_name="dead-letter-{sha256}")
def record_dead_letter(path: Path, sha256: str, reason: str, home: Home, *, topic: str | None) -> Path:
    """Keep a notice that cannot be understood with the reason, and tell the operators once."""
    letter = naming.AlertTree(root=home.root).dead_letter(sha256)
    products.write_bytes(letter, path.read_bytes())
    products.write_text(naming.sidecar(letter), json.dumps({"reason": reason, "topic": topic}) + "\n")
    with resources.registry(home) as registry, registry.begin() as session:
        notices.record_dead(session, sha256, reason)
        message = event_announcements.of_dead_letter(sha256, topic=topic, reason=reason)
        outbox.enqueue_message(session, message, now=now())
    return letter


@task(cache_policy=NO_CACHE, **resources.PATIENT, task_run_name="mark-answered-{sha256}")
def mark_answered(sha256: str, home: Home) -> bool:
    """Note that all was done for a notice: what is not noted is done again by ``reconcile``."""
    with resources.registry(home) as registry, registry.begin() as session:
        return notices.mark_answered(session, sha256, now=now())
