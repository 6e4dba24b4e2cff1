"""Watch night folders: which have come to rest with frames that nobody has announced yet, or whose run failed."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.events import emit_event

from tasks import constants, naming, products
from tasks.errors import UnusableData
from tasks.io.fits import fits_images
from tasks.io.nights import night_journal
from tasks.records import NightFolder, Places
from tasks.science.nights import folder_manifests

log = logging.getLogger(__name__)

SETTLED = "night.settled"
FITS = (".fits", ".fit", ".fts", ".fits.gz")


@dataclass(frozen=True, kw_only=True)
class Note:
    """What is remembered of a folder: manifests at the last look and at the last announcement, when and how often."""

    folder: str
    seen: str = ""
    manifest: str = ""
    announced: str = ""
    attempts: int = 0


@task(cache_policy=NO_CACHE, task_run_name="settled-folders")
def settled(places: Places, folders: Sequence[NightFolder], quiet_s: float) -> tuple[NightFolder, ...]:
    """Return the folders that have settled and are to be announced: new, with late frames, or to be tried again.

    A folder that cannot be looked at is named in the log and holds up no other.

    Parameters
    ----------
    places
        The observatory's places.
    folders
        Night folders to look at.
    quiet_s
        Time without any change after which a folder is at rest, in s.
    """
    now = datetime.now(UTC)
    found = []
    for folder in folders:
        try:
            if _due(places, folder, quiet_s, now):
                found.append(folder)
        except OSError as error:
            log.warning("%s cannot be looked at: %s", folder.folder, error)
    return tuple(found)


@task(cache_policy=NO_CACHE, task_run_name="announce-{folder.unit}-{folder.night}")
def announce(places: Places, folder: NightFolder) -> NightFolder:
    """Emit ``night.settled`` for a folder, after noting its manifest: the note is what makes it happen once."""
    manifest = folder_manifests.digest(_entries(folder.folder))
    before = _read(places, folder)
    attempts = before.attempts + 1 if before.manifest == manifest else 1
    now = datetime.now(UTC).isoformat()
    _write(places, folder, replace(before, manifest=manifest, announced=now, attempts=attempts))
    emit_event(
        event=SETTLED,
        resource={
            "prefect.resource.id": f"siren.night.{folder.night}.{folder.unit}",
            "siren.too": "yes" if folder.too else "no",
        },
        payload={"night": folder.night.isoformat(), "unit": folder.unit, "too": folder.too},
    )
    return folder


def _due(places: Places, folder: NightFolder, quiet_s: float, now: datetime) -> bool:
    """Tell whether a folder is to be announced; remember what was seen of it."""
    entries, note = _entries(folder.folder), _read(places, folder)
    manifest = folder_manifests.digest(entries)
    rests = folder_manifests.settled(
        entries,
        seen=note.seen or None,
        complete=_complete(folder.folder, entries),
        late=bool(note.manifest),
        now=now,
        quiet_s=quiet_s,
    )
    if note.seen != manifest and entries:
        _write(places, folder, replace(note, seen=manifest))
    if rests and note.manifest == manifest:
        return _again(places, folder, note, now)
    if not rests and entries:
        log.info("%s has not settled: %d files", folder.folder, len(entries))
    return rests


def _again(places: Places, folder: NightFolder, note: Note, now: datetime) -> bool:
    """Tell whether the run of a folder that was announced as it is failed, and it is time to try again."""
    tree = naming.NightTree(root=places.product_root)
    state = night_journal.read_state(tree.journal(folder.unit, folder.night))
    announced = datetime.fromisoformat(note.announced) if note.announced else now
    return folder_manifests.retry_due(
        state=state.state if state else None,
        started=state.start if state else None,
        announced=announced,
        attempts=note.attempts,
        now=now,
    )


def _complete(folder: Path, entries: Sequence[folder_manifests.Entry]) -> bool:
    """Tell whether the file that came last can be read to its last block."""
    newest = folder_manifests.last(entries)
    if newest is None or not newest.name.lower().endswith(FITS):
        return True
    try:
        fits_images.open_image(folder / newest.name)
    except UnusableData as error:
        log.info("%s: %s", folder, error)
        return False
    return newest.name.endswith(".gz") or newest.size % constants.FITS_BLOCK == 0


def _entries(folder: Path) -> list[folder_manifests.Entry]:
    found = []
    for path in sorted(folder.iterdir()):
        if (status := _status(path)) is None:
            continue
        changed = datetime.fromtimestamp(status.st_mtime, UTC)
        found.append(folder_manifests.Entry(name=path.name, size=status.st_size, changed=changed))
    return found


def _status(path: Path) -> os.stat_result | None:
    """Return a file's status, a link's own where it leads nowhere; None where the file has gone meanwhile."""
    for status in (path.stat, path.lstat):
        try:
            return status()
        except FileNotFoundError:
            continue
    return None


def _file(places: Places, folder: NightFolder) -> Path:
    tree = naming.NightTree(root=places.product_root)
    return tree.stage(folder.unit, folder.night, "settled-too" if folder.too else "settled")


def _write(places: Places, folder: NightFolder, note: Note) -> None:
    products.write_text(_file(places, folder), json.dumps(asdict(note), indent=1) + "\n")


def _read(places: Places, folder: NightFolder) -> Note:
    try:
        known = json.loads(_file(places, folder).read_bytes())
        return Note(**{**known, "folder": str(folder.folder)})
    except (OSError, ValueError, TypeError):
        return Note(folder=str(folder.folder))
