"""What should have happened and has not: have it done again."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, datetime

import httpx
from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError

from tasks.io.messages import operator_alarms
from tasks.records import Reconciled
from tasks.records.events import StoredNotice
from tasks.records.outbox import Drained, Outgoing

log = logging.getLogger(__name__)

RESPOND = "respond/prod"


@task(cache_policy=NO_CACHE, task_run_name="resubmit")
def resubmit(silent: Sequence[StoredNotice]) -> tuple[str, ...]:
    """Make another run of ``respond`` for each notice that came to nothing; return the hashes of those resubmitted.

    The key holds the hour: two reconciliations in one hour make one run.
    """
    done = []
    for notice in silent:
        key = f"again:{notice.sha256}:{datetime.now(UTC):%Y%m%d%H}"
        try:
            run_deployment(RESPOND, parameters=notice.parameters(), timeout=0, as_subflow=False, idempotency_key=key)
        except (ObjectNotFound, PrefectHTTPStatusError, httpx.HTTPError) as error:
            log.warning("notice %s cannot be resubmitted now: %s", notice.sha256[:8], error)
        else:
            done.append(notice.sha256)
    return tuple(done)


def alarm(words: str) -> Outgoing:
    """Return the operators' message of an automation; the same words within one minute are one message."""
    return operator_alarms.of_automation(words, minute=f"{datetime.now(UTC):%Y-%m-%dT%H:%M}")


@task(cache_policy=NO_CACHE, task_run_name="conclude")
def conclude(resubmitted: tuple[str, ...], messages: Drained, uploads: Drained) -> Reconciled:
    """Join what reconciliation did into one record."""
    log.info("%d notices resubmitted, %d messages and %d files sent", len(resubmitted), messages.sent, uploads.sent)
    return Reconciled(resubmitted=resubmitted, messages=messages, uploads=uploads)
