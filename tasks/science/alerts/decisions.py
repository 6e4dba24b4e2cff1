"""Decisions on alerts: the first rule of a policy that holds, and the conditions tested."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from tasks.errors import UnusableData
from tasks.records import Alert, Audience, Comparison, Condition, Decision, Kind, PlanMode, Policy, Reason, Rule
from tasks.science.alerts import policy_variables
from tasks.science.alerts.policy_variables import DecisionInput, Value

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
# an outage delays a notice; an update or an archival notice comes long after its event
AGES = {"event": "event_age_s", "notice": "age_s"}
NO_RULE = Rule(name="no rule holds", when=(), action="NO")


def decide(alert: Alert, policy: Policy, *, previous: Decision | None = None, now: datetime | None = None) -> Decision:
    """Apply a policy to an alert.

    Parameters
    ----------
    alert
        The notice and the summaries of its sky maps.
    policy
        The rules; the first that holds decides.
    previous
        The last decision on the same event, for rules that refer to it.
    now
        Current time, for rules on the notice's age.

    Raises
    ------
    UnusableData
        If the policy names an unknown operand or compares incompatible types.
    """
    for rule in policy.rules:
        for condition in (*rule.when, *(each for own in rule.only.values() for each in own)):
            policy_variables.check(condition.operand)
    situation = DecisionInput(alert=alert, previous=previous, now=now)
    reasons: list[Reason] = []
    held = (
        rule
        for rule in policy.rules
        if rule.kind in {None, alert.notice.kind} and _hold(rule.name, rule.when, situation, reasons)
    )
    rule = next(held, NO_RULE)
    wanted = tuple(
        name for name in rule.telescopes if _hold(f"{rule.name}, {name}", rule.only.get(name, ()), situation, reasons)
    )
    return _decision(
        rule, policy, situation, telescopes=wanted, plan=_plan(rule, policy, situation, reasons), reasons=reasons
    )


def settle(decision: Decision, alert: Alert, *, before: Alert | None, previous: Decision | None) -> Decision:
    """Keep the plan of the previous notice if neither the decision nor the localisation has changed.

    Parameters
    ----------
    decision, alert
        The new notice and the decision on it.
    before, previous
        The latest earlier notice that has a plan, and its decision.
    """
    same = before is not None and is_repeated(decision, previous) and _aim(alert) == _aim(before)
    if not same or decision.plan is not PlanMode.AUTOMATIC:
        return decision
    words = "neither decision nor localisation has changed: the plan stands"
    return replace(decision, plan=PlanMode.KEEP, summary=f"{decision.summary}; {words}")


def ends_plan(decision: Decision, alert: Alert, *, previous: Decision | None, located: Alert | None) -> bool:
    """Return whether a notice takes away the ground of the plans that stand for its event.

    A decision that asks for no plan ends them, unless it only repeats the one before, or the notice is a GO that is too
    old to start telescopes by itself. Of a burst, one of many notices may have no position or a worse one: it ends a plan
    only if its position is the best known, or if it says that the trigger is no burst.

    Parameters
    ----------
    decision, alert
        The new notice and the decision on it.
    previous
        The decision on the notice before.
    located
        The notice with the best position of a burst.
    """
    kept = decision.plan in {PlanMode.AUTOMATIC, PlanMode.KEEP} or decision.action.upper() == "GO"
    if kept or is_repeated(decision, previous):
        return False
    if alert.notice.kind is Kind.GW:
        return True
    own = located is not None and located.sha256 == alert.sha256
    return own or decision.audience is Audience.LOW_SIGNIFICANCE


def dropped_telescopes(decision: Decision, previous: Decision | None) -> tuple[str, ...]:
    """Return the telescopes that the previous decision asked a plan for and that a new plan leaves out, sorted."""
    wished = (PlanMode.AUTOMATIC, PlanMode.KEEP)
    if previous is None or decision.plan is not PlanMode.AUTOMATIC or previous.plan not in wished:
        return ()
    return tuple(sorted(set(previous.telescopes) - set(decision.telescopes)))


def is_repeated(decision: Decision, previous: Decision | None) -> bool:
    """Return whether a decision asks for the same actions as the previous one."""
    wished = (PlanMode.AUTOMATIC, PlanMode.KEEP)
    return (
        previous is not None
        and all(
            getattr(decision, name) == getattr(previous, name)
            for name in ("policy_sha256", "score", "action", "telescopes", "audience")
        )
        and (decision.plan == previous.plan or (decision.plan in wished and previous.plan in wished))
    )


def _aim(alert: Alert) -> object:
    """Return the localisation that the plan is for: the summary of the map, or the position."""
    if alert.best_map is not None:
        return replace(alert.best_map, path=None)
    notice = alert.notice
    return notice.ra_deg, notice.dec_deg, notice.error_deg


def _plan(rule: Rule, policy: Policy, situation: DecisionInput, reasons: list[Reason]) -> PlanMode:
    """Return a rule's plan mode; a notice or an event too old for automatic plans gets only the button."""
    if rule.plan is not PlanMode.AUTOMATIC:
        return rule.plan
    limits_h = {"event": policy.event_within_h, "notice": policy.automatic_within_h}
    ages_s = {name: policy_variables.read(AGES[name], situation) for name in limits_h}
    young = [
        _is_young(rule, name, age_s, limit_h, reasons)
        for name, limit_h in limits_h.items()
        if limit_h is not None and isinstance(age_s := ages_s[name], float)
    ]
    return rule.plan if all(young) else PlanMode.BUTTON


def _is_young(rule: Rule, name: str, age_s: float, limit_h: float, reasons: list[Reason]) -> bool:
    young = age_s <= 3600 * limit_h
    condition = f"age of the {name} ≤ {limit_h:g} h (plans by themselves)"
    reasons.append(Reason(rule=rule.name, condition=condition, value=f"{age_s / 3600:.3g} h", passed=young))
    return young


def _hold(name: str, when: Sequence[Condition], situation: DecisionInput, reasons: list[Reason]) -> bool:
    """Test conditions in order up to the first that fails, and record each."""
    for condition in when:
        reason = _try(name, condition, situation)
        reasons.append(reason)
        if not reason.passed:
            return False
    return True


def _try(name: str, condition: Condition, situation: DecisionInput) -> Reason:
    found = policy_variables.read(condition.operand, situation)
    return Reason(
        rule=name,
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
        raise UnusableData(f"the policy condition {_words(condition)} cannot be tested on {found!r}") from error


def _words(condition: Condition) -> str:
    """Return a condition in words."""
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


def _decision(
    rule: Rule,
    policy: Policy,
    situation: DecisionInput,
    *,
    telescopes: tuple[str, ...],
    plan: PlanMode,
    reasons: Sequence[Reason],
) -> Decision:
    notice = situation.notice
    usual = rule.audience or (Audience.GW if notice.kind is Kind.GW else Audience.GRB)
    # a test notice never reaches more people than the policy says
    audience = Audience.TEST if notice.test and usual is not Audience.NOBODY else usual
    # if no telescope of the rule can observe, people choose
    idle = plan is PlanMode.AUTOMATIC and bool(rule.telescopes) and not telescopes
    comment = f" ({rule.comment})" if rule.comment else ""
    old = " (old: nothing starts by itself)" if plan is not rule.plan else ""
    return Decision(
        policy=policy.name,
        policy_sha256=policy.sha256,
        rule=rule.name,
        score=rule.score,
        action=rule.action,
        plan=PlanMode.BUTTON if idle else plan,
        telescopes=telescopes,
        audience=audience,
        mention=rule.mention and not notice.test and not old,
        reasons=tuple(reasons),
        summary=f"{rule.action}: {rule.name}{comment}{old}",
        priority=rule.priority,
    )
