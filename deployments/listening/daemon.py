"""The listener's process: poll loop, dispatcher, heartbeat and warm runner, each in a thread.

When one of them ends, the others are stopped.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from prefect.events import emit_event

from deployments.listening.dispatch import Dispatcher, beat, submit_run
from deployments.listening.listener import Archive, Listener, ListenOptions
from deployments.listening.warm_runner import WarmRunner
from deployments.server.automations import STALLED
from tasks.errors import Unavailable
from tasks.io.messages import event_announcements
from tasks.registry import Registry, outbox
from tasks.registry.store import now

log = logging.getLogger(__name__)

REPEAT_S = 3600.0
"""Shortest time between two alarms to the operators, in s."""


def listen(options: ListenOptions, *, root: Path, registry: Registry, stop: threading.Event, warm: bool = True) -> None:
    """Listen and dispatch until ``stop`` is set; if one of the parts fails, raise its error.

    Parameters
    ----------
    options
        Topics and settings of the Kafka consumer.
    root
        Root of the alert river's files.
    registry
        The registry of notices.
    stop
        Set it to end.
    warm
        Keep a process with everything imported, which starts the run of a notice at once. Otherwise the workers of the
        pool execute all runs.
    """
    name = str(options.configuration.get("group.id", "siren"))
    arrived = threading.Event()
    listener = Listener(
        options,
        archive=Archive(root=root, registry=registry),
        arrived=arrived,
        alarm=Alarm(name, registry),
    )
    runner = WarmRunner(folder=root / "logs")
    dispatcher = Dispatcher(root=root, registry=registry, submit=runner.submit if warm else submit_run)
    run_together(
        lambda: listener.run(stop),
        lambda: dispatcher.run(stop, arrived),
        lambda: beat(name, stop, alive=listener.is_turning, lag=lambda: listener.lag),
        *((lambda: runner.keep(stop),) if warm else ()),
        stop=stop,
    )


def run_together(*parts: Callable[[], None], stop: threading.Event) -> None:
    """Run each part in its own thread; when one ends, stop the others and raise its error."""
    with ThreadPoolExecutor(max_workers=len(parts), thread_name_prefix="siren") as pool:
        running = [pool.submit(part) for part in parts]
        ended, _ = wait(running, return_when=FIRST_COMPLETED)
        stop.set()
    for part in [*ended, *running]:
        part.result()


@dataclass
class Alarm:
    """Reports silence of the broker: to the log and the automations each time, to the operators at most once an hour.

    Parameters
    ----------
    name
        The listener's name.
    registry
        Holds the outbox. The automation on ``siren.listener.stalled`` sends the messages in it.
    """

    name: str
    registry: Registry
    clock: Callable[[], float] = time.monotonic
    alarmed_at: float = -math.inf

    def __call__(self, reason: str) -> None:
        """Raise the alarm."""
        log.error("%s", reason)
        if self.clock() - self.alarmed_at >= REPEAT_S:
            self._alarm_operators(reason)
        emit_event(
            event=STALLED, resource={"prefect.resource.id": f"siren.listener.{self.name}"}, payload={"reason": reason}
        )

    def _alarm_operators(self, reason: str) -> None:
        moment = now()
        try:
            with self.registry.begin() as session:
                outbox.enqueue_message(
                    session, event_announcements.of_silence(self.name, reason, key=moment.isoformat()), now=moment
                )
        except Unavailable as trouble:
            log.warning("the alarm for the operators was not recorded: %s", trouble)
        else:
            self.alarmed_at = self.clock()
