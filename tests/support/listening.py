"""A listener and dispatcher in a process that a test may kill: ``python listening.py ADDRESS TOPIC FOLDER [POINT]``.

``POINT`` counts side effects: at that one the process kills itself, odd numbers before the effect, even ones after it.
Runs are files named by their key, so that the same key gives the same run, as on the server.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from deployments import daemon, dispatch, listener
from tasks import products, registry

count = 0


def deadly(effect: Callable[..., Any], point: int) -> Callable[..., Any]:
    """Kill this process before or after the effect whose turn it is."""

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        step(point)
        result = effect(*args, **kwargs)
        step(point)
        return result

    return wrapped


def step(point: int) -> None:
    global count  # noqa: PLW0603 - a process for one test
    count += 1
    if count == point:
        os.kill(os.getpid(), signal.SIGKILL)


def main(address: str, topic: str, folder: str, point: str = "0") -> None:
    root = Path(folder)
    book = registry.open(f"sqlite:///{root}/registry.sqlite")

    def submit(notice: Any) -> str:
        path = root / "runs" / f"notice-{notice.sha256}"
        path.parent.mkdir(exist_ok=True)
        with (root / "calls").open("a") as calls:
            calls.write(f"{notice.sha256}\n")
        path.touch()
        return path.name

    number = int(point)
    products.write_all = deadly(products.write_all, number)
    book.record_notices = deadly(book.record_notices, number)  # type: ignore[method-assign]
    listener._commit = deadly(listener._commit, number)
    book.mark_dispatched = deadly(book.mark_dispatched, number)  # type: ignore[method-assign]

    stop, arrived = threading.Event(), threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    configuration = {"bootstrap.servers": address, "group.id": topic, "session.timeout.ms": 2000, "log_level": 0}
    options = listener.ListenOptions(topics=(topic,), configuration=configuration)
    ear = listener.Listener(options, archive=listener.Archive(root=root, registry=book), arrived=arrived, alarm=print)
    hand = dispatch.Dispatcher(root=root, registry=book, submit=deadly(submit, number), announce=lambda _: None)
    daemon.run_together(lambda: ear.run(stop), lambda: hand.run(stop, arrived), stop=stop)


if __name__ == "__main__":
    main(*sys.argv[1:])
