"""Safe names for untrusted text, and the sidecar of a product."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

OBJECT_SLUG_LENGTH = 40
HASH_LENGTH = 16


def hashed(text: str) -> str:
    """Return a short hash of ``text``, safe in any path."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:HASH_LENGTH]


def slug(text: str) -> str:
    """Convert a header's OBJECT to a safe name: letters, digits, ``+-.``, at most 40 characters, never empty."""
    name = re.sub(r"[^A-Za-z0-9+.-]+", "-", text).strip("-.")[:OBJECT_SLUG_LENGTH]
    return name or f"object-{hashed(text)}"


def sidecar(product: Path) -> Path:
    """Return the recipe file beside a product."""
    return product.with_name(product.name + ".json")
