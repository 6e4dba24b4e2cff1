"""Records of a whole night: places, folders, results of stages, the report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path

from tasks.records.candidates import Candidate
from tasks.records.nights import (
    Calibrated,
    Difference,
    Inventory,
    MasterQuality,
    Reduced,
    Rejected,
    Stack,
    Stage,
)


@dataclass(frozen=True, kw_only=True)
class Places:
    """Folders and catalogues of an observatory; the fields of the block ``observatory`` without its name."""

    raw_root: Path
    product_root: Path
    alert_root: Path
    references: Path
    astrometric_catalogue: Path
    photometric_catalogue: Path
    telescope: str = "7DT"


@dataclass(frozen=True, kw_only=True)
class NightFolder:
    """One unit's folder of one night; ``too`` marks a target of opportunity."""

    unit: str
    night: date
    folder: Path
    too: bool = False


@dataclass(frozen=True, kw_only=True)
class NightTrouble:
    """A run of a night that ``crashed`` or ``stalled``, of all units if none is named; ``name`` is its display name."""

    night: date
    units: tuple[str, ...]
    run: str
    name: str
    what: str
    since: datetime
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class StageTiming:
    """Duration of a stage and numbers of its items."""

    stage: str
    seconds: float
    done: int
    failed: int
    skipped: int = 0
    p50_s: float = 0.0
    """Median time of one item, in s."""

    p95_s: float = 0.0
    """95th percentile of the time of one item, in s."""


@dataclass(frozen=True, kw_only=True)
class ProcessTiming:
    """Duration of one process over all units, and numbers of its items; times in s.

    If a process is part of another, ``within`` names that one, whose time includes it.
    """

    process: str
    seconds: float
    done: int
    failed: int
    skipped: int = 0
    p50_s: float = 0.0
    p95_s: float = 0.0
    within: str = ""


@dataclass(frozen=True, kw_only=True)
class StageResult:
    """The result of one stage of one unit's night; only the fields of that stage are filled."""

    stage: Stage
    unit: str
    night: date
    seconds: float
    inventory: Inventory | None = None
    calibrated: tuple[Calibrated, ...] = ()
    reduced: tuple[Reduced, ...] = ()
    stacks: tuple[Stack, ...] = ()
    differences: tuple[Difference, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    tables: tuple[Path, ...] = ()
    rejected: tuple[Rejected, ...] = ()
    masters: tuple[MasterQuality, ...] = ()
    solved_s: Mapping[str, float] = field(default_factory=dict)
    """Time for the WCS of each light, in s, by the raw frame's name."""

    searched_s: tuple[float, ...] = ()
    """Time for the search of each difference, in s."""

    @property
    def done(self) -> int:
        """Number of products of the stage."""
        return len(self.calibrated) + len(self.reduced) + len(self.stacks) + len(self.differences)


@dataclass(frozen=True, kw_only=True)
class NightReport:
    """The complete result of a night: products, and rejections with reasons."""

    night: date
    units: tuple[str, ...]
    frames_ok: int
    rejected: tuple[Rejected, ...]
    reduced: tuple[Reduced, ...]
    stacks: tuple[Stack, ...]
    differences: tuple[Difference, ...]
    candidates: tuple[Candidate, ...]
    timings: tuple[StageTiming, ...]
    seconds: float
    page: Path | None = None
    masters: tuple[MasterQuality, ...] = ()
    processes: tuple[ProcessTiming, ...] = ()
    qa: Mapping[str, int] = field(default_factory=dict)
    """Bits of ``QaBit`` of the lights that have any, by the raw frame's name."""


@dataclass(frozen=True, kw_only=True)
class CatalogueMade:
    """Result of making a photometric reference: new ``cells`` and their ``stars``.

    ``known`` stars lie in existing cells, which are not changed; ``refused`` counts the sources that failed each quality
    test.
    """

    folder: Path
    cells: int
    stars: int
    known: int
    filters: tuple[str, ...]
    refused: Mapping[str, int] = field(default_factory=dict)
