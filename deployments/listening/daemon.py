"""The listener's process: poll loop, dispatcher, heartbeat and runner of the warm process, each in a thread.

When one of them ends, all do.
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

AGAIN_S = 3600.0
"""Time after which the operators are told again of a silence."""


def listen(options: ListenOptions, *, root: Path, registry: Registry, stop: threading.Event, warm: bool = True) -> None:
    """Listen and dispatch until ``stop`` is set, or one of the parts fails: then its error is raised.

    Parameters
    ----------
    options
        What to listen to.
    root
        Root of the alert river's files.
    registry
        Our record of notices.
    stop
        Set it to end.
    warm
        Keep a process warm that begins a notice's run at once; else the workers of the pool do all runs.
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
    """Run every part in a thread of its own; when the first ends, stop the others and raise what it raised."""
    with ThreadPoolExecutor(max_workers=len(parts), thread_name_prefix="siren") as pool:
        running = [pool.submit(part) for part in parts]
        ended, _ = wait(running, return_when=FIRST_COMPLETED)
        stop.set()
    for part in [*ended, *running]:
        part.result()


@dataclass
class Alarm:
    """Tells the log and the automations of every silence, the operators of the first and then once an hour.

    Parameters
    ----------
    name
        The listener's name.
    registry
        Holds the outbox: the automation on ``siren.listener.stalled`` sends what lies there.
    """

    name: str
    registry: Registry
    clock: Callable[[], float] = time.monotonic
    told_at: float = -math.inf

    def __call__(self, words: str) -> None:
        """Raise the alarm."""
        log.error("%s", words)
        if self.clock() - self.told_at >= AGAIN_S:
            self._tell_operators(words)
        emit_event(
            event=STALLED, resource={"prefect.resource.id": f"siren.listener.{self.name}"}, payload={"reason": words}
        )

    def _tell_operators(self, words: str) -> None:
        moment = now()
        try:
            with self.registry.begin() as session:
                outbox.enqueue_message(
                    session, event_announcements.of_silence(self.name, words, key=moment.isoformat()), now=moment
                )
        except Unavailable as trouble:
            log.warning("the operators cannot be told: %s", trouble)
        else:
            self.told_at = self.clock()
