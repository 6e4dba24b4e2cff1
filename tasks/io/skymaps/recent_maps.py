"""Sky maps that were read lately, so that one reading of a file serves every task of a run."""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path

from tasks.io.skymaps import sky_map_files
from tasks.records import SkyMap

MOST = 3
"""A notice's maps (of gravitational waves, combined) and the one before: a flat map of nside 1024 takes 400 MB."""

Key = tuple[str, int, int, int]

_recent: OrderedDict[Key, SkyMap] = OrderedDict()
_lock = threading.Lock()


def read(path: Path) -> SkyMap:
    """Read a sky map, or return the one that was read lately from the same file, if that has not changed since.

    Raises
    ------
    UnusableData
        If the file is no sky map, see ``sky_map_files.read``.
    """
    sky_map = _recent.get(_key(path)) if path.is_file() else None
    if sky_map is None:
        sky_map = sky_map_files.read(path)
    remember(path, sky_map)
    return sky_map


def remember(path: Path, sky_map: SkyMap) -> None:
    """Keep a map whose bytes lie in a file as the one read last."""
    with _lock:
        key = _key(path)
        _recent[key] = sky_map
        _recent.move_to_end(key)
        while len(_recent) > MOST:
            _recent.popitem(last=False)


def forget() -> None:
    """Forget all maps."""
    with _lock:
        _recent.clear()


def _key(path: Path) -> Key:
    status = path.stat()
    return str(path.resolve()), status.st_ino, status.st_mtime_ns, status.st_size
