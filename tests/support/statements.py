"""What one notice costs: statements of SQL, and readings of sky maps, counted in a process of its own."""

from __future__ import annotations

import collections
import hashlib
import json
import traceback
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event

from flows.alerts import respond as respond_flow
from support import river
from support.river import River
from tasks.io.skymaps import recent_maps, sky_map_files


def count(places: River, point: str, names: Path) -> None:
    """Respond to the notices that wait, in their order; write what each cost as one line of JSON."""
    del point
    river.quiet()
    river.without_prefect(places)
    statements, maps = collections.Counter[str](), collections.Counter[str]()
    read = sky_map_files.read

    def counted_read(source: bytes | Path) -> Any:
        content = source if isinstance(source, bytes) else source.read_bytes()
        maps[hashlib.sha256(content).hexdigest()] += 1
        return read(source)

    sky_map_files.read = counted_read  # type: ignore[assignment]
    event.listen(Engine, "before_cursor_execute", lambda *_: statements.update([_caller()]))
    with names.open("w") as file:
        for run in river.waiting(places):
            notice = json.loads(run.read_text())
            for counter in (statements, maps):
                counter.clear()
            # in earnest each notice has a process of its own
            recent_maps.forget()
            answer = respond_flow.respond.fn(
                Path(notice["path"]), notice["sha256"], notice["topic"], clock=river.CLOCK, blocks=river.BLOCKS
            )
            line = {"event": answer.event_id, "statements": statements, "maps": list(maps.values())}
            file.write(json.dumps(line) + "\n")


def _caller() -> str:
    """Name the task that asks, and the function of the registry that answers."""
    frames = [frame for frame in traceback.extract_stack() if "/tasks/" in frame.filename]
    asking = next((frame for frame in reversed(frames) if "/registry/" not in frame.filename), frames[-1])
    return f"{Path(asking.filename).stem}.{asking.name} by {Path(frames[-1].filename).stem}.{frames[-1].name}"
