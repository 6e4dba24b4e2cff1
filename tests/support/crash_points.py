"""Crash points: a process kills itself when it reaches a given step.

A step is the moment before or after an effect: the sync of a file, the commit of a transaction, a request to Slack or
WebDAV. Its name contains the lines of our code on the call stack, so one place reached on two paths is two steps.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import slack_sdk
import webdav3.client

from deployments.listening import listener
from tasks import products
from tasks.registry import Registry

ROOT = Path(__file__).resolve().parents[2]


class CrashPoints:
    """Kills this process when it first reaches the step ``point``; with ``names``, writes all steps into that file."""

    def __init__(self, point: str = "", names: Path | None = None) -> None:
        self.point = point
        self.names = names
        self.lock = threading.Lock()

    def step(self, name: str) -> None:
        if not self.point and self.names is None:
            return
        where = f"{name} | {way(sys._getframe(1))}"
        with self.lock:
            if self.names is not None:
                with self.names.open("a") as file:
                    file.write(f"{where}\n")
            if self.point and where.startswith(self.point):
                os.kill(os.getpid(), signal.SIGKILL)

    def around(self, owner: Any, name: str, label: str) -> None:
        """Add a step before and after a function; a short text among its first arguments is part of the step's name."""
        effect = getattr(owner, name)

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            words = next((each for each in args[:2] if isinstance(each, str) and len(each) < 40), "")
            self.step(f"before {label} {words}")
            result = effect(*args, **kwargs)
            self.step(f"after {label} {words}")
            return result

        setattr(owner, name, wrapped)

    def inside_transactions(self) -> None:
        begin = Registry.begin

        @contextmanager
        def watched(registry: Registry) -> Iterator[Any]:
            with begin(registry) as session:
                yield session
                session.flush()
                self.step("before a commit")
            self.step("after a commit")

        Registry.begin = watched  # type: ignore[method-assign]

    def everywhere(self) -> None:
        self.inside_transactions()
        self.around(products, "_sync", "a file's sync")
        self.around(slack_sdk.WebClient, "api_call", "a request to Slack")
        self.around(webdav3.client.Client, "execute_request", "a request to WebDAV")
        self.around(listener, "_commit", "an offset's commit")


def way(frame: FrameType | None) -> str:
    """Return the lines of our code on the call stack of a frame, outermost first."""
    lines: list[str] = []
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        if path.is_relative_to(ROOT) and path.parts[len(ROOT.parts)] in ("flows", "tasks", "deployments"):
            lines.append(f"{path.stem}:{frame.f_lineno}")
        frame = frame.f_back
    return " ".join(reversed(lines))
