"""Nights reduced in a separate process that can be killed, and compared byte by byte."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from astropy.io import fits
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateName
from pydantic import TypeAdapter

from deployments.server import serve, temporary_server
from flows.nights.night import night as night_flow
from support.simulated import Night
from tasks import products, runtime
from tasks.records import LOCAL, NightReport, Places, Stage

NIGHT = date(2026, 1, 15)
# fields with times and places, which differ between two runs of one night
TOLD = {".html", ".log", "journal.json", "memory.csv"}
# a table without rows, and SQLite's log after a complete checkpoint, are empty files
MAY_BE_EMPTY = {".csv", ".sqlite-wal"}
PRODUCTS = {"masters", "work", "processed_1x1_gain2750", "nights"}
VOLATILE = {"seconds", "timings", "processes", "solved_s", "searched_s", "mtime_ns", "page"}
CHILD = """
import json, sys
from pathlib import Path
from support import night_runs
spec = json.loads(sys.argv[1])
night_runs.reduce(night_runs.places_of(Path(spec["night"]), Path(spec["out"])), cpus=2)
"""


@contextmanager
def server(home: Path) -> Iterator[str]:
    """Run a Prefect server for this process and its children; yield the address of its API."""
    with temporary_server.prefect(home) as address:
        yield f"{address}/api"


@contextmanager
def temporary_prefect(home: Path) -> Iterator[str]:
    """Run the server of ``siren serve``, with automations; yield the address of its API."""
    port = serve.free_port()
    environment = serve.local_environment(home, port)
    with serve.server(home, port, environment):
        yield environment["PREFECT_API_URL"]


@contextmanager
def in_threads() -> Iterator[None]:
    """Run tasks in threads of this process: a Dask cluster takes longer to start than a small night to reduce."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runtime, "cluster", lambda spec=None: contextlib.nullcontext(None))
        yield


def places_of(night: Path, out: Path) -> Places:
    return Places(
        raw_root=night / "obsdata",
        product_root=out,
        alert_root=out / "alerts",
        references=night / "references",
        astrometric_catalogue=night / "catalogues" / "astrometric.ldac.fits",
        photometric_catalogue=night / "catalogues" / "photometric.fits",
    )


def reduce(places: Places, *, until: Stage = Stage.SEARCH, address: str = "", cpus: int = 1) -> NightReport:
    """Run the flow in this process, on the cluster at ``address`` or on a new one."""
    temporary_server.place(places, cpu_slots=cpus, gpu_slots=1)
    if address:
        from blocks import Cluster

        Cluster(address=address).save("cluster", overwrite=True)
    return night_flow(NIGHT, until=until, blocks=LOCAL)


@dataclass(kw_only=True)
class Run:
    """A night reduced by a separate process with workers."""

    night: Night
    out: Path
    api: str
    log: Path
    process: subprocess.Popen[bytes] = field(init=False)
    began: float = field(init=False)
    seconds: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        self.began = time.monotonic()
        spec = json.dumps({"night": str(self.night.root), "out": str(self.out)})
        folder = Path(__file__).parents[1]
        beat = {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "60"}  # as in `siren serve`
        environment = {**os.environ, **beat, "PREFECT_API_URL": self.api, "PYTHONPATH": f"{folder.parent}:{folder}"}
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-W", "ignore", "-c", CHILD, spec],
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def going(self) -> bool:
        return self.process.poll() is None

    def workers(self) -> list[int]:
        """Return the processes of the Dask workers."""
        return [pid for pid in _children(self.process.pid) if b"spawn_main" in _words(pid)]

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def finish(self, timeout_s: float = 1500) -> None:
        assert self.process.wait(timeout_s) == 0, self.log.read_text(errors="replace")[-3000:]
        self.seconds = time.monotonic() - self.began

    def report(self) -> NightReport:
        [file] = (self.out / "nights" / NIGHT.isoformat()).glob("report-*/report.json")
        return TypeAdapter(NightReport).validate_json(file.read_bytes())


def runs(state: str) -> set[str]:
    """Return the ids of the flow runs in a state, according to the server."""
    wanted = FlowRunFilter(state=FlowRunFilterState(name=FlowRunFilterStateName(any_=[state])))
    with get_client(sync_client=True) as client:
        return {str(run.id) for run in client.read_flow_runs(flow_run_filter=wanted)}


def batches(out: Path) -> dict[str, int]:
    """Return the finished batches by their first product, with the time of each end.

    A note under a temporary name, whole as it may be, is of a batch that was not finished.
    """
    done = {}
    for note in out.rglob("[!.]*.json"):
        with contextlib.suppress(OSError, ValueError):
            if "report-" not in str(note) and "result" in json.loads(note.read_bytes()):
                done[str(note.relative_to(out))] = note.stat().st_mtime_ns
    return done


def done_again(before: dict[str, int], after: dict[str, int]) -> list[str]:
    """Return the batches that were executed again after their end."""
    return [name for name, moment in before.items() if after.get(name) != moment]


def contents(out: Path) -> dict[str, str]:
    """Return the hash of every product; ledgers and reports are hashed without times and places."""
    found = {}
    for path in sorted(out.rglob("*")):
        name = str(path.relative_to(out))
        if (
            not path.is_file()
            or name.split("/", maxsplit=1)[0] not in PRODUCTS
            or _in_scratch(path, out)
            or TOLD & {path.suffix, path.name}
        ):
            continue
        if path.suffix == ".json" and path.with_suffix("").exists():
            continue  # a sidecar contains time and place
        content = path.read_bytes()
        if path.suffix == ".json":
            content = json.dumps(_steady(json.loads(content), str(out)), sort_keys=True).encode()
        found[name] = hashlib.sha256(content).hexdigest()
    return found


def invalid(out: Path) -> list[str]:
    """Return incomplete files under final names: unreadable FITS and JSON."""
    broken = []
    for path in out.rglob("*"):
        if path.name.startswith(".") or not path.is_file() or ".siren" in path.parts or _in_scratch(path, out):
            continue
        try:
            if path.suffix == ".fits":
                _read_all(path)
            elif path.suffix == ".json":
                json.loads(path.read_bytes())
            elif path.suffix not in MAY_BE_EMPTY and not path.stat().st_size:
                broken.append(f"{path.name}: empty")
        except (OSError, ValueError, TypeError) as error:
            broken.append(f"{path.name}: {error}")
    return broken


def lying(out: Path) -> list[str]:
    """Return the products that do not match their sidecars."""
    wrong = []
    for note in out.rglob("*.json"):
        product = note.with_suffix("")
        if product.exists() and ".siren" not in note.parts:
            said = json.loads(note.read_bytes())
            if said["sha256"] != products.sha256_of(product):
                wrong.append(product.name)
    return wrong


def left_over(out: Path) -> list[str]:
    """Return partial files and scratch folders that remain after a run."""
    return [str(path.relative_to(out)) for path in out.rglob(".*") if path.name not in {".siren", ".lock"}]


def wait_for(condition: Any, *, timeout_s: float = 900) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def _read_all(path: Path) -> None:
    with fits.open(path, memmap=False) as units:
        units.verify("exception")
        for unit in units:
            _ = unit.data
        last = units[-1]
        assert path.stat().st_size >= last._data_offset + last._data_size


def _in_scratch(path: Path, out: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(out).parts)


def _steady(value: Any, root: str) -> Any:
    if isinstance(value, dict):
        return {key: _steady(each, root) for key, each in value.items() if key not in VOLATILE}
    if isinstance(value, list):
        return [_steady(each, root) for each in value]
    return value.replace(root, "") if isinstance(value, str) else value


def _children(parent: int) -> list[int]:
    try:
        tasks = list(Path(f"/proc/{parent}/task").iterdir())
        return [int(pid) for task in tasks for pid in (task / "children").read_text().split()]
    except OSError:
        return []


def _words(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
