"""The listener's process: the poll loop, the dispatcher and the heartbeat, each in a thread; when one ends, all do."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path

from prefect.events import emit_event

from deployments.dispatch import Dispatcher, beat
from deployments.listener import Archive, Listener, ListenOptions
from tasks.registry import Registry

log = logging.getLogger(__name__)

STALLED = "siren.listener.stalled"


def listen(options: ListenOptions, *, root: Path, registry: Registry, stop: threading.Event) -> None:
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
    """
    name = str(options.configuration.get("group.id", "siren"))
    arrived = threading.Event()
    listener = Listener(
        options,
        archive=Archive(root=root, registry=registry),
        arrived=arrived,
        alarm=lambda words: alarm(name, words),
    )
    dispatcher = Dispatcher(root=root, registry=registry)
    run_together(lambda: listener.run(stop), lambda: dispatcher.run(stop, arrived), lambda: beat(name, stop), stop=stop)


def run_together(*parts: Callable[[], None], stop: threading.Event) -> None:
    """Run every part in a thread of its own; when the first ends, stop the others and raise what it raised."""
    with ThreadPoolExecutor(max_workers=len(parts), thread_name_prefix="siren") as pool:
        running = [pool.submit(part) for part in parts]
        ended, _ = wait(running, return_when=FIRST_COMPLETED)
        stop.set()
    for part in [*ended, *running]:
        part.result()


def alarm(name: str, words: str) -> None:
    """Tell the log and the automations that nothing is heard."""
    log.error("%s", words)
    emit_event(event=STALLED, resource={"prefect.resource.id": f"siren.listener.{name}"}, payload={"reason": words})
