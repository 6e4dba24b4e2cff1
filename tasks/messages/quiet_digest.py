"""What came in that nobody was woken for: told together, once for each interval."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks import resources
from tasks.io.messages import operator_alarms
from tasks.records import Home
from tasks.registry import outbox, quiet_events
from tasks.registry.store import now

log = logging.getLogger(__name__)

# transactions that began before an interval's end may still be open
SETTLE = timedelta(minutes=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@task(cache_policy=NO_CACHE, **resources.PATIENT, task_run_name="digest")
def digest(interval_h: float, home: Home) -> bool:
    """Put the digest of low-significance events into the outbox, once for each interval; return whether there is a new one.

    It begins where the last one ended, however long ago that was. An interval in which nothing came has none.
    """
    if interval_h <= 0:
        return False
    span = timedelta(hours=interval_h)
    until = EPOCH + (now() - SETTLE - EPOCH) // span * span
    with resources.registry(home) as registry:
        with registry.read() as session:
            since = quiet_events.last_digest(session) or until - span
            quiet = quiet_events.events(session, since=since, until=until)
        if not quiet:
            return False
        with registry.begin() as session:
            new = outbox.enqueue_message(
                session, operator_alarms.of_quiet_events(quiet, since=since, until=until), now=now()
            )
    log.info("%d low-significance events since %s", len(quiet), since.isoformat())
    return new
