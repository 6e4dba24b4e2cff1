"""The warm process with a real server: starts runs at once, executes each once, returns the others to workers."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.states import Completed, Pending, Running

from deployments.listening import dispatch, warm_process, warm_runner
from tasks.records.events import StoredNotice

pytestmark = [pytest.mark.server, pytest.mark.usefixtures("prefect_api")]

FLOW = """
import os, time
from prefect import flow

@flow
def respond(path: str, sha256: str, topic: str | None, partition: int | None, offset: int | None) -> None:
    with open(path, "a") as book:
        book.write(f"{os.getpid()}\\n")
    while os.path.exists(path + ".wait"):
        time.sleep(0.05)
    if topic == "bad":
        raise ValueError("a flow that fails")
"""
PATIENCE_S = 90.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("warm")
    (made / "warm_flows.py").write_text(FLOW)
    return made


@pytest.fixture(scope="module")
def client(prefect_api: None, folder: Path) -> Iterator[SyncPrefectClient]:
    with pytest.MonkeyPatch.context() as patch, get_client(sync_client=True) as made:
        patch.setattr(dispatch, "RESPOND", "respond-warm/prod")
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH")))))
        flow = made.create_flow_from_name("respond-warm")
        made.create_deployment(flow_id=flow, name="prod", entrypoint="warm_flows.respond")
        yield made


@pytest.fixture(scope="module")
def runner(client: SyncPrefectClient, folder: Path) -> Iterator[warm_runner.WarmRunner]:
    with keeping(folder) as kept:
        yield kept


@contextmanager
def keeping(folder: Path, **options: float) -> Iterator[warm_runner.WarmRunner]:
    stop, kept = (
        threading.Event(),
        warm_runner.WarmRunner(folder=folder / "logs", options=warm_runner.WarmOptions(**options)),
    )
    thread = threading.Thread(target=kept.keep, args=(stop,))
    thread.start()
    try:
        assert kept.ready.wait(PATIENCE_S)
        yield kept
    finally:
        stop.set()
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def notice(path: Path, topic: str = "good") -> StoredNotice:
    return StoredNotice(
        sha256=os.urandom(32).hex(), path=path, received=datetime.now(UTC), topic=topic, partition=0, offset=0
    )


def state(client: SyncPrefectClient, run_id: str) -> str:
    found = client.read_flow_run(UUID(run_id)).state
    return "" if found is None else str(found.name)


def doers(path: Path) -> list[int]:
    """Return the processes that started a run, in order."""
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def test_a_run_is_done_by_the_warm_process_once_and_is_the_servers_like_any_other(
    client: SyncPrefectClient, runner: warm_runner.WarmRunner, tmp_path: Path
) -> None:
    one = notice(tmp_path / "one")
    made = runner.submit(one)
    assert runner.submit(one) == made
    until(lambda: state(client, made) == "Completed")
    again = runner.submit(one)
    other = runner.submit(notice(tmp_path / "other"))
    until(lambda: state(client, other) == "Completed")

    run = client.read_flow_run(UUID(made))
    assert again == made
    assert len(doers(one.path)) == 1
    assert doers(one.path) != [os.getpid()]
    assert run.parameters["sha256"] == one.sha256
    assert run.idempotency_key == f"notice:{one.sha256}"
    assert run.deployment_id == client.read_deployment_by_name(dispatch.RESPOND).id
    names = [each.name for each in sorted(client.read_flow_run_states(run.id), key=lambda each: each.timestamp)]
    assert names == [dispatch.HANDED, warm_process.BEGUN, "Running", "Completed"]


def test_a_flow_that_fails_is_a_failed_run_and_the_next_one_is_done(
    client: SyncPrefectClient, runner: warm_runner.WarmRunner, tmp_path: Path
) -> None:
    bad = runner.submit(notice(tmp_path / "bad", topic="bad"))
    good = runner.submit(notice(tmp_path / "good"))
    until(lambda: state(client, good) == "Completed")
    assert state(client, bad) == "Failed"


def test_a_run_whose_process_is_killed_is_scheduled_for_the_workers_and_those_behind_it_are_done(
    client: SyncPrefectClient, runner: warm_runner.WarmRunner, tmp_path: Path
) -> None:
    (tmp_path / "killed.wait").touch()
    killed = runner.submit(notice(tmp_path / "killed"))
    behind = runner.submit(notice(tmp_path / "behind"))
    until(lambda: doers(tmp_path / "killed") != [])
    os.kill(doers(tmp_path / "killed")[0], signal.SIGKILL)
    until(lambda: state(client, killed) == "AwaitingRetry")
    until(lambda: state(client, behind) in {"Completed", "AwaitingRetry"})
    until(runner.ready.is_set)


def test_a_run_that_waits_too_long_goes_to_the_workers_and_is_not_done_here(
    client: SyncPrefectClient, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "long.wait").touch()
    with keeping(folder, room=2, patience_s=1.0) as busy:
        long = busy.submit(notice(tmp_path / "long"))
        waiting = busy.submit(notice(tmp_path / "waiting"))
        beyond = busy.submit(notice(tmp_path / "beyond"))
        assert state(client, beyond) == "Scheduled"
        until(lambda: state(client, waiting) == "AwaitingRetry")
        (tmp_path / "long.wait").unlink()
        until(lambda: state(client, long) == "Completed")
    assert doers(tmp_path / "waiting") == doers(tmp_path / "beyond") == []


def test_a_stuck_run_is_ended_and_scheduled_again(client: SyncPrefectClient, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "stuck.wait").touch()
    with keeping(folder, limit_s=3.0) as kept:
        stuck = kept.submit(notice(tmp_path / "stuck"))
        until(lambda: state(client, stuck) in {"AwaitingRetry", "Crashed"})


def test_runs_of_an_earlier_listener_are_taken_over(client: SyncPrefectClient, folder: Path, tmp_path: Path) -> None:
    orphan = dispatch.submit_run(notice(tmp_path / "orphan"), state=Pending(name=dispatch.HANDED))
    with keeping(folder):
        until(lambda: state(client, orphan) == "Completed")
    assert len(doers(tmp_path / "orphan")) == 1


@pytest.mark.parametrize("taken", [Pending(), Pending(name=warm_process.BEGUN), Running(), Completed()])
def test_a_run_is_claimed_only_where_nobody_has_it(client: SyncPrefectClient, tmp_path: Path, taken: object) -> None:
    made = UUID(dispatch.submit_run(notice(tmp_path / "free"), state=Pending(name=dispatch.HANDED)))
    seen: FlowRun = client.read_flow_run(made)
    assert warm_process.claim(client, seen)
    assert not warm_process.claim(client, seen), "the server allows it once, also to who has not seen it"
    client.set_flow_run_state(made, taken, force=True)
    assert not warm_process.claim(client, client.read_flow_run(made))
