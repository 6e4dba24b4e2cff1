"""The listener's process: poll loop, dispatcher, heartbeat and keeper of the warm process, each in a thread.

When one of them ends, all do.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path

from prefect.events import emit_event

from deployments.dispatch import Dispatcher, beat, submit_run
from deployments.listener import Archive, Listener, ListenOptions
from deployments.warm import Warm
from tasks.registry import Registry

log = logging.getLogger(__name__)

STALLED = "siren.listener.stalled"


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
        alarm=lambda words: alarm(name, words),
    )
    keeper = Warm(folder=root / "logs")
    dispatcher = Dispatcher(root=root, registry=registry, submit=keeper.submit if warm else submit_run)
    run_together(
        lambda: listener.run(stop),
        lambda: dispatcher.run(stop, arrived),
        lambda: beat(name, stop),
        *((lambda: keeper.keep(stop),) if warm else ()),
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


def alarm(name: str, words: str) -> None:
    """Tell the log and the automations that nothing is heard."""
    log.error("%s", words)
    emit_event(event=STALLED, resource={"prefect.resource.id": f"siren.listener.{name}"}, payload={"reason": words})
