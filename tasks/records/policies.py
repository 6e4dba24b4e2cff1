"""Records of a policy: ordered rules made of conditions."""

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
    """One predicate of a rule: ``operand comparison value``, and its result ``missing`` if the operand has no value.

    ``threshold`` names the policy's threshold that gave ``value``, if any.
    """

    operand: str
    comparison: Comparison
    value: bool | float | str | tuple[str, ...]
    missing: bool = False
    threshold: str | None = None


@dataclass(frozen=True, kw_only=True)
class Rule:
    """An outcome, applied if every condition of ``when`` holds.

    ``kind`` None applies to all kinds of events; ``audience`` None is the channel of the notice's kind, ``nobody`` is no
    channel: the decision is only in the registry and on the event's page.
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
    """Conditions of single telescopes: if they do not hold, the other telescopes are planned."""
    priority: int = 50
    """Priority of the observations in telescopes' queues, 0 (may wait) to 100 (at once)."""
    comment: str = ""


@dataclass(frozen=True, kw_only=True)
class Policy:
    """Ordered rules; the first that holds decides. ``sha256`` changes with any rule or threshold."""

    name: str
    description: str
    rules: tuple[Rule, ...]
    thresholds: Mapping[str, float]
    sha256: str
    automatic_within_h: float | None = None
    event_within_h: float | None = None
    """Age of a notice from which no plan starts automatically, in h; None for no limit."""
