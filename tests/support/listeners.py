"""A listener in a thread of the test's own process, so that the test hears its alarms."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, Self

from deployments.listening import listener


class RunningListener:
    """A listener with its alarms, and the moments at which it raised them."""

    def __init__(
        self, topics: Sequence[str], configuration: Mapping[str, Any], archive: listener.Archive, **options: Any
    ) -> None:
        self.stop, self.arrived = threading.Event(), threading.Event()
        self.alarms: list[str] = []
        self.moments: list[float] = []
        self.settings = listener.ListenOptions(topics=tuple(topics), configuration=configuration, **options)
        ear = listener.Listener(self.settings, archive=archive, arrived=self.arrived, alarm=self.hear)
        self.thread = threading.Thread(target=ear.run, args=(self.stop,))

    def hear(self, words: str) -> None:
        self.alarms.append(words)
        self.moments.append(time.monotonic())

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join(30)
        assert not self.thread.is_alive()
