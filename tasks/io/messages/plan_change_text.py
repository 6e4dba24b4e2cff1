"""What a new plan changes, in words and as a table for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence

from tasks.io.messages import blockkit
from tasks.io.messages.blockkit import Rendered
from tasks.records import Tile
from tasks.records.events import PlanChange

TILES_NAMED = 12
KINDS = (("keep", "stay"), ("add", "new"), ("drop", "dropped"), ("observed", "already observed"))


def message(event: str, changes: Sequence[PlanChange]) -> Rendered:
    """Write what the new plans change, for the thread."""
    words = f"{event}: {'; '.join(sentence(change) for change in changes)}."
    head = f"*🔁 What the new plan changes · {blockkit.escape(event)}*"
    blocks = [blockkit.section(head), *(blockkit.section(_lines(change)) for change in changes)]
    return blockkit.rendered(words, blocks)


def sentence(change: PlanChange) -> str:
    """Count a telescope's changes in words."""
    counts = [f"{len(tiles)} {word}" for kind, word in KINDS if (tiles := tiles_of(change, kind)) or kind != "observed"]
    return f"{change.telescope} {', '.join(counts)}"


def document(changes: Sequence[PlanChange]) -> str:
    """Write changes as JSON: the ids of the tiles of each telescope by kind."""
    content = {
        change.telescope: {kind: [tile.id for tile in tiles_of(change, kind)] for kind, _ in KINDS}
        for change in changes
    }
    return json.dumps(content, indent=1) + "\n"


def tiles_of(change: PlanChange, kind: str) -> tuple[Tile, ...]:
    """Return the tiles of one kind of change."""
    tiles: tuple[Tile, ...] = getattr(change, kind)
    return tiles


def named(tiles: Sequence[Tile]) -> str:
    """Name tiles, as many as one reads."""
    left = len(tiles) - TILES_NAMED
    names = ", ".join(tile.id for tile in tiles[:TILES_NAMED])
    return f"{names} and {left} more" if left > 0 else names


def _lines(change: PlanChange) -> str:
    rows = [
        f"{len(tiles)} {word}: {blockkit.escape(named(tiles))}"
        for kind, word in KINDS
        if (tiles := tiles_of(change, kind))
    ]
    return "\n".join([f"*{blockkit.escape(change.telescope)}*", *rows])
