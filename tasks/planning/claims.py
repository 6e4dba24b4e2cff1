"""Tasks that claim the planning of a notice and read its plans."""

from __future__ import annotations

import logging

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks import resources
from tasks.records import Alert, Decision, Home, Plan, PlanMode, PlanRequest
from tasks.registry import plans
from tasks.registry.store import now

log = logging.getLogger(__name__)


@task(cache_policy=NO_CACHE, **resources.PATIENT, task_run_name="known-plans-{slug}")
def known_plans(slug: str, home: Home) -> tuple[Plan, ...]:
    """Return the plans last made for an event's newest notice."""
    with resources.registry(home) as registry:
        history = registry.history(slug)
    plan_sets = [entry.plans for entry in history.plans if entry.notice_sha256 == history.newest.alert.sha256]
    return plan_sets[-1] if plan_sets else ()


@task(cache_policy=NO_CACHE, **resources.PATIENT, task_run_name="claim-plan-{alert.notice.event_id}")
def claim_plan(
    alert: Alert, request: PlanRequest, home: Home, *, asked_by: str = "", decision: Decision | None = None
) -> bool:
    """Claim a plan; return False if it is already claimed or made, or if the notice retracts its event.

    An older notice may be answered again after the retraction; that is no failure. ``decision`` is that on the newest
    notice where a decision asked for the plan: it may have changed before the plan began.
    """
    if decision is not None and decision.plan not in (PlanMode.AUTOMATIC, PlanMode.KEEP):
        log.info("%s: the newest decision asks for no plan (%s)", alert.notice.event_id, decision.summary)
        return False
    if alert.notice.retraction:
        log.info("%s was retracted: nothing is planned", alert.notice.event_id)
        return False
    with resources.registry(home) as registry, registry.begin() as session:
        return plans.claim(session, request, now=now(), asked_by=asked_by or None)
