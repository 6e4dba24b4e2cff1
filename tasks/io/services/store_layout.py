"""Files of a notice in the product store, by path."""

from __future__ import annotations

from pathlib import Path

from tasks import naming
from tasks.records import Alert, Kind

# folders in which people put their own files, beside ours
PEOPLES_FOLDERS = {
    "IMAGES": "Images of this event's follow-up.",
    "KNC_IMAGES": "Images by amateur astronomers.",
    "LOGBOOK": "Photometry and notes.",
}


def of_notice(alert: Alert, source: Path | None, root: Path) -> dict[str, Path]:
    """Return files by their path in the store: the notice's bytes, its maps, and a README in each folder for people.

    Parameters
    ----------
    alert
        The notice.
    source
        The file with its bytes, if there is one.
    root
        Folder in which the texts of these READMEs are stored.
    """
    files: dict[str, Path] = {}
    if source is not None:
        suffix = ".xml" if source.read_bytes().lstrip().startswith(b"<") else ".json"
        files[naming.StoreTree.notice(alert, suffix)] = source
    for summary in (alert.sky_map, alert.combined):
        if summary is not None and summary.path is not None:
            files[f"{naming.StoreTree.visit(alert)}/{summary.path.name}"] = summary.path
    return files | (_peoples_folders(alert, root) if alert.notice.kind is Kind.GW else {})


def _peoples_folders(alert: Alert, root: Path) -> dict[str, Path]:
    files = {}
    for name, words in PEOPLES_FOLDERS.items():
        path = root / "templates" / f"{name}.txt"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{words}\n")
        files[f"{naming.StoreTree.event(alert.notice)}/{name}/README.txt"] = path
    return files
