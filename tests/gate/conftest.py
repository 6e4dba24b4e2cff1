"""Fixtures of the long runs."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import kafka, tally
from support.slack_buttons import app, clock, empty, handler, planner, root, store, top, workspace

__all__ = ["app", "clock", "empty", "handler", "planner", "root", "store", "top", "workspace"]

MEMORY = Path("/dev/shm")


@pytest.fixture(autouse=True)
def timed() -> Iterator[None]:
    """Put the time that a test took beside what it counted."""
    began, first = time.monotonic(), len(tally.NOTES)
    yield
    tally.timed(began, first)


@pytest.fixture(scope="session")
def broker() -> Iterator[kafka.Broker]:
    with kafka.broker() as started:
        yield started


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one: a killed process loses nothing there either, and syncing costs nothing."""
    if not (MEMORY.is_dir() and os.access(MEMORY, os.W_OK)):
        yield tmp_path
        return
    folder = Path(tempfile.mkdtemp(prefix="brightsiren-gate-", dir=MEMORY))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
