"""The dispatcher: a row that no run was made for becomes a run of ``respond``; it keeps trying while the server is away."""

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
"""State of a run that was made for a warm process: pending, so that no worker picks it up."""

BATCH = 20
FIRST_DELAY_S, LONGEST_DELAY_S = 1.0, 30.0
BEAT_S = 25.0
# refusals that another try may not meet again: no credentials yet, no deployment yet, too busy
TEMPORARY = frozenset({401, 403, 404, 408, 409, 425, 429})


class Submit(Protocol):
    """Makes the run for a notice and returns its id, the same id for the same notice."""

    def __call__(self, notice: StoredNotice) -> str:
        """Make the run.

        Raises
        ------
        Unavailable
            Where trying later may help.
        UnusableData
            Where the server will never take this notice.
        """
        ...


def submit_run(notice: StoredNotice, *, state: State[Any] | None = None) -> str:
    """Make a run of ``respond``, scheduled for now or in ``state``, or find the one made for the same bytes before."""
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
        # RuntimeError: Prefect's words for a server that cannot be reached
        raise Unavailable(f"the Prefect server does not answer: {error}") from error


def _create_run(client: SyncPrefectClient, parameters: dict[str, Any], *, key: str, state: State[Any]) -> str:
    deployment = client.read_deployment_by_name(RESPOND)
    run = client.create_flow_run_from_deployment(
        deployment.id, parameters=parameters, state=state, tags=["alert"], idempotency_key=key
    )
    return str(run.id)


class Dispatcher:
    """Turns rows into runs, oldest first, until told to stop.

    Parameters
    ----------
    root
        Root of the alert river's files, for dead letters.
    registry
        Our record of notices.
    submit
        Makes a run; replaced in tests.
    announce
        Told of each notice after the durable steps, best effort.
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
        """Dispatch whatever arrives; wait longer and longer while the server is away."""
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
        """Dispatch every notice that waits; return how many."""
        count = 0
        while waiting := self.registry.undispatched(BATCH):
            for notice in waiting:
                self.dispatch(notice)
            count += len(waiting)
        return count

    def dispatch(self, notice: StoredNotice) -> None:
        """Make the run of one notice and note it; what the server will never take goes to the dead letters."""
        try:
            run = self.submit(notice)
        except UnusableData as refusal:
            self.bury(notice, str(refusal))
            return
        self.registry.mark_dispatched(notice.sha256, run=run)
        log.info("notice %s: run %s", notice.sha256[:12], run)
        self.announce(notice)

    def bury(self, notice: StoredNotice, reason: str) -> None:
        """Keep the raw bytes and the reason where people look for them."""
        letter = self.tree.dead_letter(notice.sha256)
        products.write_bytes(letter, notice.path.read_bytes())
        note = {"reason": reason, "topic": notice.topic, "received": notice.received.isoformat()}
        products.write_text(naming.sidecar(letter), json.dumps(note) + "\n")
        self.registry.record_dead(notice.sha256, reason)
        log.error("notice %s is a dead letter: %s", notice.sha256[:12], reason)


def announce_notice(notice: StoredNotice) -> None:
    """Tell automations of a notice."""
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
    """Say again and again that the listener lives, as long as ``alive`` says so, until told to stop.

    ``lag`` gives how many messages of each partition it has not heard yet.
    """
    while not stop.is_set():
        if alive():
            emit_event(
                event=automations.LISTENER_HEARTBEAT,
                resource={"prefect.resource.id": f"siren.listener.{name}"},
                payload={"time": datetime.now(UTC).isoformat(), "lag": dict(lag())},
            )
        stop.wait(every_s)
