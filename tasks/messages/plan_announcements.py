"""Tasks that record a plan's outcome and announce it in the event's thread."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks import naming, products, resources
from tasks.io.messages import event_announcements, plan_change_text
from tasks.messages import event_facts, outgoing
from tasks.records import Alert, EventInHand, Home, Plan, PlanRequest
from tasks.records.events import PlanChange
from tasks.registry import history, plans
from tasks.registry.store import now
from tasks.science.planning import plan_diff


@task(cache_policy=NO_CACHE, **resources.PATIENT, task_run_name="announce-plans-{event.registered.slug}")
def announce_plans(
    event: EventInHand, request: PlanRequest, made: tuple[Plan, ...], home: Home, *, files: tuple[Path, ...] = ()
) -> bool:
    """Record finished plans and queue their message and files; return False if they are known or cancelled."""
    alert, slug = event.alert, event.registered.slug
    links = resources.links_of(home, alert)
    with resources.registry(home) as registry, registry.begin() as session:
        if not plans.record(session, request, made, now=now()):
            return False
        reading = history.of_event(session, slug)
        changed = plan_diff.of_history(reading)
        pictures = [path for path in files if path.suffix == ".png"] if any(plan.tiles for plan in made) else []
        messages = event_announcements.of_plans(
            alert,
            event.registered,
            made,
            known=event_facts.knowledge(reading, links),
            audience=event.audience,
            key=request.key,
            changed=changed,
            picture=pictures[0] if pictures else None,
        )
        outgoing.enqueue(session, messages)
        uploads = [*files, *_changes_file(alert, changed, home.root)]
        outgoing.enqueue_files(
            session, slug, {f"{naming.StoreTree.visit(alert)}/{path.name}": path for path in uploads}
        )
        return True


@task(cache_policy=NO_CACHE, **resources.PATIENT, task_run_name="start-plan-{event.registered.slug}")
def announce_started_plan(
    event: EventInHand, request: PlanRequest, home: Home, *, engine: str, asked_by: str = ""
) -> bool:
    """Say in the thread that planning has begun, once for each who asked."""
    with resources.registry(home) as registry, registry.begin() as session:
        reading = history.of_event(session, event.registered.slug)
        messages = event_announcements.of_started_plan(
            event.alert,
            event.registered,
            request.telescopes,
            engine=engine,
            asked_by=asked_by,
            known=event_facts.knowledge(reading, resources.links_of(home, event.alert)),
            audience=event.audience,
            key=f"{request.key}:{asked_by}",
        )
        return bool(outgoing.enqueue(session, messages))


@task(cache_policy=NO_CACHE, **resources.PATIENT, task_run_name="fail-plan-{event.registered.slug}")
def announce_failed_plan(event: EventInHand, request: PlanRequest, reason: str, home: Home) -> bool:
    """Record that a plan failed and say why in the thread; it may be claimed again."""
    with resources.registry(home) as registry, registry.begin() as session:
        if not plans.fail(session, request, reason=reason, now=now()):
            return False
        reading = history.of_event(session, event.registered.slug)
        messages = event_announcements.of_failed_plan(
            event.alert,
            event.registered,
            request.telescopes,
            reason,
            known=event_facts.knowledge(reading, resources.links_of(home, event.alert)),
            audience=event.audience,
            key=f"{request.key}:{now().isoformat()}",
        )
        return bool(outgoing.enqueue(session, messages))


def _changes_file(alert: Alert, changed: Sequence[PlanChange], root: Path) -> tuple[Path, ...]:
    if not changed:
        return ()
    path = naming.AlertTree(root=root).plans(alert) / "changes.json"
    products.write_text(path, plan_change_text.document(changed))
    return (path,)
