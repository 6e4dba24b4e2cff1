"""Automations of the Prefect server: crash silent runs, reconcile after a failure, report a silent listener."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ActionTypes, ChangeFlowRunState, RunDeployment, SendNotification
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.exceptions import ObjectNotFound

# three heartbeats of a minute each: `siren serve` sets PREFECT_FLOWS_HEARTBEAT_FREQUENCY=60, Prefect's own is 180
SILENCE = timedelta(seconds=200)
# three heartbeats of 25 s each
LISTENER_SILENCE = timedelta(seconds=80)
LISTENER_HEARTBEAT = "siren.listener.heartbeat"
STALLED = "siren.listener.stalled"
# reconcile is not among them: its own failure must not start it again and again
WATCHED_FLOWS = ("respond", "plan", "follow", "watch", "night")
RECONCILE = "reconcile/prod"
OPERATORS = "slack-webhook/operators"
FAILED_MESSAGE = "The run {{ event.resource.name or event.resource.id }} has {{ event.event.split('.')[-1] | lower }}."
SILENT_MESSAGE = "{{ event.resource.id if event else 'A listener' }} sends no heartbeat: it hangs or has crashed."
ENDED = ("Completed", "Failed", "Cancelled", "Crashed", "Paused", "Suspended")


def upsert_all(client: SyncPrefectClient) -> tuple[str, ...]:
    """Create or update every automation by its name; return the names."""
    notify = notification(client)
    wanted = (crash_silent_runs(), *_reconciling(client, notify))
    for automation in wanted:
        upsert(client, automation)
    return tuple(automation.name for automation in wanted)


def upsert(client: SyncPrefectClient, automation: AutomationCore) -> None:
    """Update the automation of that name, or create it; delete duplicates."""
    existing = client.read_automations_by_name(automation.name)
    if not existing:
        client.create_automation(automation)
        return
    first, *duplicates = existing
    client.update_automation(first.id, automation.model_copy(update={"enabled": first.enabled}))
    for duplicate in duplicates:
        client.delete_automation(duplicate.id)


def crash_silent_runs() -> AutomationCore:
    """Mark a run as crashed if its heartbeats stop: this frees its slots and starts ``reconcile``."""
    return AutomationCore(
        name="siren-crash-silent-runs",
        description="A flow run that has sent a heartbeat and then neither sends one nor ends has lost its process.",
        enabled=True,
        trigger=EventTrigger(
            match={"prefect.resource.id": "prefect.flow-run.*"},
            for_each={"prefect.resource.id"},
            after={"prefect.flow-run.heartbeat"},
            expect={"prefect.flow-run.heartbeat", *(f"prefect.flow-run.{state}" for state in ENDED)},
            posture=Posture.Proactive,
            threshold=1,
            within=SILENCE,
        ),
        actions=[
            ChangeFlowRunState(
                state=StateType.CRASHED, name="Crashed", message="no heartbeat from its process", force=False
            )
        ],
    )


def failed_runs(*actions: ActionTypes) -> AutomationCore:
    """Act when one of our flows fails or crashes."""
    return AutomationCore(
        name="siren-after-a-failed-run",
        description="Reconcile at once and notify the operators.",
        enabled=True,
        trigger=EventTrigger(
            match={"prefect.resource.id": "prefect.flow-run.*"},
            match_related={"prefect.resource.role": "flow", "prefect.resource.name": list(WATCHED_FLOWS)},
            expect={"prefect.flow-run.Failed", "prefect.flow-run.Crashed"},
            posture=Posture.Reactive,
            threshold=1,
        ),
        actions=list(actions),
    )


def silent_listener(*actions: ActionTypes) -> AutomationCore:
    """Act when the heartbeats of a listener stop."""
    return AutomationCore(
        name="siren-silent-listener",
        description="The listener sends a heartbeat every 25 s; after 80 s without one it hangs or has crashed.",
        enabled=True,
        trigger=EventTrigger(
            match={"prefect.resource.id": "siren.listener.*"},
            for_each={"prefect.resource.id"},
            after={LISTENER_HEARTBEAT},
            expect={LISTENER_HEARTBEAT},
            posture=Posture.Proactive,
            threshold=1,
            within=LISTENER_SILENCE,
        ),
        actions=list(actions),
    )


def stalled_listener(*actions: ActionTypes) -> AutomationCore:
    """Act when a listener receives nothing from its broker; its message waits in the outbox."""
    return AutomationCore(
        name="siren-stalled-listener",
        description="The listener receives nothing from the broker: send its message.",
        enabled=True,
        trigger=EventTrigger(
            match={"prefect.resource.id": "siren.listener.*"}, expect={STALLED}, posture=Posture.Reactive, threshold=1
        ),
        actions=list(actions),
    )


def notification(client: SyncPrefectClient) -> tuple[SendNotification, ...]:
    """Return the notification of the operators, or nothing if no webhook block is saved."""
    slug, name = OPERATORS.split("/")
    try:
        block = client.read_block_document_by_name(name, block_type_slug=slug)
    except ObjectNotFound:
        return ()
    body = "{{ event.event }}: {{ event.resource.name or event.resource.id }}"
    return (SendNotification(block_document_id=block.id, subject="brightsiren", body=body),)


def _reconciling(client: SyncPrefectClient, notify: Sequence[SendNotification]) -> tuple[AutomationCore, ...]:
    """Return the automations that run ``reconcile``; if it is not deployed, those that can notify by webhook alone."""
    if (deployment := _deployment_id(client, RECONCILE)) is None:
        return (silent_listener(*notify), stalled_listener(*notify)) if notify else ()
    return (
        failed_runs(reconcile_action(deployment, FAILED_MESSAGE), *notify),
        silent_listener(reconcile_action(deployment, SILENT_MESSAGE), *notify),
        stalled_listener(reconcile_action(deployment), *notify),
    )


def reconcile_action(deployment: UUID, alarm: str = "") -> RunDeployment:
    """Return the action that runs ``reconcile`` and sends the operators ``alarm``, a Jinja template."""
    parameters = {"alarm": {"__prefect_kind": "jinja", "template": alarm}} if alarm else None
    return RunDeployment(source="selected", deployment_id=deployment, parameters=parameters, job_variables=None)


def _deployment_id(client: SyncPrefectClient, name: str) -> UUID | None:
    try:
        return client.read_deployment_by_name(name).id
    except ObjectNotFound:
        return None
