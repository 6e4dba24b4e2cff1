"""Decide what to do about an alert: the first rule of a policy that holds, with every condition that was tried."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from tasks.errors import UnusableData
from tasks.records import Alert, Audience, Comparison, Condition, Decision, Kind, Policy, Reason, Rule
from tasks.science import operands
from tasks.science.operands import Situation, Value

SYMBOLS = {
    Comparison.IS: "is",
    Comparison.IS_NOT: "is not",
    Comparison.ONE_OF: "is one of",
    Comparison.NONE_OF: "is none of",
    Comparison.HAS_ANY: "has any of",
    Comparison.HAS_NONE: "has none of",
    Comparison.STARTS_WITH: "starts with",
    Comparison.ABOVE: ">",
    Comparison.BELOW: "<",
    Comparison.AT_LEAST: "≥",
    Comparison.AT_MOST: "≤",
    Comparison.KNOWN: "is known:",
}
TESTS: Mapping[Comparison, Callable[[Any, Any], bool]] = {
    Comparison.IS: lambda found, wanted: found == wanted,
    Comparison.IS_NOT: lambda found, wanted: found != wanted,
    Comparison.ONE_OF: lambda found, wanted: found in wanted,
    Comparison.NONE_OF: lambda found, wanted: found not in wanted,
    Comparison.HAS_ANY: lambda found, wanted: bool(set(found) & set(wanted)),
    Comparison.HAS_NONE: lambda found, wanted: not set(found) & set(wanted),
    Comparison.STARTS_WITH: lambda found, wanted: str(found).startswith(wanted),
    Comparison.ABOVE: lambda found, wanted: found > wanted,
    Comparison.BELOW: lambda found, wanted: found < wanted,
    Comparison.AT_LEAST: lambda found, wanted: found >= wanted,
    Comparison.AT_MOST: lambda found, wanted: found <= wanted,
}
NO_RULE = Rule(name="no rule holds", when=(), action="NO")


def decide(alert: Alert, policy: Policy, *, previous: Decision | None = None, now: datetime | None = None) -> Decision:
    """Apply a policy to an alert.

    Parameters
    ----------
    alert
        The notice, with its sky maps in numbers.
    policy
        The rules; the first that holds decides.
    previous
        What was decided last for the same event, for rules that ask.
    now
        The time, for rules on the notice's age.

    Raises
    ------
    UnusableData
        If the policy asks for what does not exist, or compares what cannot be compared.
    """
    for condition in (condition for rule in policy.rules for condition in rule.when):
        operands.check(condition.operand)
    situation = Situation(alert=alert, previous=previous, now=now)
    reasons: list[Reason] = []
    for rule in policy.rules:
        if rule.kind in {None, alert.notice.kind} and _holds(rule, situation, reasons):
            return _decision(rule, policy, alert, reasons)
    return _decision(NO_RULE, policy, alert, reasons)


def is_repeated(decision: Decision, previous: Decision | None) -> bool:
    """Tell whether a decision asks for nothing that the one before did not ask for already."""
    return previous is not None and all(
        getattr(decision, name) == getattr(previous, name)
        for name in ("policy_sha256", "score", "action", "plan", "telescopes", "audience")
    )


def _holds(rule: Rule, situation: Situation, reasons: list[Reason]) -> bool:
    """Try a rule's conditions in order up to the first that fails, and note each."""
    for condition in rule.when:
        reason = _try(rule, condition, situation)
        reasons.append(reason)
        if not reason.passed:
            return False
    return True


def _try(rule: Rule, condition: Condition, situation: Situation) -> Reason:
    found = operands.read(condition.operand, situation)
    return Reason(
        rule=rule.name,
        condition=_words(condition),
        value=_shown(found, condition),
        passed=_passes(found, condition),
    )


def _passes(found: Value | None, condition: Condition) -> bool:
    if condition.comparison is Comparison.KNOWN:
        return (found is not None) is condition.value
    if found is None:
        return condition.missing
    try:
        return TESTS[condition.comparison](found, condition.value)
    except TypeError as error:
        raise UnusableData(f"a policy cannot ask whether {_words(condition)}: got {found!r}") from error


def _words(condition: Condition) -> str:
    """Write a condition as a person would."""
    value = condition.value
    text = _text(value)
    named = f" ({condition.threshold})" if condition.threshold else ""
    return f"{condition.operand} {SYMBOLS[condition.comparison]} {text}{named}"


def _shown(found: Value | None, condition: Condition) -> str:
    if found is None:
        asked = condition.comparison is Comparison.KNOWN
        return "not given" if asked else f"not given, which {'passes' if condition.missing else 'fails'}"
    return _text(found)


def _text(value: Value) -> str:
    if isinstance(value, tuple):
        return ", ".join(value) or "none"
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else f"{value:.6g}"


def _decision(rule: Rule, policy: Policy, alert: Alert, reasons: list[Reason]) -> Decision:
    notice = alert.notice
    usual = rule.audience or (Audience.GW if notice.kind is Kind.GW else Audience.GRB)
    return Decision(
        policy=policy.name,
        policy_sha256=policy.sha256,
        rule=rule.name,
        score=rule.score,
        action=rule.action,
        plan=rule.plan,
        telescopes=rule.telescopes,
        audience=Audience.TEST if notice.test else usual,
        mention=rule.mention and not notice.test,
        reasons=tuple(reasons),
        summary=f"{rule.action}: {rule.name}" + (f" ({rule.comment})" if rule.comment else ""),
    )
