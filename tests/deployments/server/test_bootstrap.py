"""A bootstrap of a real, temporary server; idempotent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.blocks.core import Block
from prefect.client.orchestration import SyncPrefectClient, get_client
from pydantic import SecretStr

from deployments.server import automations, blocks_from_environment, bootstrap
from tasks.errors import MissingPart, ProgramError, Unavailable, UnusableData

pytestmark = [pytest.mark.server, pytest.mark.usefixtures("prefect_api")]

FLOWS = """
from datetime import date
from prefect import flow

@flow
def night(night: date, units: tuple[str, ...] = ()) -> None: "Reduce."

@flow
def reconcile() -> None: "Mend."
"""
DEPLOYMENTS = """
name: brightsiren
pull: []
deployments:
  - name: prod
    entrypoint: bootstrapped_flows.night
    work_pool: {name: nights}
    concurrency_limit: {limit: 1, collision_strategy: ENQUEUE}
    triggers:
      - name: siren-reduce-settled-night
        type: event
        enabled: true
        match: {prefect.resource.id: "siren.night.*"}
        expect: [night.settled]
        parameters: {night: "{{ event.payload.night }}"}
  - name: prod
    entrypoint: bootstrapped_flows.reconcile
    work_pool: {name: alerts, work_queue_name: default}
    schedules: [{interval: 600, slug: every-ten-minutes}]
"""


class Beacon(Block):
    """A block with a secret, a required field and a default, like ours."""

    _block_type_slug = "beacon"
    key: SecretStr
    place: str
    height_m: float = 10.0


class Lamp(Block):
    """A block without required fields."""

    _block_type_slug = "lamp"
    colour: str = "red"


@pytest.fixture
def client() -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as client:
        yield client


@pytest.fixture
def prefect_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "bootstrapped_flows.py").write_text(FLOWS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (file := tmp_path / "prefect.yaml").write_text(DEPLOYMENTS)
    return file


def objects(client: SyncPrefectClient) -> dict[str, list[tuple[object, ...]]]:
    """Return all objects of a bootstrap, without the ids of automations, which a deploy replaces."""
    return {
        "pools": sorted((pool.id, pool.name, pool.type) for pool in client.read_work_pools()),
        "limits": sorted((each.id, each.name, each.limit) for each in client.read_global_concurrency_limits()),
        "block types": sorted((each.id, each.slug) for each in client.read_block_types()),
        "blocks": sorted((each.id, each.name, str(each.data)) for each in client.read_block_documents()),
        "deployments": sorted(
            (each.id, each.name, each.entrypoint, each.work_pool_name, str(each.pull_steps), each.path)
            for each in client.read_deployments()
        ),
        "schedules": sorted(
            (schedule.deployment_id, schedule.slug, schedule.active)
            for each in client.read_deployments()
            for schedule in each.schedules
        ),
        "automations": sorted(
            (each.name, each.enabled, each.trigger.model_dump_json(exclude={"id"}), len(each.actions))
            for each in client.read_automations()
        ),
    }


def test_twice_is_once(client: SyncPrefectClient, prefect_file: Path) -> None:
    others = {each.id for each in client.read_deployments()}
    first = bootstrap.bootstrap(prefect_file=prefect_file)
    once = objects(client)
    second = bootstrap.bootstrap(prefect_file=prefect_file)

    assert objects(client) == once
    assert first == second
    made = [row for row in once["deployments"] if row[0] not in others]
    assert sorted(row[2] for row in made) == ["bootstrapped_flows.night", "bootstrapped_flows.reconcile"]
    assert {"night/prod", "reconcile/prod"} <= set(first.deployments)
    assert len(first.deployments) == len(others) + len(made)
    assert {row[0] for row in once["automations"]} == {
        "siren-crash-silent-runs",
        "siren-after-a-failed-run",
        "siren-stalled-listener",
        "siren-silent-listener",
        "siren-reduce-settled-night",
    }


def test_a_target_of_opportunity_overtakes_the_surveys_that_wait(client: SyncPrefectClient) -> None:
    bootstrap.make_pools(client)
    for _ in range(2):
        bootstrap.make_queues(client)
    flow = client.create_flow_from_name("overtaking")
    runs = {}
    for queue in ("default", "urgent"):
        where = {"work_pool_name": "nights", "work_queue_name": queue}
        deployment = client.create_deployment(flow, f"in-{queue}", **where)
        runs[queue] = client.create_flow_run_from_deployment(deployment).id

    waiting = [each.flow_run.id for each in client.get_scheduled_flow_runs_for_work_pool("nights")]

    order = [run for run in waiting if run in runs.values()]
    assert order == [runs["urgent"], runs["default"]]


def test_what_an_operator_switched_stays_switched(client: SyncPrefectClient, prefect_file: Path) -> None:
    bootstrap.bootstrap(prefect_file=prefect_file)
    reconcile = client.read_deployment_by_name("reconcile/prod")
    client.update_deployment_schedule(reconcile.id, reconcile.schedules[0].id, active=False)
    [crash] = client.read_automations_by_name("siren-crash-silent-runs")
    client.update_automation(crash.id, automations.crash_silent_runs().model_copy(update={"enabled": False}))

    bootstrap.bootstrap(prefect_file=prefect_file)

    assert [each.active for each in client.read_deployment_by_name("reconcile/prod").schedules] == [False]
    assert [each.enabled for each in client.read_automations_by_name("siren-crash-silent-runs")] == [False]


def test_an_automation_that_is_there_twice_becomes_one(client: SyncPrefectClient) -> None:
    wanted = automations.silent_listener()
    client.create_automation(wanted)
    client.create_automation(wanted)
    automations.upsert(client, wanted)
    [left] = client.read_automations_by_name("siren-silent-listener")
    client.delete_automation(left.id)


def test_a_deployment_that_cannot_be_imported_is_named(client: SyncPrefectClient, tmp_path: Path) -> None:
    bootstrap.make_pools(client)
    (file := tmp_path / "prefect.yaml").write_text(DEPLOYMENTS.replace("bootstrapped_flows", "no_such_flows"))
    with pytest.raises(ProgramError) as caught:
        bootstrap.deploy(file)
    assert "no_such_flows" in caught.value.log_tail


def test_a_missing_file_of_deployments_is_a_missing_part(tmp_path: Path) -> None:
    with pytest.raises(MissingPart, match=r"prefect\.yaml does not exist"):
        bootstrap.bootstrap(prefect_file=tmp_path / "prefect.yaml")


def test_a_server_that_does_not_answer_is_unavailable() -> None:
    with SyncPrefectClient("http://127.0.0.1:1/api") as nobody, pytest.raises(Unavailable, match="does not answer"):
        bootstrap.wait_for_health(nobody, wait_s=0)


def test_blocks_come_from_the_environment_and_secrets_stay_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks_from_environment, "block_types", lambda: (Beacon, Lamp))
    empty = blocks_from_environment.save_blocks({})
    assert empty.saved == ("lamp/lamp",)
    assert empty.missing == (
        "beacon/beacon: SIREN_BEACON_KEY, SIREN_BEACON_PLACE",
        "slack-webhook/operators: SIREN_OPERATORS_WEBHOOK",
    )

    variables = {"SIREN_BEACON_KEY": "canary", "SIREN_BEACON_PLACE": "Fornax", "SIREN_BEACON_HEIGHT_M": "22"}
    full = blocks_from_environment.save_blocks(variables)
    assert full.saved == ("beacon/beacon", "lamp/lamp")
    assert "canary" not in repr(full)
    saved = Beacon.load("beacon")
    assert (saved.key.get_secret_value(), saved.place, saved.height_m) == ("canary", "Fornax", 22.0)

    blocks_from_environment.save_blocks({"SIREN_BEACON_PLACE": "El Sauce"})
    again = Beacon.load("beacon")
    assert (again.key.get_secret_value(), again.place, again.height_m) == ("canary", "El Sauce", 22.0)


def test_a_block_that_an_operator_edited_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks_from_environment, "block_types", lambda: (Lamp,))
    Lamp(colour="green").save("lamp", overwrite=True)
    blocks_from_environment.save_blocks({})
    assert Lamp.load("lamp").colour == "green"


def test_a_variable_that_does_not_fit_is_named_without_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks_from_environment, "block_types", lambda: (Beacon,))
    variables = {"SIREN_BEACON_KEY": "canary", "SIREN_BEACON_PLACE": "x", "SIREN_BEACON_HEIGHT_M": "canary-high"}
    with pytest.raises(UnusableData, match="SIREN_BEACON_HEIGHT_M") as caught:
        blocks_from_environment.save_blocks(variables)
    assert "canary" not in str(caught.value)
