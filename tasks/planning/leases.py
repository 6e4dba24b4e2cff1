"""Plans and the processes that make them: one tells that it lives, so that the plan of a dead one is soon taken up."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks import resources
from tasks.errors import Unavailable
from tasks.records import Alert
from tasks.registry import plans
from tasks.registry.store import Registry, now

log = logging.getLogger(__name__)

RENEWALS = 6
"""How often a process tells that it lives, within the time after which it counts as dead."""


@contextmanager
def held(
    alert: Alert, telescopes: tuple[str, ...], *, parameters_sha256: str, root: Path, registry: str = ""
) -> Iterator[None]:
    """Tell the registry, for the length of a block, that the process of a claimed plan lives.

    A registry that is away is asked again at the next time: the plan goes on.
    """
    ended = threading.Event()

    def tell(kept: Registry) -> None:
        while not ended.wait(plans.LEASE.total_seconds() / RENEWALS):
            try:
                with kept.begin() as session:
                    plans.keep(
                        session, alert.sha256, telescopes=telescopes, parameters_sha256=parameters_sha256, now=now()
                    )
            except Unavailable as error:
                log.warning("the plan of %s goes on, but could not say so: %s", alert.notice.event_id, error)

    with resources.registry(registry, root) as kept:
        teller = threading.Thread(target=tell, args=(kept,), name="siren-lease", daemon=True)
        teller.start()
        try:
            yield
        finally:
            ended.set()
            teller.join()


@task(cache_policy=NO_CACHE, **resources.PATIENT, task_run_name="give-up-dead-plans")
def give_up(*, root: Path, registry: str = "") -> tuple[str, ...]:
    """Note that plans of dead processes failed where a newer notice came; return the names of their events.

    The plan of an event's newest notice is not given up: ``unanswered`` has it made again.
    """
    with resources.registry(registry, root) as kept, kept.begin() as session:
        return plans.give_up(session, now=now())
