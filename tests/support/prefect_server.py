"""A real Prefect server with workers, as processes on a free port, with all state in a scratch folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun

from deployments.server import bootstrap, serve


@dataclass(frozen=True, kw_only=True)
class Server:
    """A running server; inside its block the Prefect settings of this process name it."""

    system: serve.LocalSystem

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment for a program that uses the server, such as ``prefect``."""
        return dict(self.system.environment)

    def command(self, *words: str, timeout_s: float = 120) -> str:
        """Run ``prefect WORDS`` on the command line; return its output."""
        done = subprocess.run(
            [sys.executable, "-m", "prefect", "--no-prompt", *words],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def run(self, deployment: str, parameters: Mapping[str, Any], *, timeout_s: float = 300) -> FlowRun:
        """Start ``flow/deployment`` with ``prefect deployment run`` and wait until its run has ended."""
        words = [word for key, value in parameters.items() for word in ("-p", f"{key}={json.dumps(value)}")]
        before = {each.id for each in self._runs()}
        self.command("deployment", "run", deployment, *words)
        # the server also schedules runs of deployments at any time
        new = [each for each in self._runs() if each.id not in before and each.deployment_id is not None]
        [started] = [each for each in new if not each.auto_scheduled]
        return self.wait(started, timeout_s=timeout_s)

    def wait(self, run: FlowRun, *, timeout_s: float = 300) -> FlowRun:
        """Wait until a run has ended."""
        deadline = time.monotonic() + timeout_s
        with get_client(sync_client=True) as client:
            while not ((now := client.read_flow_run(run.id)).state and now.state.is_final()):
                self.system.check_runs()
                assert time.monotonic() < deadline, f"{now.name} is still {now.state}"
                time.sleep(0.5)
        return now

    def logs(self, run: FlowRun) -> list[str]:
        """Return the lines of the run's log."""
        from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId

        with get_client(sync_client=True) as client:
            found = client.read_logs(LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run.id])))
        return [each.message for each in found]

    def says(self, run: FlowRun, line: str, *, timeout_s: float = 20) -> bool:
        """Return whether a line is in the run's log; lines arrive in batches, shortly after the run's end."""
        deadline = time.monotonic() + timeout_s
        while line not in self.logs(run):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.2)
        return True

    def _runs(self) -> list[FlowRun]:
        with get_client(sync_client=True) as client:
            return client.read_flow_runs()


@contextmanager
def running(
    home: Path,
    *,
    prefect_file: Path = bootstrap.PREFECT_FILE,
    pools: Sequence[str] = ("nights",),
    variables: Mapping[str, str] | None = None,
    only: Sequence[str] = (),
    listen: Sequence[str] = (),
) -> Iterator[Server]:
    """Run server and workers while the block runs.

    ``variables`` are set before the bootstrap: ``SIREN_OBSERVATORY_RAW_ROOT`` and the like fill blocks. ``only`` names
    the flows to deploy, none meaning all; ``listen`` holds arguments of ``siren listen``.
    """
    if only:
        prefect_file = excerpt(prefect_file, only, home / "prefect.yaml")
    before = dict(os.environ)
    os.environ.update(variables or {})
    try:
        port = serve.free_port()
        with serve.serving(home=home, port=port, prefect_file=prefect_file, pools=pools, listen=listen) as system:
            yield Server(system=system)
    finally:
        os.environ.clear()
        os.environ.update(before)


def excerpt(prefect_file: Path, flows: Sequence[str], target: Path) -> Path:
    """Write a file with the deployments of some flows only."""
    content = yaml.safe_load(prefect_file.read_text())
    content["deployments"] = [each for each in content["deployments"] if each["entrypoint"].rsplit(".", 1)[-1] in flows]
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(yaml.safe_dump(content))
    return target
