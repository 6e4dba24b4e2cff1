"""What the names of blocks open: the registry, Slack, the product store, public links.

A block is loaded in the task that uses it and never travels: its secret would travel with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

from prefect.blocks.core import Block

from blocks import ProductStore, PublicLinks, RegistryDatabase, SlackWorkspace
from tasks import registry as registries
from tasks.errors import MissingPart, Unavailable
from tasks.io.messages import folder_sender, slack_sender
from tasks.io.services import event_links, product_stores
from tasks.records import Alert, Audience, Home
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
def registry(home: Home) -> Iterator[Registry]:
    """Open the registry of the home's block, or the one in its folder; close it afterwards."""
    opened = registries.open(registry_address(home))
    try:
        yield opened
    finally:
        opened.close()


def registry_address(home: Home) -> str:
    """Return the address of the home's registry; it may hold a password, so keep it out of logs and parameters."""
    if home.registry:
        return load(RegistryDatabase, home.registry).address()
    return f"sqlite:///{home.root.resolve() / 'registry.sqlite'}"


def sender(home: Home) -> slack_sender.SlackSender | folder_sender.FolderSender:
    """Return what sends messages: Slack if the block has a token, else the folder ``outbox``."""
    block = load(SlackWorkspace, home.slack) if home.slack else SlackWorkspace()
    client = block.client()
    if client is None:
        return folder_sender.FolderSender(home.root / "outbox")
    channels = {Audience(key): channel for key, channel in block.channels().items()}
    return slack_sender.SlackSender(client, channels, interactive=block.hears())


def store(home: Home) -> product_stores.Store:
    """Return where products go: the block's server or folder, or the folder ``store``."""
    return store_of(load(ProductStore, home.store) if home.store else ProductStore(root=str(home.root / "store")))


def store_of(block: ProductStore) -> product_stores.Store:
    """Return the server or folder that a block names."""
    client = block.client()
    return (
        product_stores.FolderStore(block.folder())
        if client is None
        else product_stores.WebDavStore(client, root=block.root)
    )


def links_of(home: Home, alert: Alert) -> dict[str, str]:
    """Return the links to public pages about an event, and to its products if the store has a public address."""
    public = _public_links() if home.store else PublicLinks()
    base = load(ProductStore, home.store).public_url if home.store else ""
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
