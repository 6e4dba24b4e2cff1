"""Executes the first run of a notice in a warm process, which starts it at once; a worker needs seconds.

The run belongs to the same deployment and has the same key as any other, but is created in the state ``HANDED``, which no
worker picks up. If the warm process does not start the run soon, or exits before its end, the run is scheduled again for
the workers. It is never executed twice: it is returned before its id reaches the process, or after that process exited.
"""

from __future__ import annotations

import collections
import contextlib
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterState,
    FlowRunFilterStateName,
)
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.settings import get_current_settings
from prefect.states import AwaitingRetry, Pending

from deployments.listening import dispatch
from deployments.listening.warm_process import READY
from tasks.programs import run
from tasks.records.events import StoredNotice

log = logging.getLogger(__name__)

TICK_S = 0.5
RESTART_S = 1.0
SERVER_RETRY_S = 5.0


@dataclass(frozen=True, kw_only=True)
class WarmOptions:
    """Limits of the warm process: number of runs, and times in s."""

    room: int = 4
    """Most runs that it executes or that wait for it; the workers get all others."""

    patience_s: float = 20.0
    """Time in s after which a run that has not started goes to a worker."""

    limit_s: float = 900.0
    """Time in s after which a run counts as stuck and its process is killed."""

    grace_s: float = 30.0
    """Time in s that the current run gets to finish when the listener stops."""


@dataclass(frozen=True, kw_only=True)
class HeldRun:
    """A run that waits for the warm process or is executed by it, and since when."""

    id: UUID
    since: float = field(default_factory=time.monotonic)

    @property
    def age_s(self) -> float:
        """Time since then, in s."""
        return time.monotonic() - self.since


class WarmRunner:
    """Keeps a warm process running, passes it one run at a time, and returns the runs that it does not execute.

    Parameters
    ----------
    folder
        Working folder of the process, with its log.
    options
        Limits of number and time.
    """

    def __init__(self, *, folder: Path, options: WarmOptions = WarmOptions()) -> None:
        self.folder = folder
        self.options = options
        self.ready = threading.Event()
        self._lock = threading.Lock()
        self._waiting: collections.deque[HeldRun] = collections.deque()
        self._returning: collections.deque[UUID] = collections.deque()
        self._current: HeldRun | None = None
        self._adopted = False
        self._retry_at = 0.0
        self._bell = os.pipe()

    def submit(self, notice: StoredNotice) -> str:
        """Create the run of a notice and start it at once; if that is impossible, leave it to a worker."""
        if not self.has_room():
            return dispatch.submit_run(notice)
        run_id = dispatch.submit_run(notice, state=Pending(name=dispatch.HANDED, message="waits for the warm process"))
        self._hold(UUID(run_id))
        return run_id

    def has_room(self) -> bool:
        """Return whether a run submitted now would start soon."""
        with self._lock:
            held = len(self._waiting) + (self._current is not None)
        return self.ready.is_set() and held < self.options.room

    def keep(self, stop: threading.Event) -> None:
        """Keep a warm process running until stopped; start another whenever it exits."""
        environment = {**os.environ, **get_current_settings().to_environment_variables(exclude_unset=True)}
        command = (sys.executable, "-m", "deployments.listening.warm_process", dispatch.RESPOND)
        while not stop.is_set():
            with run.service(command, folder=self.folder, name="warm", environment=environment, piped=True) as process:
                self._attend(process, stop)
            self._process_ended()
            stop.wait(RESTART_S)
        self._returning.extend(self._take_waiting(lambda _: True))
        self._update_server()

    def _attend(self, process: run.Service, stop: threading.Event) -> None:
        """Pass runs to a process and read its answers until it exits, is stuck, or is stopped."""
        while not stop.is_set() and self._read_answer(process):
            self._returning.extend(self._take_waiting(lambda held: held.age_s > self.options.patience_s))
            self._update_server()
            self._hand_on(process)
        if stop.is_set():
            process.end_input(self.options.grace_s)
            self._read_answer(process)

    def _read_answer(self, process: run.Service) -> bool:
        """Read an answer if there is one; return False if the process has exited or its run is stuck."""
        answer = process.read_line(TICK_S, wake=self._bell[0])
        if answer is not None and answer.strip() == READY:
            self.ready.set()
            log.info("the warm process is ready")
        elif answer:
            with self._lock:
                self._current = None
        stuck = self._current is not None and self._current.age_s > self.options.limit_s
        if stuck:
            log.error("a run has not ended after %g s: killing the warm process", self.options.limit_s)
        return answer != "" and not stuck

    def _hand_on(self, process: run.Service) -> None:
        """Pass the next run to the process, if it is free."""
        with self._lock:
            if not self.ready.is_set() or self._current is not None or not self._waiting:
                return
            self._current = HeldRun(id=self._waiting.popleft().id)
        process.write_line(str(self._current.id))

    def _hold(self, run_id: UUID) -> None:
        with self._lock:
            self._waiting.append(HeldRun(id=run_id))
        os.write(self._bell[1], b".")

    def _process_ended(self) -> None:
        """Return the unfinished run of a process that has exited; waiting runs may reach the next one."""
        self.ready.clear()
        with self._lock:
            unfinished, self._current = self._current, None
        if unfinished is not None:
            log.warning("the warm process exited during run %s", unfinished.id)
            self._returning.append(unfinished.id)
        self._update_server()

    def _take_waiting(self, which: Callable[[HeldRun], bool]) -> list[UUID]:
        """Remove runs from those that wait; return their ids."""
        with self._lock:
            taken = [held for held in self._waiting if which(held)]
            self._waiting = collections.deque(held for held in self._waiting if not which(held))
        return [held.id for held in taken]

    def _update_server(self) -> None:
        """Take over runs of an earlier listener and return ours; if the server is unavailable, retry later."""
        if time.monotonic() < self._retry_at or (self._adopted and not self._returning):
            return
        try:
            with get_client(sync_client=True) as client:
                self._adopt(client)
                while self._returning:
                    return_to_workers(client, self._returning[0])
                    self._returning.popleft()
        except (httpx.HTTPError, PrefectHTTPStatusError, RuntimeError) as trouble:
            # Prefect raises RuntimeError if the server cannot be reached
            log.warning("%d runs cannot be returned yet: %s", len(self._returning), trouble)
            self._retry_at = time.monotonic() + SERVER_RETRY_S

    def _adopt(self, client: SyncPrefectClient) -> None:
        """Take over, once, the runs that an earlier listener created and its warm process never started."""
        if self._adopted:
            return
        with contextlib.suppress(ObjectNotFound):  # no deployment yet, so no runs of it
            for earlier in handed_over(client):
                self._hold(earlier.id)
        self._adopted = True


def handed_over(client: SyncPrefectClient) -> list[FlowRun]:
    """Return all runs that wait for a warm process."""
    deployment = client.read_deployment_by_name(dispatch.RESPOND)
    return client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            state=FlowRunFilterState(name=FlowRunFilterStateName(any_=[dispatch.HANDED])),
            deployment_id=FlowRunFilterDeploymentId(any_=[deployment.id]),
        )
    )


def return_to_workers(client: SyncPrefectClient, run_id: UUID) -> None:
    """Schedule a run for the workers, unless it has ended or is scheduled already."""
    with contextlib.suppress(ObjectNotFound):  # the run was deleted
        state = client.read_flow_run(run_id).state
        if state is not None and (state.is_pending() or state.is_running()):
            client.set_flow_run_state(run_id, AwaitingRetry(message="the warm process did not execute it"))
            log.warning("run %s goes to a worker", run_id)
