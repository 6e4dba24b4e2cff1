"""A notice's run started again, or retried, as the pages of a Prefect server offer it: nothing that is right changes."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import logging
import sqlite3
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.flow_engine import run_flow
from prefect.flows import load_flow_from_entrypoint
from prefect.states import Scheduled
from pydantic import SecretStr
from pydantic_core import to_jsonable_python
from support import simulated, webdav
from support import slack as stand_in

from blocks import Observatory, ProductStore, SlackWorkspace
from flows.alerts.plan import plan
from tasks import products
from tasks.options import PlanOptions
from tasks.records import Blocks

ENTRYPOINT = "flows.alerts.respond.respond"
CLOCK = datetime(2026, 1, 15, 23, tzinfo=UTC)
BLOCKS = Blocks(registry="", slack="slack-reruns", store="store-reruns")


@pytest.fixture(scope="module")
def root(prefect_api: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reruns") / "alerts"
    Observatory(alert_root=str(folder)).save("observatory", overwrite=True)
    logging.getLogger("prefect").setLevel(logging.WARNING)
    return folder


@pytest.fixture(scope="module")
def left(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], dict[str, Any]]]:
    """Return what tells all that notices have left: rows, what Slack and the store hold, the events' files."""
    with webdav.server(tmp_path_factory.mktemp("cloud")) as cloud, stand_in.workspace() as workspace:
        SlackWorkspace(
            token=SecretStr(stand_in.TOKEN), url=workspace.url, channel_gw="C-GW", channel_operators="C-OPS"
        ).save("slack-reruns", overwrite=True)
        ProductStore(url=cloud.url, user=webdav.USER, password=SecretStr(webdav.PASSWORD), root="Team").save(
            "store-reruns", overwrite=True
        )

        def look() -> dict[str, Any]:
            files = [path for path in sorted((root / "events").rglob("*")) if path.is_file()]
            return {
                **rows(root / "registry.sqlite"),
                "posts": copy.deepcopy(workspace.messages),
                "store": cloud.files(),
                "files": {str(path): products.sha256_of(path) for path in files},
            }

        yield look


def rows(registry: Path) -> dict[str, list[tuple[Any, ...]]]:
    with contextlib.closing(sqlite3.connect(registry)) as book:
        tables = [name for (name,) in book.execute("select name from sqlite_master where type = 'table'")]
        return {name: book.execute(f"select * from {name}").fetchall() for name in tables}


def do(run: FlowRun) -> None:
    """Do a run as a worker does: the flow by its entrypoint, the parameters as the server keeps them; then the plan."""
    state: Any = run_flow(load_flow_from_entrypoint(ENTRYPOINT), flow_run=run, return_type="state")
    assert state.is_completed(), state.message
    response = state.result()
    options = PlanOptions(engine="siren", tiles=5, hours=12.0)
    plan(response.event_id, response.to_plan, options=options, clock=CLOCK, blocks=BLOCKS)


@pytest.mark.server
def test_a_run_started_again_or_retried_changes_nothing_that_is_right(
    root: Path, left: Callable[[], dict[str, Any]], tmp_path: Path
) -> None:
    simulated.make_alert(tmp_path, ra_deg=110.0, dec_deg=-30.0, seed=5)
    path, sha256 = tmp_path / "notice.json", hashlib.sha256((tmp_path / "notice.json").read_bytes()).hexdigest()
    with get_client(sync_client=True) as client:
        made = client.create_deployment(
            flow_id=client.create_flow_from_name("respond"), name="reruns", entrypoint=ENTRYPOINT
        )
        first = client.create_flow_run_from_deployment(
            made,
            parameters={
                "path": str(path),
                "sha256": sha256,
                "topic": "igwn.gwalert",
                "telescopes": ["TCH"],
                "clock": CLOCK.isoformat(),
                "blocks": to_jsonable_python(BLOCKS),
            },
            idempotency_key=f"notice:{sha256}",
        )
        do(first)
        before = left()
        assert all(
            before[name] for name in ("notice", "decision", "plan", "tile", "message", "upload", "posts", "store")
        )

        again = client.create_flow_run_from_deployment(made, parameters=client.read_flow_run(first.id).parameters)
        assert again.id != first.id
        do(again)
        assert left() == before, "started again with the same parameters"

        client.set_flow_run_state(first.id, Scheduled(name="AwaitingRetry", message="Retry from the UI"), force=True)
        do(client.read_flow_run(first.id))
        assert client.read_flow_run(first.id).run_count == 2
        assert left() == before, "retried"
