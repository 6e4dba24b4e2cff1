"""Crashed and stalled night runs are reported once, by another run."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.states import Completed, Crashed, Running
from support.records import NIGHT

from blocks import Observatory
from flows.reconcile import reconcile
from tasks import naming
from tasks.io.messages import night_text
from tasks.io.nights import night_journal
from tasks.nights import journal, stalled_runs
from tasks.records import LOCAL, NightFolder, NightTrouble
from tasks.science.nights import folder_manifests

pytestmark = pytest.mark.usefixtures("prefect_api")


@flow(name="night")
def night(night: str, units: list[str]) -> None:
    """A stand-in for the flow of that name on the server."""


@pytest.fixture
def root(tmp_path):
    logging.getLogger("prefect").setLevel(logging.WARNING)
    places = {"raw_root": tmp_path / "raw", "product_root": tmp_path / "products", "alert_root": tmp_path / "alerts"}
    files = {name: tmp_path / name for name in ("references", "astrometric_catalogue", "photometric_catalogue")}
    Observatory(**{key: str(path) for key, path in {**places, **files}.items()}).save("observatory", overwrite=True)
    return tmp_path


def ran(state, unit="7DT01"):
    """Create a run of a night on the server that began now and is in this state."""
    with get_client(sync_client=True) as client:
        run = client.create_flow_run(night, parameters={"night": NIGHT.isoformat(), "units": [unit]})
        for each in (Running(), state):
            client.set_flow_run_state(run.id, each, force=True)
        return client.read_flow_run(run.id)


def said(root):
    return [path.read_text() for path in sorted((root / "alerts" / "outbox").rglob("*.json"))]


def test_a_crash_and_a_stall_are_told_once_and_a_good_night_is_not(root):
    folder = NightFolder(unit="7DT01", night=NIGHT, folder=root / "raw" / "7DT01" / "2026-01-15_gain2750")
    journal.begin.fn(NIGHT, root / "products", [folder])
    good = ran(Completed())
    dead = ran(Crashed(message="no sign of life from its process"))
    stuck = ran(Running(), unit="7DT02")

    found = {each.run: each.what for each in stalled_runs.troubled_nights.fn(0.0)}
    assert {str(dead.id): "crashed", str(stuck.id): "stalled"}.items() <= found.items()
    assert str(good.id) not in found
    assert str(stuck.id) not in {each.run for each in stalled_runs.troubled_nights.fn(12.0)}

    for _ in range(2):
        reconcile(stall_h=0.0, blocks=LOCAL)
    words = said(root)
    assert sum("7DT01 crashed" in text and "no sign of life" in text for text in words) == 1
    assert sum("7DT02 has been running since" in text for text in words) == 1

    state = night_journal.read_state(naming.NightTree(root=root / "products").journal("7DT01", NIGHT))
    assert state is not None
    assert (state.state, state.note) == ("failed", "crashed: no sign of life from its process")
    due = {"state": state.state, "started": state.start, "announced": state.start, "attempts": 1}
    assert folder_manifests.retry_due(**due, now=state.start + timedelta(minutes=11))


def test_a_run_that_began_since_is_not_called_crashed(tmp_path):
    folder = NightFolder(unit="7DT01", night=NIGHT, folder=tmp_path / "2026-01-15_gain2750")
    journal.begin.fn(NIGHT, tmp_path, [folder])
    past = datetime.now(UTC) - timedelta(hours=1)
    trouble = NightTrouble(night=NIGHT, units=("7DT01",), run="1", name="n", what="crashed", since=past)
    assert journal.crash.fn(trouble, tmp_path) == ()
    assert "all units" in night_text.troubled(NightTrouble(**{**vars(trouble), "units": ()})).text
