"""Imported by the process that ``support.river`` forks from: one notice responded to, so that its children begin warm."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

from blocks import ProductStore, SlackWorkspace
from support import bulletins, river
from tasks import registry


def respond_once() -> None:
    """Respond to a notice with folders for Slack and the store: no thread is left behind, no file."""
    with tempfile.TemporaryDirectory() as folder:
        places = river.River(root=Path(folder) / "alerts")
        river.without_prefect(places)
        SlackWorkspace.load = lambda *_, **__: SlackWorkspace()  # type: ignore[method-assign]
        ProductStore.load = lambda *_, **__: ProductStore(root=f"{folder}/store")  # type: ignore[method-assign]
        payload = bulletins.gw()
        (path := Path(folder) / "notice").write_bytes(payload)
        book = registry.open(places.url)
        sha256 = hashlib.sha256(payload).hexdigest()
        book.record_notice(sha256=sha256, path=path)
        river.respond(places, str(path), sha256)
        book.close()


respond_once()
