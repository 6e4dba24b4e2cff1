"""Notices that came by no broker, made durable; the dispatcher starts their runs."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tasks import naming, products
from tasks.registry import Registry, notices
from tasks.registry.store import now


def keep(payload: bytes, registry: Registry, root: Path) -> bool:
    """Make a notice durable, the file before the row; return whether its bytes are new here."""
    sha256, received = hashlib.sha256(payload).hexdigest(), now()
    with registry.read() as session:
        if notices.is_known(session, sha256):
            return False
    path = naming.AlertTree(root=root).notice(sha256, received.date())
    products.write_bytes(path, payload)
    return registry.record_notice(sha256=sha256, path=path.resolve(), received=received)
