"""Records that flows return."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

from tasks.records.alerts import Alert, Audience, Decision
from tasks.records.events import Registered
from tasks.records.outbox import Drained
from tasks.records.plans import Observed, Plan
from tasks.records.reports import NightReport

USUAL_PRIORITY = 50


@dataclass(frozen=True, kw_only=True)
class Response:
    """The response to one notice; if it could not be parsed, only ``rejected`` and ``dead_letter`` are filled.

    ``to_plan`` names the telescopes to plan by the decision.
    """

    sha256: str
    rejected: str | None = None
    dead_letter: Path | None = None
    alert: Alert | None = None
    decision: Decision | None = None
    registered: Registered | None = None
    to_plan: tuple[str, ...] = ()
    page: Path | None = None

    @property
    def event_id(self) -> str:
        """The name of the event's folder; empty for a notice that could not be parsed."""
        return self.registered.slug if self.registered else ""

    @property
    def has_map(self) -> bool:
        """Whether there is a sky map to rank candidates by."""
        return self.alert is not None and self.alert.best_map is not None


@dataclass(frozen=True, kw_only=True)
class EventInHand:
    """An event in a flow: its newest notice, its registration and the decision on it.

    ``located`` is the notice to plan from: for a burst the one with the best position, else the newest.
    """

    alert: Alert
    registered: Registered
    located: Alert
    decision: Decision | None = None
    observed: tuple[Observed, ...] = ()
    """Pointings that our telescopes have already observed."""

    @property
    def telescopes(self) -> tuple[str, ...]:
        """The telescopes named in the decision."""
        return self.decision.telescopes if self.decision else ()

    @property
    def priority(self) -> int:
        """Priority of its observations, 0 to 100."""
        return self.decision.priority if self.decision else USUAL_PRIORITY

    @property
    def audience(self) -> Audience:
        """The audience of the event's messages."""
        return self.decision.audience if self.decision else Audience.OPERATORS


@dataclass(frozen=True, kw_only=True)
class Source:
    """Detections at one position in several stacks, with that position's values in an event's sky map.

    ``credible_level`` is the level (0 to 1) of the smallest credible region around it; ``probability_per_deg2`` the
    map's density there.
    """

    ra_deg: float
    dec_deg: float
    detections: int
    filters: tuple[str, ...]
    best_snr: float
    mags: dict[str, float]
    credible_level: float
    probability_per_deg2: float
    candidates: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """A night's sources, the most probable counterpart first."""

    event_id: str
    night: date
    sources: tuple[Source, ...]
    file: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Rehearsal:
    """A rehearsal: the response to its notice, the plans, the night's report, the ranking."""

    response: Response
    report: NightReport
    plans: tuple[Plan, ...] = ()
    ranking: Ranking | None = None


@dataclass(frozen=True, kw_only=True)
class Reconciled:
    """Result of a reconciliation: resubmitted notices, and the results of sending messages and uploads."""

    resubmitted: tuple[str, ...]
    messages: Drained
    uploads: Drained
