"""Fixtures that every test may ask for by name."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tasks.science import arrays

# by measured time; a file stays on one worker, with the fixtures that it shares
LONGEST_FIRST = ("flows", "gate", "tasks", "deployments/cli", "deployments", "programs", "registry")

ROOT = Path(__file__).resolve().parents[1]

os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("DO_NOT_TRACK", "1")


@pytest.fixture(scope="session")
def repository() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real public data that lies beside the checkout; never part of it."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the folder of real data, ../shared/data, is not there")
    return folder


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20260115)


@pytest.fixture(params=["numpy", "cupy"])
def xp(request: pytest.FixtureRequest):
    """The array module: NumPy always, CuPy where there is a GPU."""
    if request.param == "numpy":
        return np
    if not arrays.has_gpu():
        pytest.skip("no GPU with CuPy here")
    return arrays.device()


@pytest.fixture(scope="session")
def prefect_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A temporary Prefect server for the whole run; ask for it by name."""
    from prefect.testing.utilities import prefect_test_harness

    os.environ["PREFECT_HOME"] = str(tmp_path_factory.mktemp("prefect-home"))
    with prefect_test_harness(server_startup_timeout=120):
        yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the longest files first: with two workers, a long file at the end would leave one of them idle."""
    rank = {folder: number for number, folder in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: min((n for f, n in rank.items() if item.nodeid.startswith(f"tests/{f}")), default=99))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand what a worker counted to the process that prints it."""
    from support import tally

    if (output := getattr(session.config, "workeroutput", None)) is not None:
        output["tally"] = json.dumps({"notes": tally.NOTES, "brokers": list(tally.BROKERS)})


class WorkerTallies:
    """Collects what the workers of a run side by side counted."""

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: object, error: object) -> None:
        from support import tally

        counted = json.loads(getattr(node, "workeroutput", {}).get("tally", "{}"))
        tally.NOTES.extend(counted.get("notes", []))
        tally.BROKERS.update(dict.fromkeys(counted.get("brokers", [])))


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(WorkerTallies())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print which broker the tests listened to, and what the long runs counted."""
    from support import tally

    for line in tally.lines():
        terminalreporter.write_line(line)
