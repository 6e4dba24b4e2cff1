"""Fixtures that every test may ask for by name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tasks.science import arrays

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


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which broker the tests listened to, and what the long runs counted."""
    from support import tally

    for line in tally.lines():
        terminalreporter.write_line(line)
