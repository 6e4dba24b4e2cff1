"""Tasks that record a plan's outcome and announce it in the event's thread."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks import naming, products, resources
from tasks.io.messages import event_announcements
from tasks.io.messages import plan_change_text as plan_tellings
from tasks.messages import event_facts, outgoing
from tasks.records import Alert, Audience, EventInHand, Plan
from tasks.records.events import PlanChange, Registered
from tasks.registry import history, plans
from tasks.registry.store import now
from tasks.science.planning import plan_diff


@task(cache_policy=NO_CACHE, **resources.PATIENT, task_run_name="announce-plans-{alert.notice.event_id}")
def announce_plans(
    alert: Alert,
    made: tuple[Plan, ...],
    registered: Registered,
    *,
    parameters_sha256: str,
    audience: Audience,
    root: Path,
    files: tuple[Path, ...] = (),
    registry: str = "",
    store: str = "",
) -> bool:
    """Record finished plans and put their message and files into the outbox; False when they were known or cancelled."""
    known_links = resources.links_of(store, alert)
    with resources.registry(registry, root) as book, book.begin() as session:
        if not plans.record(session, alert.sha256, made, parameters_sha256=parameters_sha256, now=now()):
            return False
        key = f"{alert.sha256}:{plans.joined([plan.telescope for plan in made])}:{parameters_sha256}"
        told = history.of_event(session, registered.slug)
        changed = plan_diff.of_history(told)
        known = event_facts.knowledge(told, known_links)
        picture = next((path for path in files if path.suffix == ".png"), None) if any(e.tiles for e in made) else None
        said = event_announcements.of_plans(
            alert, registered, made, known=known, audience=audience, key=key, changed=changed, picture=picture
        )
        outgoing.enqueue(session, said)
        kept = [*files, *_changes_file(alert, changed, root)]
        outgoing.enqueue_files(
            session, registered.slug, {f"{naming.StoreTree.visit(alert)}/{path.name}": path for path in kept}
        )
        return True


@task(cache_policy=NO_CACHE, **resources.PATIENT, task_run_name="start-plan-{event.alert.notice.event_id}")
def announce_started_plan(
    event: EventInHand,
    telescopes: tuple[str, ...],
    *,
    engine: str,
    asked_by: str = "",
    parameters_sha256: str,
    root: Path,
    registry: str = "",
    store: str = "",
) -> bool:
    """Say in the thread that planning has begun, once for each who asked."""
    key = f"{event.alert.sha256}:{plans.joined(telescopes)}:{parameters_sha256}:{asked_by}"
    with resources.registry(registry, root) as kept, kept.begin() as session:
        told = history.of_event(session, event.registered.slug)
        said = event_announcements.of_started_plan(
            event.alert,
            event.registered,
            telescopes,
            engine=engine,
            asked_by=asked_by,
            known=event_facts.knowledge(told, resources.links_of(store, event.alert)),
            audience=event.audience,
            key=key,
        )
        return bool(outgoing.enqueue(session, said))


@task(cache_policy=NO_CACHE, **resources.PATIENT, task_run_name="fail-plan-{alert.notice.event_id}")
def announce_failed_plan(
    alert: Alert,
    telescopes: tuple[str, ...],
    reason: str,
    registered: Registered,
    *,
    parameters_sha256: str,
    audience: Audience,
    root: Path,
    registry: str = "",
    store: str = "",
) -> bool:
    """Record that a plan failed and say why in the thread; it may be claimed again."""
    where = {"telescopes": telescopes, "parameters_sha256": parameters_sha256}
    with resources.registry(registry, root) as kept, kept.begin() as session:
        if not plans.fail(session, alert.sha256, **where, reason=reason, now=now()):  # type: ignore[arg-type]
            return False
        key = f"{alert.sha256}:{plans.joined(telescopes)}:{parameters_sha256}:{now().isoformat()}"
        known = event_facts.knowledge(history.of_event(session, registered.slug), resources.links_of(store, alert))
        said = event_announcements.of_failed_plan(
            alert, registered, telescopes, reason, known=known, audience=audience, key=key
        )
        return bool(outgoing.enqueue(session, said))


def _changes_file(alert: Alert, changed: Sequence[PlanChange], root: Path) -> tuple[Path, ...]:
    if not changed:
        return ()
    path = naming.AlertTree(root=root).plans(alert) / "changes.json"
    products.write_text(path, plan_tellings.document(changed))
    return (path,)
