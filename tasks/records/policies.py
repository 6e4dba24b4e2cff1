"""A policy: rules in order, made of conditions, as configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from tasks.records.alerts import Audience, Kind
from tasks.records.plans import PlanMode


class Comparison(StrEnum):
    """How an operand is compared with a condition's value; ``ABOVE`` and ``BELOW`` are strict."""

    IS = "is"
    IS_NOT = "is_not"
    ONE_OF = "one_of"
    NONE_OF = "none_of"
    HAS_ANY = "has_any"
    HAS_NONE = "has_none"
    STARTS_WITH = "starts_with"
    ABOVE = "above"
    BELOW = "below"
    AT_LEAST = "at_least"
    AT_MOST = "at_most"
    KNOWN = "known"


@dataclass(frozen=True, kw_only=True)
class Condition:
    """One predicate of a rule: ``operand comparison value``, and what it gives when there is no such value.

    ``threshold`` names the threshold of the policy that ``value`` was taken from, if it was.
    """

    operand: str
    comparison: Comparison
    value: bool | float | str | tuple[str, ...]
    missing: bool = False
    threshold: str | None = None


@dataclass(frozen=True, kw_only=True)
class Rule:
    """If every condition of ``when`` holds, this outcome.

    ``kind`` None means that the rule is for all kinds of events, ``audience`` None the channel of the notice's kind,
    ``nobody`` none at all: what was decided is on record and on the event's page alone.
    """

    name: str
    when: tuple[Condition, ...]
    action: str
    kind: Kind | None = None
    score: int | None = None
    plan: PlanMode = PlanMode.NO
    audience: Audience | None = None
    mention: bool = False
    telescopes: tuple[str, ...] = ()
    only: Mapping[str, tuple[Condition, ...]] = field(default_factory=dict)
    """Conditions of single telescopes: where they do not hold, the others are planned."""
    priority: int = 50
    """Of the observations that follow, 0 (may wait) to 100 (at once), as telescopes' queues count it."""
    comment: str = ""


@dataclass(frozen=True, kw_only=True)
class Policy:
    """Rules, of which the first that holds decides. ``sha256`` changes with any rule or threshold."""

    name: str
    description: str
    rules: tuple[Rule, ...]
    thresholds: Mapping[str, float]
    sha256: str
    automatic_within_h: float | None = None
    """Age of a notice from which no plan starts by itself, in h; None is no limit."""
