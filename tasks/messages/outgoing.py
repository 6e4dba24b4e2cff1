"""Put messages and files into the outbox, within the caller's transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tasks import products
from tasks.records import Audience
from tasks.records.outbox import Outgoing, StoreFile
from tasks.registry import Session, outbox
from tasks.registry.store import now


def enqueue(session: Session, messages: Sequence[Outgoing]) -> int:
    """Queue the messages that have an audience; return how many were new."""
    addressed = [message for message in messages if message.audience is not Audience.NOBODY]
    return outbox.enqueue_messages(session, addressed, now=now())


def enqueue_files(session: Session, slug: str, files: Mapping[str, Path]) -> None:
    """Queue an event's files for upload; ``files`` gives each by its path in the store."""
    described = [
        StoreFile(source=path.resolve(), remote=remote, sha256=products.sha256_of(path), size=path.stat().st_size)
        for remote, path in files.items()
    ]
    outbox.enqueue_uploads(session, described, now=now(), subject=f"event:{slug}")
