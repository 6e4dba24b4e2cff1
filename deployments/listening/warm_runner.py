"""The first run of a notice, in a process that is warm: it begins at once, where a worker's takes seconds to start.

The run is the server's like any other, of the same deployment and under the same key; it is only made in the state
``HANDED``, which no worker picks up. What the warm process does not begin soon, or leaves unfinished when it dies, becomes
a scheduled run again: the workers do it. Nobody else does it meanwhile: a run is given back before its id was handed on,
or after the process that had it is dead.
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
ERRAND_S = 5.0


@dataclass(frozen=True, kw_only=True)
class WarmOptions:
    """How long runs wait for the warm process, and it for them."""

    room: int = 4
    """Most runs that are in its hands or wait for it; a worker gets what comes beyond."""

    patience_s: float = 20.0
    """Wait in s after which a run that has not begun goes to a worker."""

    limit_s: float = 900.0
    """Time in s after which a run is taken for stuck, and its process is killed."""

    grace_s: float = 30.0
    """Time in s that a run may take to its end when the listener is told to stop."""


@dataclass(frozen=True, kw_only=True)
class Held:
    """A run that we hold, and since when."""

    id: UUID
    since: float = field(default_factory=time.monotonic)

    @property
    def age_s(self) -> float:
        """Seconds since then."""
        return time.monotonic() - self.since


class Warm:
    """Keeps a warm process, hands it one run at a time, and gives back what it does not do.

    Parameters
    ----------
    folder
        Where it works, and where its log is.
    options
        How long one waits for the other.
    """

    def __init__(self, *, folder: Path, options: WarmOptions = WarmOptions()) -> None:
        self.folder = folder
        self.options = options
        self.ready = threading.Event()
        self._lock = threading.Lock()
        self._waiting: collections.deque[Held] = collections.deque()
        self._homeless: collections.deque[UUID] = collections.deque()
        self._in_hand: Held | None = None
        self._adopted = False
        self._errand_at = 0.0
        self._bell = os.pipe()

    def submit(self, notice: StoredNotice) -> str:
        """Make the run of a notice and see that it begins at once; where that cannot be, leave it to a worker."""
        if not self.has_room():
            return dispatch.submit_run(notice)
        made = dispatch.submit_run(notice, state=Pending(name=dispatch.HANDED, message="waits for the warm process"))
        self._hold(UUID(made))
        return made

    def has_room(self) -> bool:
        """Tell whether a run given now would begin soon."""
        with self._lock:
            held = len(self._waiting) + (self._in_hand is not None)
        return self.ready.is_set() and held < self.options.room

    def keep(self, stop: threading.Event) -> None:
        """Keep a warm process until told to stop; start another whenever it ends."""
        environment = {**os.environ, **get_current_settings().to_environment_variables(exclude_unset=True)}
        command = (sys.executable, "-m", "deployments.listening.warm_process", dispatch.RESPOND)
        while not stop.is_set():
            with run.service(command, folder=self.folder, name="warm", environment=environment, piped=True) as process:
                self._attend(process, stop)
            self._bury()
            stop.wait(RESTART_S)
        self._homeless.extend(self._take_waiting(lambda _: True))
        self._do_errands()

    def _attend(self, process: run.Service, stop: threading.Event) -> None:
        """Hand runs to a process and hear its answers until it ends, is stuck, or is to stop."""
        while not stop.is_set() and self._hear(process):
            self._homeless.extend(self._take_waiting(lambda held: held.age_s > self.options.patience_s))
            self._do_errands()
            self._hand_on(process)
        if stop.is_set():
            process.end_input(self.options.grace_s)
            self._hear(process)

    def _hear(self, process: run.Service) -> bool:
        """Take in an answer where one comes now; false where the process has ended, or its run is stuck."""
        answer = process.read_line(TICK_S, wake=self._bell[0])
        if answer is not None and answer.strip() == READY:
            self.ready.set()
            log.info("the warm process is ready")
        elif answer:
            with self._lock:
                self._in_hand = None
        stuck = self._in_hand is not None and self._in_hand.age_s > self.options.limit_s
        if stuck:
            log.error("a run is not done after %g s: killing the warm process", self.options.limit_s)
        return answer != "" and not stuck

    def _hand_on(self, process: run.Service) -> None:
        """Name the process its next run, if it is free."""
        with self._lock:
            if not self.ready.is_set() or self._in_hand is not None or not self._waiting:
                return
            self._in_hand = Held(id=self._waiting.popleft().id)
        process.write_line(str(self._in_hand.id))

    def _hold(self, run_id: UUID) -> None:
        with self._lock:
            self._waiting.append(Held(id=run_id))
        os.write(self._bell[1], b".")

    def _bury(self) -> None:
        """Have the run of a process that has ended given back; those that wait may see the next one."""
        self.ready.clear()
        with self._lock:
            unfinished, self._in_hand = self._in_hand, None
        if unfinished is not None:
            log.warning("the warm process ended in the middle of run %s", unfinished.id)
            self._homeless.append(unfinished.id)
        self._do_errands()

    def _take_waiting(self, which: Callable[[Held], bool]) -> list[UUID]:
        """Take runs out of those that wait."""
        with self._lock:
            taken = [held for held in self._waiting if which(held)]
            self._waiting = collections.deque(held for held in self._waiting if not which(held))
        return [held.id for held in taken]

    def _do_errands(self) -> None:
        """Do with the server what it may have been away for: take over runs from an earlier life, give back ours."""
        if time.monotonic() < self._errand_at or (self._adopted and not self._homeless):
            return
        try:
            with get_client(sync_client=True) as client:
                self._adopt(client)
                while self._homeless:
                    give_back(client, self._homeless[0])
                    self._homeless.popleft()
        except (httpx.HTTPError, PrefectHTTPStatusError, RuntimeError) as trouble:
            # RuntimeError: Prefect's words for a server that cannot be reached
            log.warning("%d runs cannot be given back yet: %s", len(self._homeless), trouble)
            self._errand_at = time.monotonic() + ERRAND_S

    def _adopt(self, client: SyncPrefectClient) -> None:
        """Hold, once, the runs that an earlier listener made for its warm process and never handed on."""
        if self._adopted:
            return
        with contextlib.suppress(ObjectNotFound):  # no deployment yet, so no runs of it
            for orphan in handed_over(client):
                self._hold(orphan.id)
        self._adopted = True


def handed_over(client: SyncPrefectClient) -> list[FlowRun]:
    """Return the runs that wait for a warm process, whoever made them."""
    deployment = client.read_deployment_by_name(dispatch.RESPOND)
    return client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            state=FlowRunFilterState(name=FlowRunFilterStateName(any_=[dispatch.HANDED])),
            deployment_id=FlowRunFilterDeploymentId(any_=[deployment.id]),
        )
    )


def give_back(client: SyncPrefectClient, run_id: UUID) -> None:
    """Schedule a run for the workers, unless it has ended or is scheduled already."""
    with contextlib.suppress(ObjectNotFound):  # somebody deleted it
        found = client.read_flow_run(run_id)
        if found.state is not None and (found.state.is_pending() or found.state.is_running()):
            client.set_flow_run_state(run_id, AwaitingRetry(message="the warm process did not do it"))
            log.warning("run %s is given to a worker", run_id)
