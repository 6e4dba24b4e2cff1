"""What the Prefect server does by itself: crash silent runs, reconcile after a failure, miss the listener's heartbeat."""

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
FAILED_WORDS = "The run {{ event.resource.name or event.resource.id }} has {{ event.event.split('.')[-1] | lower }}."
SILENT_WORDS = "{{ event.resource.id if event else 'A listener' }} gives no sign of life: it hangs or has died."
ENDED = ("Completed", "Failed", "Cancelled", "Crashed", "Paused", "Suspended")


def upsert_all(client: SyncPrefectClient) -> tuple[str, ...]:
    """Create or update every automation, each known by its name; return the names."""
    notify = notification(client)
    wanted = (crash_silent_runs(), *_telling(client, notify))
    for automation in wanted:
        upsert(client, automation)
    return tuple(automation.name for automation in wanted)


def upsert(client: SyncPrefectClient, automation: AutomationCore) -> None:
    """Update the automation of that name, or create it; remove what earlier accidents left twice."""
    known = client.read_automations_by_name(automation.name)
    if not known:
        client.create_automation(automation)
        return
    kept, *doubles = known
    client.update_automation(kept.id, automation.model_copy(update={"enabled": kept.enabled}))
    for double in doubles:
        client.delete_automation(double.id)


def crash_silent_runs() -> AutomationCore:
    """Turn a run into Crashed whose process has stopped beating: its slots come free and reconcile sees it."""
    return AutomationCore(
        name="siren-crash-silent-runs",
        description="A flow run that has beaten once and then neither beats nor ends has lost its process.",
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
                state=StateType.CRASHED, name="Crashed", message="no sign of life from its process", force=False
            )
        ],
    )


def failed_runs(*actions: ActionTypes) -> AutomationCore:
    """Act when one of our flows fails or crashes."""
    return AutomationCore(
        name="siren-after-a-failed-run",
        description="Reconcile at once, and tell the operators.",
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
    """Act when a listener that has been heard is heard no more."""
    return AutomationCore(
        name="siren-silent-listener",
        description="The listener beats each 25 s; 80 s without are a listener that hangs or has died.",
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
    """Act when a listener hears nothing of its broker: its words wait in the outbox."""
    return AutomationCore(
        name="siren-stalled-listener",
        description="The broker has fallen silent: send what the listener has to say of it.",
        enabled=True,
        trigger=EventTrigger(
            match={"prefect.resource.id": "siren.listener.*"}, expect={STALLED}, posture=Posture.Reactive, threshold=1
        ),
        actions=list(actions),
    )


def notification(client: SyncPrefectClient) -> tuple[SendNotification, ...]:
    """Return the message to the operators, or nothing where no webhook block is saved."""
    slug, name = OPERATORS.split("/")
    try:
        block = client.read_block_document_by_name(name, block_type_slug=slug)
    except ObjectNotFound:
        return ()
    body = "{{ event.event }}: {{ event.resource.name or event.resource.id }}"
    return (SendNotification(block_document_id=block.id, subject="brightsiren", body=body),)


def _telling(client: SyncPrefectClient, notify: Sequence[SendNotification]) -> tuple[AutomationCore, ...]:
    """Return what needs the deployment of ``reconcile``, which tells the operators; by webhook alone where it is not there."""
    if (deployment := _deployment_id(client, RECONCILE)) is None:
        return (silent_listener(*notify), stalled_listener(*notify)) if notify else ()
    return (
        failed_runs(mending(deployment, FAILED_WORDS), *notify),
        silent_listener(mending(deployment, SILENT_WORDS), *notify),
        stalled_listener(mending(deployment), *notify),
    )


def mending(deployment: UUID, alarm: str = "") -> RunDeployment:
    """Return the action that reconciles, and tells the operators ``alarm``, a template of the server's."""
    words = {"alarm": {"__prefect_kind": "jinja", "template": alarm}} if alarm else None
    return RunDeployment(source="selected", deployment_id=deployment, parameters=words, job_variables=None)


def _deployment_id(client: SyncPrefectClient, name: str) -> UUID | None:
    try:
        return client.read_deployment_by_name(name).id
    except ObjectNotFound:
        return None
