"""Sky maps that a notice gives by address: fetched after the notice was announced with its circle, and told as an update.

A map that was fetched becomes part of the notice (see ``embedded_maps``): a notice of its own, which the dispatcher starts a
run for as for any other. So it is decided on, planned and announced by the usual way.
"""

from __future__ import annotations

import logging
from datetime import datetime
from pathlib import Path

from tasks import naming
from tasks.alerts.engines import arrivals
from tasks.errors import SirenError, UnusableData
from tasks.io.messages import event_announcements
from tasks.io.notices import embedded_maps, parsing
from tasks.io.services import sky_map_servers
from tasks.io.skymaps import compact_maps, sky_map_files
from tasks.options import RevisitOptions
from tasks.records import Alert
from tasks.records.events import EventHistory, NoticeEntry
from tasks.registry import Registry, outbox
from tasks.science.alerts import revisit_times

log = logging.getLogger(__name__)

MAP_URL = "healpix"
"""Key of a map's address among a notice's addresses."""


def is_awaited(alert: Alert) -> bool:
    """Return whether a notice gives a sky map by address only."""
    return MAP_URL in alert.notice.urls and alert.sky_map is None and not alert.notice.retraction


def look(
    known: EventHistory,
    options: RevisitOptions,
    servers: str,
    *,
    registry: Registry,
    root: Path,
    now: datetime,
) -> datetime | None:
    """Fetch the sky map of an event's newest notice if it is awaited; return when to look again, None if that is done.

    A map that cannot be had at the last look is said to the operators, once, with its reason.
    """
    entry = known.newest
    if not options.map_minutes or not is_awaited(entry.alert):
        return None
    reason = _fetched(entry, servers, registry, root)
    if not reason:
        return None
    again = revisit_times.following(revisit_times.map_moments(entry.received, options), now)
    log.warning("%s: %s", known.slug, reason)
    if again is None:
        message = event_announcements.of_missing_map(known.slug, entry.alert, reason)
        with registry.begin() as session:
            outbox.enqueue_message(session, message, now=now)
    return again


def _fetched(entry: NoticeEntry, servers: str, registry: Registry, root: Path) -> str:
    """Fetch a map and keep the notice with it; return why not, or nothing."""
    alert = entry.alert
    try:
        content = sky_map_servers.fetch(alert.notice.urls[MAP_URL], sky_map_servers.parse_list(servers))
        if content is None:
            return "the sky map is not there yet"
        # refused before it becomes part of a notice
        sky_map_files.read(content)
        path = naming.AlertTree(root=root).notice_copy(alert)
        arrivals.keep(_with_map(parsing.read(path), content, alert.notice.mission), registry, root)
    except SirenError as error:
        return str(error)
    return ""


def _with_map(payload: bytes, content: bytes, mission: str) -> bytes:
    """Put a map into a notice: as it was sent, or smaller without loss if it would not fit."""
    try:
        return embedded_maps.embed(payload, content, mission=mission)
    except UnusableData:
        return embedded_maps.embed(payload, compact_maps.pack(content), mission=mission)
