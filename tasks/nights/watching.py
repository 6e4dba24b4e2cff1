"""Watch night folders: announce those with complete, unannounced frames, or whose run failed."""

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


@dataclass(frozen=True, kw_only=True)
class Note:
    """A folder's state: manifests at the last look and the last announcement, its time, and the number of attempts."""

    folder: str
    seen: str = ""
    manifest: str = ""
    announced: str = ""
    attempts: int = 0


@task(cache_policy=NO_CACHE, task_run_name="settled-folders")
def settled(places: Places, folders: Sequence[NightFolder], quiet_s: float) -> tuple[NightFolder, ...]:
    """Return the settled folders to announce: new ones, those with late frames, and those to retry.

    A folder that cannot be read is logged and does not delay the others.

    Parameters
    ----------
    places
        The observatory's places.
    folders
        Night folders to check.
    quiet_s
        Time without changes after which a folder is settled, in s.
    """
    now = datetime.now(UTC)
    due = []
    for folder in folders:
        try:
            if _due(places, folder, quiet_s, now):
                due.append(folder)
        except OSError as error:
            log.warning("%s cannot be read: %s", folder.folder, error)
    return tuple(due)


@task(cache_policy=NO_CACHE, task_run_name="announce-{folder.unit}-{folder.night}")
def announce(places: Places, folder: NightFolder) -> NightFolder:
    """Record a folder's manifest, so that it is announced once, then emit ``night.settled`` for it."""
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
    """Return whether a folder is to be announced; record its manifest."""
    entries, note = _entries(folder.folder), _read(places, folder)
    manifest = folder_manifests.digest(entries)
    is_settled = folder_manifests.settled(
        entries,
        seen=note.seen or None,
        complete=_complete(folder.folder, entries),
        late=bool(note.manifest),
        now=now,
        quiet_s=quiet_s,
    )
    if note.seen != manifest and entries:
        _write(places, folder, replace(note, seen=manifest))
    if is_settled and note.manifest == manifest:
        return _again(places, folder, note, now)
    if not is_settled and entries:
        log.info("%s has not settled: %d files", folder.folder, len(entries))
    return is_settled


def _again(places: Places, folder: NightFolder, note: Note, now: datetime) -> bool:
    """Return whether the run of an unchanged, announced folder failed and its retry is due."""
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
    """Return whether the last file to arrive can be read to its last block."""
    newest = folder_manifests.last(entries)
    if newest is None or not naming.is_raw(newest.name):
        return True
    try:
        fits_images.open_image(folder / newest.name)
    except UnusableData as error:
        log.info("%s: %s", folder, error)
        return False
    plain = newest.name.lower().endswith((".fits", ".fit", ".fts"))
    return not plain or newest.size % constants.FITS_BLOCK == 0


def _entries(folder: Path) -> list[folder_manifests.Entry]:
    entries = []
    for path in sorted(folder.iterdir()):
        if (status := _status(path)) is None:
            continue
        changed = datetime.fromtimestamp(status.st_mtime, UTC)
        entries.append(folder_manifests.Entry(name=path.name, size=status.st_size, changed=changed))
    return entries


def _status(path: Path) -> os.stat_result | None:
    """Return a file's status; of a dangling link its own; None if the file was removed meanwhile."""
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
        content = json.loads(_file(places, folder).read_bytes())
        return Note(**{**content, "folder": str(folder.folder)})
    except (OSError, ValueError, TypeError):
        return Note(folder=str(folder.folder))
