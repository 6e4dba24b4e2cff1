"""Changes from a plan to the next, as text and as JSON."""

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
    """Return the thread's message on the changes of new plans."""
    words = f"{event}: {'; '.join(sentence(change) for change in changes)}."
    head = f"*🔁 Changes of the new plan · {blockkit.escape(event)}*"
    blocks = [blockkit.section(head), *(blockkit.section(_lines(change)) for change in changes)]
    return blockkit.rendered(words, blocks)


def sentence(change: PlanChange) -> str:
    """Return the numbers of a telescope's changes in one sentence."""
    counts = [f"{len(tiles)} {word}" for kind, word in KINDS if (tiles := tiles_of(change, kind)) or kind != "observed"]
    return f"{change.telescope} {', '.join(counts)}"


def document(changes: Sequence[PlanChange]) -> str:
    """Return changes as JSON: the ids of the tiles of each telescope by kind."""
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
    """Return the names of the first tiles, and the number of others."""
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
