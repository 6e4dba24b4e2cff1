"""The dispatcher: creates a run of ``respond`` for each notice without one; retries while the server is unavailable."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import State
from prefect.events import emit_event
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.states import Scheduled

from deployments.server import automations
from tasks import naming, products
from tasks.errors import Unavailable, UnusableData
from tasks.records.events import StoredNotice
from tasks.registry import Registry

log = logging.getLogger(__name__)

RESPOND = "respond/prod"
RECEIVED = "gcn.notice.received"
HANDED = "HandedOver"
"""State of a run created for a warm process. It is pending, so that no worker picks the run up."""

BATCH = 20
FIRST_DELAY_S, LONGEST_DELAY_S = 1.0, 30.0
BEAT_S = 25.0
# HTTP statuses worth a retry: no credentials yet, no deployment yet, too busy
TEMPORARY = frozenset({401, 403, 404, 408, 409, 425, 429})


class Submit(Protocol):
    """Creates the run for a notice and returns its id; the same notice gives the same id."""

    def __call__(self, notice: StoredNotice) -> str:
        """Create the run.

        Raises
        ------
        Unavailable
            If a later attempt may succeed.
        UnusableData
            If the server refuses the notice for good.
        """
        ...


def submit_run(notice: StoredNotice, *, state: State[Any] | None = None) -> str:
    """Create a run of ``respond``, scheduled for now or in ``state``, or return the earlier run for the same bytes."""
    key = f"notice:{notice.sha256}"
    try:
        with get_client(sync_client=True) as client:
            return _create_run(client, notice.parameters(), key=key, state=state or Scheduled())
    except ObjectNotFound as error:
        raise Unavailable(f"{RESPOND} is not deployed: run siren bootstrap") from error
    except PrefectHTTPStatusError as error:
        status = error.response.status_code
        if status in TEMPORARY or status >= httpx.codes.INTERNAL_SERVER_ERROR:
            raise Unavailable(f"the Prefect server answers {status}") from error
        raise UnusableData(f"the Prefect server refuses the notice: {status} {error.response.text[:500]}") from error
    except (httpx.HTTPError, RuntimeError, OSError) as error:
        # Prefect raises RuntimeError if the server cannot be reached
        raise Unavailable(f"the Prefect server does not answer: {error}") from error


def _create_run(client: SyncPrefectClient, parameters: dict[str, Any], *, key: str, state: State[Any]) -> str:
    deployment = client.read_deployment_by_name(RESPOND)
    run = client.create_flow_run_from_deployment(
        deployment.id, parameters=parameters, state=state, tags=["alert"], idempotency_key=key
    )
    return str(run.id)


class Dispatcher:
    """Creates the runs of stored notices, oldest first, until stopped.

    Parameters
    ----------
    root
        Root of the alert river's files, for dead letters.
    registry
        The registry of notices.
    submit
        Creates a run; replaced in tests.
    announce
        Called with each notice after the durable steps; its failure loses nothing.
    """

    def __init__(
        self,
        *,
        root: Path,
        registry: Registry,
        submit: Submit = submit_run,
        announce: Callable[[StoredNotice], None] | None = None,
    ) -> None:
        self.tree = naming.AlertTree(root=root)
        self.registry = registry
        self.submit = submit
        self.announce = announce or announce_notice

    def run(self, stop: threading.Event, arrived: threading.Event) -> None:
        """Dispatch notices as they arrive; while the server is unavailable, wait longer after each attempt."""
        delay = FIRST_DELAY_S
        while not stop.is_set():
            try:
                self.dispatch_all()
            except (Unavailable, OSError) as trouble:
                log.warning("%s; next try in %g s", trouble, delay)
                stop.wait(delay)
                delay = min(2 * delay, LONGEST_DELAY_S)
            else:
                delay = FIRST_DELAY_S
                arrived.wait(FIRST_DELAY_S)
                arrived.clear()

    def dispatch_all(self) -> int:
        """Dispatch all waiting notices; return their number."""
        count = 0
        while waiting := self.registry.undispatched(BATCH):
            for notice in waiting:
                self.dispatch(notice)
            count += len(waiting)
        return count

    def dispatch(self, notice: StoredNotice) -> None:
        """Create the run of one notice and record it; a notice that the server refuses for good becomes a dead letter."""
        try:
            run = self.submit(notice)
        except UnusableData as refusal:
            self.record_dead_letter(notice, str(refusal))
            return
        self.registry.mark_dispatched(notice.sha256, run=run)
        log.info("notice %s: run %s", notice.sha256[:12], run)
        self.announce(notice)

    def record_dead_letter(self, notice: StoredNotice, reason: str) -> None:
        """Write the raw bytes and the reason into the folder of dead letters."""
        letter = self.tree.dead_letter(notice.sha256)
        products.write_bytes(letter, notice.path.read_bytes())
        note = {"reason": reason, "topic": notice.topic, "received": notice.received.isoformat()}
        products.write_text(naming.sidecar(letter), json.dumps(note) + "\n")
        self.registry.record_dead(notice.sha256, reason)
        log.error("notice %s is a dead letter: %s", notice.sha256[:12], reason)


def announce_notice(notice: StoredNotice) -> None:
    """Emit the event that a notice was received."""
    emit_event(
        event=RECEIVED,
        resource={"prefect.resource.id": f"siren.notice.{notice.sha256}"},
        payload={"topic": notice.topic, "sha256": notice.sha256},
    )


def beat(
    name: str,
    stop: threading.Event,
    *,
    every_s: float = BEAT_S,
    alive: Callable[[], bool] = lambda: True,
    lag: Callable[[], Mapping[str, int]] = dict,
) -> None:
    """Emit the listener's heartbeat while ``alive`` returns True, until stopped.

    ``lag`` returns the number of messages not yet received, by partition.
    """
    while not stop.is_set():
        if alive():
            emit_event(
                event=automations.LISTENER_HEARTBEAT,
                resource={"prefect.resource.id": f"siren.listener.{name}"},
                payload={"time": datetime.now(UTC).isoformat(), "lag": dict(lag())},
            )
        stop.wait(every_s)
