"""Watch night folders: which have come to rest with frames that nobody has announced yet."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.events import emit_event

from tasks import naming, products
from tasks.records import NightFolder, Places
from tasks.science import manifests

log = logging.getLogger(__name__)

SETTLED = "night.settled"


@task(cache_policy=NO_CACHE, task_run_name="settled-folders")
def settled(places: Places, folders: Sequence[NightFolder], quiet_s: float) -> tuple[NightFolder, ...]:
    """Return the folders that are at rest and whose manifest is not the one last announced.

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
        entries = _entries(folder.folder)
        if manifests.at_rest(entries, now=now, quiet_s=quiet_s):
            if _announced(places, folder) != manifests.digest(entries):
                found.append(folder)
        elif entries:
            log.info("%s is still growing: %d files", folder.folder, len(entries))
    return tuple(found)


@task(cache_policy=NO_CACHE, task_run_name="announce-{folder.unit}-{folder.night}")
def announce(places: Places, folder: NightFolder) -> NightFolder:
    """Emit ``night.settled`` for a folder, after noting its manifest: the note is what makes it happen once."""
    note = {"folder": str(folder.folder), "manifest": manifests.digest(_entries(folder.folder))}
    products.write_text(_note(places, folder), json.dumps(note, indent=1) + "\n")
    emit_event(
        event=SETTLED,
        resource={"prefect.resource.id": f"siren.night.{folder.night}.{folder.unit}"},
        payload={"night": folder.night.isoformat(), "unit": folder.unit, "too": folder.too},
    )
    return folder


def _entries(folder: Path) -> list[manifests.Entry]:
    found = []
    for path in sorted(folder.iterdir()):
        status = path.stat()
        changed = datetime.fromtimestamp(status.st_mtime, UTC)
        found.append(manifests.Entry(name=path.name, size=status.st_size, changed=changed))
    return found


def _note(places: Places, folder: NightFolder) -> Path:
    tree = naming.NightTree(root=places.product_root)
    return tree.stage(folder.unit, folder.night, "settled-too" if folder.too else "settled")


def _announced(places: Places, folder: NightFolder) -> str | None:
    try:
        return str(json.loads(_note(places, folder).read_bytes())["manifest"])
    except (OSError, ValueError, KeyError):
        return None
