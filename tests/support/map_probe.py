"""Read every sky map of a folder, alone and inside a notice: ``python map_probe.py FOLDER``; prints one JSON line for each.

A process of its own, so that its peak of memory is that of the maps and of nothing else.
"""

from __future__ import annotations

import base64
import json
import sys
import time
from pathlib import Path

from support import memory
from tasks.errors import UnusableData
from tasks.io.notices import parsing
from tasks.io.skymaps import sky_map_files
from tasks.science.alerts import assembly


def probe(path: Path) -> dict[str, object]:
    content = path.read_bytes()
    began = time.monotonic()
    try:
        sky_map_files.read(content)
        refused = ""
    except UnusableData as refusal:
        refused = str(refusal)
    seconds = time.monotonic() - began
    return {"name": path.name, "refused": refused, "seconds": seconds, "notice": in_a_notice(content)}


def in_a_notice(content: bytes) -> str:
    """Return the result of a notice with this map: announced with it, announced without it, or refused."""
    document = {
        "superevent_id": "S260115ab",
        "alert_type": "INITIAL",
        "event": {"skymap": base64.b64encode(content).decode()},
    }
    try:
        parsed = parsing.parse(json.dumps(document).encode())
    except UnusableData:
        return "refused"
    alert = assembly.assemble(parsed, sha256="0" * 64, read=sky_map_files.read)
    return "without" if alert.sky_map is None else "with"


if __name__ == "__main__":
    for each in sorted(Path(sys.argv[1]).iterdir()):
        print(json.dumps({**probe(each), "peak_kib": memory.peak_kib()}))  # noqa: T201
