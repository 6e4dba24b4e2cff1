"""A fake device: NumPy under another name, with limited memory."""

from __future__ import annotations

from typing import Any

import numpy as np


class Small:
    """An array module that raises ``MemoryError`` if one array has more than ``room`` bytes.

    ``refused`` and ``taken`` are the shapes of the arrays that were brought to it.
    """

    def __init__(self, room: int) -> None:
        self.room = room
        self.refused: list[tuple[int, ...]] = []
        self.taken: list[tuple[int, ...]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)

    def asarray(self, array: Any) -> Any:
        fits = array.nbytes <= self.room
        (self.taken if fits else self.refused).append(array.shape)
        if not fits:
            raise MemoryError(f"{array.nbytes} bytes (room for {self.room})")
        return array
