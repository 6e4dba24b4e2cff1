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
from tasks.records import Alert, EventInHand
from tasks.records.events import Registered, StoredNotice
from tasks.registry import notices, outbox
from tasks.registry.store import now
from tasks.science.alerts import best_position
from tasks.science.planning import already_observed

log = logging.getLogger(__name__)


@task(cache_policy=NO_CACHE, **resources.PATIENT, task_run_name="register-{alert.notice.event_id}")
def register(alert: Alert, *, root: Path, registry: str = "") -> Registered:
    """Give a notice its place in its event; registering it again gives the same answer."""
    with resources.registry(registry, root) as store:
        registered = store.record_alert(alert)
    log.info("%s: notice %d, %s", registered.slug, registered.number, registered.standing)
    return registered


@task(cache_policy=NO_CACHE, **resources.PATIENT, task_run_name="newest-{slug}")
def newest(slug: str, *, root: Path, registry: str = "") -> EventInHand:
    """Take up an event by the name of its folder: its newest notice and what was decided on it.

    Raises
    ------
    UnusableData
        If the registry does not know the event.
    """
    with resources.registry(registry, root) as kept:
        known = kept.history(slug)
        entry = known.newest
        return EventInHand(
            alert=entry.alert,
            registered=kept.record_alert(entry.alert),
            decision=entry.decision,
            located=best_position.located(event_facts.alerts(known)) or entry.alert,
            observed=already_observed.of_history(known),
        )


@task(cache_policy=NO_CACHE, **resources.PATIENT, task_run_name="unanswered")
def unanswered(silence_s: float, *, root: Path, registry: str = "") -> tuple[StoredNotice, ...]:
    """Return the notices that a run was made for at least ``silence_s`` seconds ago and that came to nothing."""
    with resources.registry(registry, root) as kept:
        return kept.unanswered(before=now() - timedelta(seconds=silence_s))


@task(cache_policy=NO_CACHE, **resources.PATIENT, task_run_name="bury-{sha256}")
def bury(path: Path, sha256: str, reason: str, *, topic: str | None, root: Path, registry: str = "") -> Path:
    """Keep a notice that cannot be understood with the reason, and tell the operators once."""
    letter = naming.AlertTree(root=root).dead_letter(sha256)
    products.write_bytes(letter, path.read_bytes())
    products.write_text(naming.sidecar(letter), json.dumps({"reason": reason, "topic": topic}) + "\n")
    with resources.registry(registry, root) as kept, kept.begin() as session:
        notices.record_dead(session, sha256, reason)
        said = event_announcements.of_dead_letter(sha256, topic=topic, reason=reason)
        outbox.enqueue_message(session, said, now=now())
    return letter


@task(cache_policy=NO_CACHE, **resources.PATIENT, task_run_name="answer-{sha256}")
def answer(sha256: str, *, root: Path, registry: str = "") -> bool:
    """Note that all was done for a notice: what is not noted is done again by ``reconcile``."""
    with resources.registry(registry, root) as kept, kept.begin() as session:
        return notices.mark_answered(session, sha256, now=now())
