"""Manifests of night folders: when a folder is complete, and when a failed night is announced again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

# an observatory writes such a file, empty or not, after the last frame
END_OF_NIGHT = "end-of-night"
# after this time a folder is accepted with an unreadable last file: the frame is then rejected with the reason
LONGEST_WAIT_S = 1800.0
RETRY_AFTER = (timedelta(minutes=10), timedelta(hours=1), timedelta(hours=6))
"""Delay from each announcement of a failed night to the next one; none follows the last."""

SILENCE = timedelta(hours=12)
"""A run that has not ended this long after its start, or its announcement, counts as failed."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One file of a night folder: name, size in bytes, time of the last change."""

    name: str
    size: int
    changed: datetime


def digest(entries: Iterable[Entry]) -> str:
    """Return a hash of names and sizes: a late or longer file changes it; a touched file or a marker does not."""
    lines = sorted(f"{entry.name}\0{entry.size}" for entry in entries if not _aside(entry))
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogatepass")).hexdigest()


def at_rest(entries: Iterable[Entry], *, now: datetime, quiet_s: float) -> bool:
    """Return whether there are files, and none has changed for ``quiet_s`` seconds."""
    changes = [entry.changed for entry in entries]
    return bool(changes) and (now - max(changes)).total_seconds() >= quiet_s


def ended(entries: Iterable[Entry]) -> bool:
    """Return whether there is a marker of the night's end."""
    return any(_marks(entry) for entry in entries)


def last(entries: Sequence[Entry]) -> Entry | None:
    """Return the file that changed last, the last by name of equal times; ignores markers and hidden files."""
    files = [entry for entry in entries if not _aside(entry)]
    return max(files, key=lambda entry: (entry.changed, entry.name)) if files else None


def settled(
    entries: Sequence[Entry],
    *,
    seen: str | None,
    complete: bool,
    now: datetime,
    quiet_s: float = 0.0,
    late: bool = False,
) -> bool:
    """Return whether a night folder is complete.

    It is complete if there is a marker, and no frames came ``late``, after it was announced; or if its manifest equals
    that of the last look, nothing has changed for ``quiet_s``, and the last file is complete. An incomplete last file
    is waited for during half an hour.

    Parameters
    ----------
    entries
        Its files.
    seen
        Its manifest at the last look; None at the first.
    complete
        Whether its last file can be read to its last block.
    late
        Whether the folder was announced before: a marker of that time says nothing of what came since.
    now, quiet_s
        Time of this look; time without any change after which a folder is at rest, in s.
    """
    if not any(not _aside(entry) for entry in entries):
        return False
    if ended(entries) and not late:
        return True
    rests = at_rest(entries, now=now, quiet_s=quiet_s) and digest(entries) == seen
    return rests and (complete or at_rest(entries, now=now, quiet_s=max(quiet_s, LONGEST_WAIT_S)))


def retry_due(
    *, state: str | None, started: datetime | None, announced: datetime, attempts: int, now: datetime
) -> bool:
    """Return whether a night with unchanged frames is to be announced again.

    Parameters
    ----------
    state
        ``running``, ``done``, ``partial``, ``failed``, or None where no run has begun.
    started
        When its last run began, if it did.
    announced, attempts
        When it was announced last, and how many times.
    now
        Time of this look.
    """
    if attempts > len(RETRY_AFTER):
        return False
    if state is None or state == "running":
        return now - max(announced, started or announced) >= SILENCE
    # a run that had begun before could not see what was announced then
    missed = state in ("failed", "partial") or (started is not None and started < announced)
    return missed and now - announced >= RETRY_AFTER[attempts - 1]


def _aside(entry: Entry) -> bool:
    return _marks(entry) or entry.name.startswith(".")


def _marks(entry: Entry) -> bool:
    return entry.name.lstrip(".").casefold().replace("_", "-").split(".")[0] == END_OF_NIGHT
