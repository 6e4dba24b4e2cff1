"""Paths of alerts and registry for the listener, the verbs, the Slack app and the doctor.

Order: the command line, the environment, the flows' blocks on the configured Prefect server, a folder of this machine.
The flows read only the blocks, so an environment that names another registry than the block is refused: it would split
the notices over two databases.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeVar, cast

import httpx
from prefect.blocks.core import Block
from prefect.settings import get_current_settings

from blocks import Observatory, RegistryDatabase
from blocks.default_places import home
from tasks.errors import MissingPart
from tasks.registry import health

__all__ = ["alert_root", "home", "registry_url"]

REGISTRY = "SIREN_REGISTRY_URL"
ALERTS = "SIREN_OBSERVATORY_ALERT_ROOT"
# a slower server counts as unavailable, so that it cannot delay the start of a listener
ANSWER_S = 3.0

B = TypeVar("B", bound=Block)


def alert_root(given: Path | None = None) -> Path:
    """Return the folder of the alert river's files."""
    chosen = given or os.environ.get(ALERTS)
    if chosen:
        return Path(chosen).expanduser().resolve()
    block = _saved(Observatory, "observatory")
    return block.paths()["alert_root"] if block else home() / "alerts"


def registry_url(given: str | None = None) -> str:
    """Return the registry's address; it may contain a password, so keep it out of logs.

    Raises
    ------
    MissingPart
        If the environment names another database than the block that the flows read.
    """
    if given:
        return given
    chosen, block = os.environ.get(REGISTRY), _saved(RegistryDatabase, "registry")
    if chosen and block and chosen != block.address():
        raise MissingPart(
            f"{REGISTRY} names {health.named(chosen)}, and the block registry, which the flows read, "
            f"{health.named(block.address())}: save the variable with siren bootstrap, or unset it"
        )
    return chosen or (block.address() if block else f"sqlite:///{home()}/registry.sqlite")


def _saved(kind: type[B], name: str) -> B | None:
    """Return a block of the configured server, or None if there is no block or no server."""
    url = get_current_settings().api.url
    if not url:
        return None
    try:
        httpx.get(f"{url}/health", timeout=ANSWER_S).raise_for_status()
        return cast("B", kind.load(name, validate=False))
    except (httpx.HTTPError, ValueError):
        return None
