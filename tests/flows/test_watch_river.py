"""From a folder that has settled to the run that reduces that unit's night, through a real server and worker."""

from __future__ import annotations

import time
from datetime import date

import pytest
from prefect.client.orchestration import get_client
from support import prefect_server

from tasks import naming
from tasks.io.nights import night_journal

pytestmark = [pytest.mark.gate, pytest.mark.server]

NIGHT = date(2026, 1, 15)
WAIT_S = 180


@pytest.fixture
def raw(tmp_path):
    """A survey and a target of opportunity, of different units, with nothing in them that could be reduced."""
    for unit, too in (("7DT01", False), ("7DT02", True)):
        folder = tmp_path / "obsdata" / unit / naming.night_folder(NIGHT, too=too)
        folder.mkdir(parents=True)
        (folder / "clouds.txt").write_text("closed")
    return tmp_path / "obsdata"


def test_settled_folders_are_reduced_unit_by_unit_each_by_its_deployment(raw, tmp_path):
    products = tmp_path / "products"
    variables = {
        "SIREN_OBSERVATORY_RAW_ROOT": str(raw),
        "SIREN_OBSERVATORY_PRODUCT_ROOT": str(products),
        "SIREN_OBSERVATORY_ALERT_ROOT": str(tmp_path / "alerts"),
        "SIREN_CLUSTER_CPUS": "1",
        "SIREN_CLUSTER_GPUS": "1",
    }
    with prefect_server.running(tmp_path / "house", variables=variables, only=("watch", "night")) as server:
        for _ in range(2):
            assert server.run("watch/prod", {"quiet_s": 0}, timeout_s=WAIT_S).state.is_completed()
        runs = wait_for_nights(server)
        with get_client(sync_client=True) as client:
            names = {run.parameters["units"][0]: client.read_deployment(run.deployment_id).name for run in runs}

    assert names == {"7DT01": "prod", "7DT02": "too"}
    assert {run.parameters["night"] for run in runs} == {NIGHT.isoformat()}
    assert all(run.state.is_failed() for run in runs)
    for unit in names:
        state = night_journal.read_state(naming.NightTree(root=products).journal(unit, NIGHT))
        assert state is not None
        assert state.state == "failed"


def wait_for_nights(server):
    deadline = time.monotonic() + WAIT_S
    while True:
        with get_client(sync_client=True) as client:
            runs = [run for run in client.read_flow_runs() if "night" in run.parameters and run.deployment_id]
        if len(runs) >= 2 and all(run.state.is_final() for run in runs):
            return runs
        server.system.check_runs()
        assert time.monotonic() < deadline, [run.state for run in runs]
        time.sleep(1)
