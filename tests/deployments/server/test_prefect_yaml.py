"""prefect.yaml without a server: every flow imports, every trigger renders into valid parameters of its flow."""

from __future__ import annotations

import asyncio
import inspect
import re
from datetime import UTC, date, datetime
from pathlib import Path
from uuid import uuid4

import pytest
import yaml
from prefect.client.schemas.schedules import construct_schedule
from prefect.events.schemas.deployment_triggers import DeploymentEventTrigger
from prefect.flows import load_flow_from_entrypoint
from prefect.server.events.actions import RunDeployment
from prefect.server.events.schemas.automations import Automation, EventTrigger, Posture, TriggeredAction
from prefect.server.events.schemas.events import ReceivedEvent, Resource
from prefect.utilities.callables import parameter_schema

from deployments.listening import dispatch
from deployments.server import automations, bootstrap

FILE = yaml.safe_load((Path(__file__).resolve().parents[3] / "prefect.yaml").read_text())
DEPLOYMENTS = {each["entrypoint"].rsplit(".", 1)[-1]: each for each in FILE["deployments"] if each["name"] == "prod"}
TRIGGERS = [
    pytest.param(each["entrypoint"], trigger, id=trigger["name"])
    for each in FILE["deployments"]
    for trigger in each.get("triggers", [])
]
ROOMS = {
    "flows.alerts": ("respond", "plan", "revisit", "backfill"),
    "flows.nights": ("watch", "night", "calibrate", "reduce", "stack", "deepen", "search"),
    "flows": ("follow", "rehearse", "reconcile"),
}
FLOWS = {name: f"{room}.{name}.{name}" for room, names in ROOMS.items() for name in names}
# what the emitters of these events send, see tasks/alerts/triage.py and tasks/nights/watching.py
EVENTS = {
    "gw.alert.accepted": (
        "siren.event.S240422ed",
        {"event_id": "S240422ed", "alert_type": "UPDATE", "telescopes": ["7DT", "TCH"], "test": False},
    ),
    "grb.trigger.heard": ("siren.event.Swift_1423875", {"event_id": "Swift_1423875"}),
    "night.settled": ("siren.night.2026-01-15.7DT01", {"night": "2026-01-15", "unit": "7DT01", "too": False}),
}


def test_bootstrap_finds_the_file_of_deployments_of_the_checkout(repository):
    assert repository / "prefect.yaml" == bootstrap.PREFECT_FILE
    assert bootstrap.PREFECT_FILE.is_file()


def test_every_flow_is_deployed_once_under_its_own_name() -> None:
    assert set(DEPLOYMENTS) == set(FLOWS)
    others = [(each["entrypoint"], each["name"]) for each in FILE["deployments"] if each["name"] != "prod"]
    assert others == [("flows.nights.night.night", "too")]
    assert len(FILE["deployments"]) == len(FLOWS) + 1
    assert FILE["pull"] == []


@pytest.mark.parametrize("name", sorted(FLOWS))
def test_a_deployment_has_a_module_entrypoint_and_a_pool_that_bootstrap_makes(name: str) -> None:
    assert DEPLOYMENTS[name]["entrypoint"] == FLOWS[name]
    assert DEPLOYMENTS[name]["work_pool"]["name"] in bootstrap.POOLS


@pytest.mark.parametrize("name", sorted(FLOWS))
def test_an_entrypoint_imports_and_has_a_schema_of_its_parameters(name: str) -> None:
    flow = load_flow_from_entrypoint(DEPLOYMENTS[name]["entrypoint"])
    schema = parameter_schema(flow)
    assert flow.name == name
    assert flow.description
    assert set(schema.properties) == set(inspect.signature(flow.fn).parameters)
    # Prefect's form shows unsupported types as raw JSON
    assert all({"type", "allOf", "anyOf", "$ref"} & field.keys() for field in schema.properties.values())


def test_names_that_code_relies_on_are_deployed() -> None:
    deployed = {f"{name}/{each['name']}" for name, each in DEPLOYMENTS.items()}
    assert {automations.RECONCILE, dispatch.RESPOND} <= deployed
    assert set(automations.WATCHED_FLOWS) <= set(FLOWS)
    assert "reconcile" not in automations.WATCHED_FLOWS


def test_the_dispatchers_parameters_fit_respond() -> None:
    flow = load_flow_from_entrypoint("flows.alerts.respond.respond")
    sent = {"path": "/notices/x", "sha256": "ab" * 32, "topic": "igwn.gwalert", "partition": 0, "offset": 7}
    assert flow.validate_parameters(sent)


@pytest.mark.parametrize(("entrypoint", "trigger"), TRIGGERS)
def test_a_trigger_renders_into_parameters_that_its_flow_takes(entrypoint: str, trigger: dict[str, object]) -> None:
    resource, payload = EVENTS[trigger["expect"][0]]
    checked = DeploymentEventTrigger.model_validate(trigger)
    pattern = checked.match.model_dump()["prefect.resource.id"]
    assert re.fullmatch(pattern.replace(".", r"\.").replace("*", ".*"), resource)

    parameters = asyncio.run(render(trigger["parameters"], resource, payload))
    flow = load_flow_from_entrypoint(entrypoint)
    validated = flow.validate_parameters(parameters)
    assert validated
    if "telescopes" in validated:
        assert validated["telescopes"] == ("7DT", "TCH")
    if "night" in validated:
        assert validated["night"] == date(2026, 1, 15)
        assert validated["units"] == ("7DT01",)


def test_each_settled_night_has_one_trigger_whether_survey_or_target_of_opportunity() -> None:
    labels = [
        trigger["match"]["siren.too"]
        for each in FILE["deployments"]
        for trigger in each.get("triggers", [])
        if trigger["expect"] == ["night.settled"]
    ]
    assert sorted(labels) == ["no", "yes"]


async def render(
    parameters: dict[str, object], resource: str | dict[str, str], payload: dict[str, object], *, name: str = "x"
) -> dict[str, object]:
    """Render a trigger's parameters with the server's own code."""
    now = datetime.now(UTC)
    labels = {"prefect.resource.id": resource} if isinstance(resource, str) else resource
    event = ReceivedEvent(occurred=now, event=name, resource=Resource(labels), payload=payload, id=uuid4())
    action = RunDeployment(source="selected", deployment_id=uuid4(), parameters=parameters)
    posture = EventTrigger(posture=Posture.Reactive, threshold=1, within=0)
    automation = Automation(name="x", trigger=posture, actions=[action], id=uuid4(), created=now, updated=now)
    fired = TriggeredAction(
        automation=automation,
        firing=None,
        triggered=now,
        triggering_labels={},
        triggering_event=event,
        action=action,
    )
    return await action.render_parameters(fired)


RESPOND_FAILED = {"prefect.resource.id": "prefect.flow-run.0192", "prefect.resource.name": "respond-igwn-ab"}


@pytest.mark.parametrize(
    ("words", "resource", "name", "expected"),
    [
        (automations.FAILED_MESSAGE, RESPOND_FAILED, "prefect.flow-run.Crashed", "The run respond-igwn-ab"),
        (
            automations.SILENT_MESSAGE,
            {"prefect.resource.id": "siren.listener.brightsiren"},
            automations.LISTENER_HEARTBEAT,
            "siren.listener.brightsiren sends no heartbeat",
        ),
    ],
)
def test_an_alarm_renders_into_words_for_reconcile(
    words: str, resource: dict[str, str], name: str, expected: str
) -> None:
    action = automations.reconcile_action(uuid4(), words)
    parameters = asyncio.run(render(action.parameters, resource, {}, name=name))
    flow = load_flow_from_entrypoint("flows.reconcile.reconcile")
    assert expected in flow.validate_parameters(parameters)["alarm"]


@pytest.mark.parametrize("name", [name for name, each in DEPLOYMENTS.items() if "schedules" in each])
def test_a_schedule_is_one_and_has_a_slug(name: str) -> None:
    for schedule in DEPLOYMENTS[name]["schedules"]:
        assert schedule["slug"]
        assert construct_schedule(interval=schedule.get("interval"), cron=schedule.get("cron"))
