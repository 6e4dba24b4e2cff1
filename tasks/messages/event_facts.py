"""What an event's history comes to when its files are read and its telescopes asked: the facts that are told of it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

from tasks import products, telescopes
from tasks.io.messages import event_announcements
from tasks.io.messages.event_text import TopMessageFacts
from tasks.io.skymaps import sky_map_files
from tasks.records import Alert
from tasks.records.bursts import Burst
from tasks.records.events import EventHistory, Standing
from tasks.records.skymaps import Overlap
from tasks.science.alerts import best_position
from tasks.science.planning import observability
from tasks.science.skymaps import map_overlap


def overlaps_of(known: EventHistory) -> dict[str, Overlap]:
    """Return what each notice's map keeps of the one before it, by the notice's hash."""
    acted_on = [entry.alert for entry in known.notices if entry.standing not in (Standing.LATE, Standing.DUPLICATE)]
    mapped = [alert for alert in acted_on if alert.best_map is not None]
    pairs = itertools.pairwise(mapped)
    return {after.sha256: found for before, after in pairs if (found := overlap(before, after)) is not None}


def overlap(before: Alert | None, after: Alert) -> Overlap | None:
    """Compare two notices' maps; None where there is nothing to compare, or nothing different."""
    maps = [alert.best_map for alert in (before, after) if alert is not None]
    files = [best.path for best in maps if best is not None and best.path is not None and best.path.is_file()]
    if len(files) < 2 or products.sha256_of(files[0]) == products.sha256_of(files[1]):
        return None
    return map_overlap.between(*(sky_map_files.read(file) for file in files))


def burst(known: EventHistory) -> Burst:
    """Put together what all notices of a burst say, with the outlook of its position."""
    return observability.added(best_position.burst(alerts(known)), telescopes.known(known.telescopes))


def alerts(known: EventHistory) -> tuple[Alert, ...]:
    """Return the alerts of an event in the order of arrival."""
    return tuple(entry.alert for entry in known.notices)


def knowledge(known: EventHistory, links: Mapping[str, str]) -> TopMessageFacts:
    """Return what an event's top message may show."""
    return event_announcements.top_message_facts(known, burst=burst(known), links=links)
