"""Paths and names of the alert river: event folders, notices, the tree of the product store."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from tasks.naming import slugs
from tasks.records import Alert, Kind, Notice

# LVK superevents: real (S), mock (MS) and test (TS) ones; older mocks and tests began with M and T
LVK_EVENT_ID = re.compile(r"(?:MS|TS|S|M|T)\d{6}[a-z]{1,8}")
MISSION_EVENT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")


def event_slug(notice: Notice) -> str:
    """Return the name of an event's folder: its id if that has the mission's form, else a hash of it."""
    if notice.kind is Kind.GW:
        return notice.event_id if LVK_EVENT_ID.fullmatch(notice.event_id) else f"gw-{slugs.hashed(notice.event_id)}"
    mission = re.sub(r"[^A-Za-z0-9]+", "-", notice.mission).strip("-")[:24] or "unknown"
    identity = notice.event_id if MISSION_EVENT_ID.fullmatch(notice.event_id) else slugs.hashed(notice.event_id)
    return f"{mission}_{identity}"


@dataclass(frozen=True, kw_only=True)
class AlertTree:
    """Paths of the alert river's files under one root."""

    root: Path

    def notice(self, sha256: str, day: date) -> Path:
        """Return the path of a notice's bytes as received."""
        return self.root / "notices" / day.isoformat() / sha256

    def dead_letter(self, sha256: str) -> Path:
        """Return the path of an unparsable notice's bytes; ``<file>.json`` beside it has the reason."""
        return self.root / "dead-letter" / sha256

    def event(self, notice: Notice) -> Path:
        """Return the folder of an event's maps, plans and page."""
        return self.root / "events" / event_slug(notice)

    def visit(self, alert: Alert) -> Path:
        """Return the folder of one notice's products: ``<time>_<ALERTTYPE>_<hash>``, the same on every replay."""
        return self.event(alert.notice) / f"{_stamp(alert)}_{alert.sha256[:8]}"

    def notice_copy(self, alert: Alert) -> Path:
        """Return the path of the notice's copy beside its products."""
        return self.visit(alert) / "notice"

    def sky_map(self, alert: Alert, role: str) -> Path:
        """Return the path of a notice's sky map as sent."""
        return self.visit(alert) / f"skymap-{slugs.slug(role)}.fits"

    def plans(self, alert: Alert) -> Path:
        """Return the folder of one notice's plans."""
        return self.visit(alert) / "plans"

    def page(self, notice: Notice) -> Path:
        """Return the path of the event's page."""
        return self.event(notice) / "index.html"


class StoreTree:
    """Relative paths in the product store, with tests separate from real events."""

    @staticmethod
    def event(notice: Notice) -> str:
        """Return an event's folder."""
        river = "GW" if notice.kind is Kind.GW else "GRB"
        return f"{'Test' if notice.test else 'Candidates'}/{river}/{event_slug(notice)}"

    @classmethod
    def visit(cls, alert: Alert) -> str:
        """Return the folder of one notice's plans: ``<time>_<ALERTTYPE>``, the same on every replay."""
        return f"{cls.event(alert.notice)}/GWEMOPT/{_stamp(alert)}"

    @classmethod
    def notice(cls, alert: Alert, suffix: str) -> str:
        """Return the path of a notice as received."""
        return f"{cls.event(alert.notice)}/VOEVENTS/{_stamp(alert)}_{alert.sha256[:8]}{suffix}"

    @classmethod
    def page(cls, notice: Notice) -> str:
        """Return the path of the event's page."""
        return f"{cls.event(notice)}/index.html"


def _stamp(alert: Alert) -> str:
    moment = alert.notice.time_created or alert.notice.time
    return f"{moment.strftime('%Y%m%dT%H%M%S') if moment else 'undated'}_{slugs.slug(alert.notice.alert_type)}"
