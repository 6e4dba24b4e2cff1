"""The one answer to where alerts and registry are, for the listener, the verbs, the Slack app and the doctor.

The order: what the command line says, what the environment says, what the flows' blocks say on the Prefect server that
this process is set up for, and last a folder of this machine. The flows read the blocks alone, so an environment that
names another registry than the block is refused: notices would be split over two databases.
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
# a server that takes longer is as good as away; the answer must not keep a listener from its notices
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
    """Return the registry's address; it may hold a password, so keep it out of logs.

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
    """Return a block of the server that this process is set up for, or None if there is none or it is away."""
    url = get_current_settings().api.url
    if not url:
        return None
    try:
        httpx.get(f"{url}/health", timeout=ANSWER_S).raise_for_status()
        return cast("B", kind.load(name, validate=False))
    except (httpx.HTTPError, ValueError):
        return None
