"""The doctor's checks of a real server."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest
from prefect.client.orchestration import get_client
from prefect.events import Event, Resource

from deployments.server import service_checks
from deployments.server.automations import LISTENER_HEARTBEAT
from tasks.errors import MissingPart, Unavailable
from tasks.registry.store import now

pytestmark = [pytest.mark.server, pytest.mark.usefixtures("prefect_api")]


def beat(name: str, *, age_s: float, **lag: int) -> None:
    event = Event(
        event=LISTENER_HEARTBEAT,
        occurred=now() - timedelta(seconds=age_s),
        resource=Resource({"prefect.resource.id": f"siren.listener.{name}"}),
        payload={"lag": lag},
    )
    with get_client(sync_client=True) as client:
        httpx.post(f"{str(client.api_url).rstrip('/')}/events", json=[event.model_dump(mode="json")]).raise_for_status()


def said(part: str) -> str:
    """Repeat the listener's check until its text contains ``part``; the server stores events with a delay."""
    deadline, words = time.monotonic() + 30, ""
    while part not in words:
        assert time.monotonic() < deadline, words
        words = answer(service_checks.listener)
        time.sleep(0.1)
    return words


def answer(ask: Callable[[], Any]) -> str:
    try:
        return str(ask())
    except (MissingPart, Unavailable) as error:
        return f"{type(error).__name__}: {error}"


def test_the_doctor_tells_when_a_listener_was_heard_and_how_far_behind_it_is() -> None:
    beat("old", age_s=600)
    assert re.search(r"Unavailable: old 6\d\d s ago, not behind", said("old "))
    beat("siren", age_s=30, topic0=3, topic1=0)
    beat("siren", age_s=5, topic0=2, topic1=0)
    words = said("behind by 2")
    assert re.search(r"^siren \d\d? s ago, behind by 2 on topic0; old 6\d\d s ago, not behind$", words)
