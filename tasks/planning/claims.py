"""Tasks that claim the planning of a notice and read its plans."""

from __future__ import annotations

import logging
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks import resources
from tasks.records import Alert, Plan
from tasks.registry import plans
from tasks.registry.store import now

log = logging.getLogger(__name__)


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
