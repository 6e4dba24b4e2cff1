"""Safe names for text from outside, and the sidecar of a product."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

OBJECT_SLUG_LENGTH = 40
HASH_LENGTH = 16


def hashed(text: str) -> str:
    """Return a short name for ``text`` that is safe anywhere."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:HASH_LENGTH]


def slug(text: str) -> str:
    """Turn a header's OBJECT into a strict name: letters, digits, ``+-.``, at most 40 characters, never empty."""
    name = re.sub(r"[^A-Za-z0-9+.-]+", "-", text).strip("-.")[:OBJECT_SLUG_LENGTH]
    return name or f"object-{hashed(text)}"


def sidecar(product: Path) -> Path:
    """Return the recipe file beside a product."""
    return product.with_name(product.name + ".json")
