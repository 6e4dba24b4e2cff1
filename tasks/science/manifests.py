"""Manifests of night folders: when a night has come to rest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One file of a night folder: name, size in bytes, time of the last change."""

    name: str
    size: int
    changed: datetime


def digest(entries: Iterable[Entry]) -> str:
    """Return a hash of names and sizes: a late or longer file changes it, a touched one does not."""
    lines = sorted(f"{entry.name}\0{entry.size}" for entry in entries)
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogatepass")).hexdigest()


def at_rest(entries: Iterable[Entry], *, now: datetime, quiet_s: float) -> bool:
    """Tell whether there are files, and none has changed for ``quiet_s`` seconds."""
    changes = [entry.changed for entry in entries]
    return bool(changes) and (now - max(changes)).total_seconds() >= quiet_s
