"""Leases on plans: an expired one lets another process take over."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks import resources
from tasks.errors import Unavailable
from tasks.records import Home, PlanRequest
from tasks.registry import plans
from tasks.registry.store import Registry, now

log = logging.getLogger(__name__)

RENEWALS = 6
"""Renewals within the time after which a lease expires: five may fail in a row."""


@contextmanager
def renewing_lease(request: PlanRequest, home: Home) -> Iterator[None]:
    """Renew the lease on a claimed plan in a thread while the block runs.

    If the registry is away, the plan goes on and the next renewal tries again.
    """
    ended = threading.Event()

    def renew(registry: Registry) -> None:
        while not ended.wait(plans.LEASE.total_seconds() / RENEWALS):
            try:
                with registry.begin() as session:
                    plans.renew(session, request, now=now())
            except Unavailable as error:
                log.warning("the lease on the plan of notice %s was not renewed: %s", request.notice_sha256[:8], error)

    with resources.registry(home) as registry:
        thread = threading.Thread(target=renew, args=(registry,), name="siren-lease", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


@task(cache_policy=NO_CACHE, **resources.PATIENT, task_run_name="fail-abandoned-plans")
def fail_abandoned_plans(home: Home) -> tuple[str, ...]:
    """Mark plans as failed whose lease expired and whose event has a newer notice; return the events' slugs.

    The plan of an event's newest notice stays: ``unanswered`` has it made again.
    """
    with resources.registry(home) as registry, registry.begin() as session:
        return plans.fail_abandoned(session, now=now())
