"""Tasks that queue a message and that send what the outbox holds."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks import resources
from tasks.messages import outgoing
from tasks.records import Home
from tasks.records.outbox import Drained, Outgoing
from tasks.registry import delivery, outbox
from tasks.registry.store import now

log = logging.getLogger(__name__)


@task(cache_policy=NO_CACHE, **resources.PATIENT, task_run_name="enqueue-{message.kind}")
def enqueue_message(message: Outgoing, home: Home, *, files: Mapping[str, Path] | None = None) -> bool:
    """Put one message, and files by their paths in the store, into the outbox; False when it was there."""
    with resources.registry(home) as registry, registry.begin() as session:
        outgoing.enqueue_files(session, message.subject.removeprefix("event:"), files or {})
        return outbox.enqueue_message(session, message, now=now())


@task(cache_policy=NO_CACHE, **resources.PATIENT)
def deliver(home: Home, *, patience_s: float = 20.0) -> Drained:
    """Send the messages of the outbox that are due; wait a while for those to be tried again.

    Any number of senders may do so at a time: each message is claimed by one, and they keep one pace by the registry. No
    limit of the server holds one back, for the headline of a new event would wait for one that waits for its next try.
    """
    sender = resources.sender(home)
    with resources.registry(home) as registry:
        drained = delivery.drain_messages(registry, sender.send, patience_s=patience_s, pace_s=sender.pace_s)
    log.info("%d messages sent, %d wait, %d given up", drained.sent, drained.waiting, drained.failed)
    return drained


@task(cache_policy=NO_CACHE, **resources.PATIENT, tags=["store"])
def upload(home: Home, *, patience_s: float = 20.0) -> Drained:
    """Bring the files of the outbox that are due into the store; wait a while for those to be tried again."""
    with resources.registry(home) as registry, contextlib.closing(resources.store(home)) as place:
        drained = delivery.drain_uploads(
            registry,
            lambda claimed: place.put(claimed.source, claimed.remote, attempt=claimed.attempt),
            patience_s=patience_s,
        )
    log.info("%d files uploaded, %d wait, %d given up", drained.sent, drained.waiting, drained.failed)
    return drained
