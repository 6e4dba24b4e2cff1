"""Facts derived from an event's history: map overlap, observability, links."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tasks import products, telescopes
from tasks.io.messages import event_announcements
from tasks.io.messages.event_text import TopMessageFacts
from tasks.io.skymaps import recent_maps
from tasks.records import Alert
from tasks.records.bursts import Burst
from tasks.records.events import EventHistory, Standing
from tasks.records.skymaps import Overlap
from tasks.science.alerts import best_position
from tasks.science.planning import observability
from tasks.science.skymaps import map_overlap


@dataclass(frozen=True, kw_only=True)
class EventContext:
    """One reading of an event: its history, the facts of all its notices together, its links by label."""

    history: EventHistory
    burst: Burst
    links: Mapping[str, str]

    @property
    def knowledge(self) -> TopMessageFacts:
        """The facts that the event's top message may show."""
        return event_announcements.top_message_facts(self.history, burst=self.burst, links=self.links)


def context(history: EventHistory, links: Mapping[str, str]) -> EventContext:
    """Derive an event's facts from one reading of it, with the observability of its position."""
    together = best_position.burst(alerts(history))
    return EventContext(
        history=history, burst=observability.added(together, telescopes.known(history.telescopes)), links=links
    )


def knowledge(history: EventHistory, links: Mapping[str, str]) -> TopMessageFacts:
    """Return the facts that an event's top message may show."""
    return context(history, links).knowledge


def alerts(history: EventHistory) -> tuple[Alert, ...]:
    """Return the alerts of an event in the order of arrival."""
    return tuple(entry.alert for entry in history.notices)


def overlaps_of(history: EventHistory) -> dict[str, Overlap]:
    """Compare each notice's map with the one before it; return the overlaps by the notice's hash."""
    acted_on = [entry.alert for entry in history.notices if entry.standing not in (Standing.LATE, Standing.DUPLICATE)]
    mapped = [alert for alert in acted_on if alert.best_map is not None]
    # newest first: these maps are still in the memory of recent maps
    pairs = reversed(list(itertools.pairwise(mapped)))
    found = [(after.sha256, overlap(before, after)) for before, after in pairs]
    return {sha256: shared for sha256, shared in reversed(found) if shared is not None}


def overlap(before: Alert | None, after: Alert) -> Overlap | None:
    """Compare two notices' maps; return None if one is missing or both are the same."""
    maps = [alert.best_map for alert in (before, after) if alert is not None]
    files = [best.path for best in maps if best is not None and best.path is not None and best.path.is_file()]
    if len(files) < 2 or _same_content(*files):
        return None
    newer = recent_maps.read(files[1])
    return map_overlap.between(recent_maps.read(files[0]), newer)


def _same_content(one: Path, other: Path) -> bool:
    return one.stat().st_size == other.stat().st_size and products.sha256_of(one) == products.sha256_of(other)
