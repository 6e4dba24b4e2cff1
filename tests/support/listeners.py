"""A listener in a thread of the test's process, which records its alarms."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, Self

from deployments.listening import listener


class RunningListener:
    """A running listener, its alarms, and their times."""

    def __init__(
        self, topics: Sequence[str], configuration: Mapping[str, Any], archive: listener.Archive, **options: Any
    ) -> None:
        self.stop, self.arrived = threading.Event(), threading.Event()
        self.alarms: list[str] = []
        self.moments: list[float] = []
        self.settings = listener.ListenOptions(topics=tuple(topics), configuration=configuration, **options)
        loop = listener.Listener(self.settings, archive=archive, arrived=self.arrived, alarm=self.record)
        self.thread = threading.Thread(target=loop.run, args=(self.stop,))

    def record(self, words: str) -> None:
        self.alarms.append(words)
        self.moments.append(time.monotonic())

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join(30)
        assert not self.thread.is_alive()
