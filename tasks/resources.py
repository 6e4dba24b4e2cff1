"""What the names of blocks open: the registry, Slack, the product store, public links.

A block is loaded in the task that uses it and never travels. An empty name means under ``root``: an SQLite file, a folder
of rendered messages, a folder for products.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

from prefect.blocks.core import Block

from blocks import ProductStore, PublicLinks, RegistryDatabase, SlackWorkspace
from tasks import registry as registries
from tasks.errors import MissingPart, Unavailable
from tasks.io.messages import folder_sender, slack_sender
from tasks.io.services import event_links, product_stores
from tasks.records import Alert, Audience
from tasks.registry import Registry

B = TypeVar("B", bound=Block)


def _when_away(_task: Any, _run: Any, state: Any) -> bool:
    return isinstance(state.result(raise_on_failure=False), Unavailable)


PATIENT: dict[str, Any] = {
    "retries": 5,
    "retry_delay_seconds": [2, 5, 15, 60, 120],
    "retry_condition_fn": _when_away,
}
"""Settings of a task that tries again when what it needs is away."""


@contextmanager
def registry(name: str, root: Path) -> Iterator[Registry]:
    """Open the registry of a block, or the one under ``root``; close it afterwards."""
    url = load(RegistryDatabase, name).address() if name else f"sqlite:///{root.resolve() / 'registry.sqlite'}"
    opened = registries.open(url)
    try:
        yield opened
    finally:
        opened.close()


def sender(name: str, root: Path) -> slack_sender.SlackSender | folder_sender.FolderSender:
    """Return what sends messages: Slack where the block has a token, else a folder under ``root``."""
    block = load(SlackWorkspace, name) if name else SlackWorkspace()
    client = block.client()
    if client is None:
        return folder_sender.FolderSender(root / "outbox")
    channels = {Audience(key): channel for key, channel in block.channels().items()}
    return slack_sender.SlackSender(client, channels, interactive=block.hears())


def store(name: str, root: Path) -> product_stores.Store:
    """Return where products go: the block's server or folder, or a folder under ``root``."""
    block = load(ProductStore, name) if name else ProductStore(root=str(root / "store"))
    client = block.client()
    return (
        product_stores.FolderStore(block.folder())
        if client is None
        else product_stores.WebDavStore(client, root=block.root)
    )


def links_of(name: str, alert: Alert) -> dict[str, str]:
    """Return the links to public pages about an event, and to its products where the store has a public address."""
    public = _public_links() if name else PublicLinks()
    base = load(ProductStore, name).public_url if name else ""
    return event_links.of_event(alert.notice, store_url=base, templates=public.templates(alert.notice.kind))


def load(kind: type[B], name: str) -> B:
    """Load a block by name.

    Raises
    ------
    MissingPart
        If the block is not there; says how to get it.
    """
    try:
        # in a synchronous task it is the block and no coroutine
        return cast("B", kind.load(name, validate=False))
    except ValueError as error:
        slug = kind.get_block_type_slug()
        raise MissingPart(f"the block {slug}/{name} is not there: run siren bootstrap") from error


def _public_links() -> PublicLinks:
    try:
        return load(PublicLinks, "links")
    except MissingPart:
        return PublicLinks()
