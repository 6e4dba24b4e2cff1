"""Policies: one TOML file each, read into a :class:`Policy`.

A policy is a list of named ``[[rules]]``; the first rule that holds decides. A rule may apply to one ``kind`` of events
(gw or grb). It holds if all its conditions hold; a rule without conditions always holds. A condition names an operand
(see ``tasks/science/alerts/policy_variables.py``), one comparison with its value, and its result if the operand is
missing::

    { operand = "area90_deg2", below = "area_limit", missing = "fails" }

Comparisons: ``is``, ``is_not``, ``one_of``, ``none_of`` (a value); ``has_any``, ``has_none`` (a list of texts);
``starts_with``; ``above``, ``below`` (strict), ``at_least``, ``at_most`` (numbers, or the name of a threshold);
``known`` (true or false). ``missing`` is ``fails`` unless it says ``passes``.

A telescope of a rule may have its own conditions; if they do not hold, the rule's other telescopes are planned::

    telescopes = ["7DT", { name = "TCH", when = [{ operand = "area90_deg2", below = 50 }] }]

``automatic_within_h``: a notice older than this at its decision starts no automatic plan, but shows the button;
``event_within_h``: the same for the time since the event itself, as in an update two months later.
``priority`` of a rule (0 to 100) is written into its plans.

Thresholds are in named sets; ``default`` names the set used unless another is given. Single thresholds can be changed by
name.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import to_jsonable_python

from tasks.errors import UnusableData
from tasks.records import Audience, Comparison, Condition, Kind, PlanMode, Policy, Rule

FOLDER = Path(__file__).parent
DEFAULT = "sevendt"
NUMERIC = frozenset({Comparison.ABOVE, Comparison.BELOW, Comparison.AT_LEAST, Comparison.AT_MOST})
LISTS = frozenset({Comparison.ONE_OF, Comparison.NONE_OF, Comparison.HAS_ANY, Comparison.HAS_NONE})

Text = Annotated[str, Field(min_length=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _TelescopeFile(_Strict):
    name: Text
    when: tuple[dict[str, Any], ...]


class _RuleFile(_Strict):
    name: Text
    kind: Kind | None = None
    when: tuple[dict[str, Any], ...] = ()
    action: Text
    score: int | None = None
    plan: PlanMode = PlanMode.NO
    audience: Audience | None = None
    mention: bool = False
    telescopes: tuple[str | _TelescopeFile, ...] = ()
    priority: Annotated[int, Field(ge=0, le=100)] = 50
    comment: str = ""


class _PolicyFile(_Strict):
    description: Text
    default: Literal[""] | Text = ""
    automatic_within_h: Annotated[float, Field(gt=0)] | None = None
    event_within_h: Annotated[float, Field(gt=0)] | None = None
    thresholds: dict[str, dict[str, float]] = {}
    rules: Annotated[tuple[_RuleFile, ...], Field(min_length=1)]


def names() -> tuple[str, ...]:
    """Return the names of the policies that come with brightsiren."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))


def load(name: str | Path = DEFAULT, *, thresholds: str = "") -> Policy:
    """Read a policy.

    Parameters
    ----------
    name
        The name of an included policy, or the path of a TOML file.
    thresholds
        A set (``A``), single changes (``distance=300``), or both, separated by commas (``A,distance=300``).

    Raises
    ------
    UnusableData
        If there is no such policy or set, or the file is invalid.
    """
    path = name if isinstance(name, Path) else FOLDER / f"{name}.toml"
    if not isinstance(name, Path) and name not in names():
        raise UnusableData(f"no policy {name[:60]!r}; there are {', '.join(names())}")
    content = _read(path)
    values = _thresholds(content, thresholds)
    rules = tuple(_rule(rule, values) for rule in content.rules)
    return Policy(
        name=path.stem,
        description=content.description,
        rules=rules,
        thresholds=values,
        sha256=_fingerprint(path.stem, rules, content.automatic_within_h, content.event_within_h),
        automatic_within_h=content.automatic_within_h,
        event_within_h=content.event_within_h,
    )


def _read(path: Path) -> _PolicyFile:
    try:
        return _PolicyFile.model_validate(tomllib.loads(path.read_text("utf-8")))
    except OSError as error:
        raise UnusableData(f"the policy {path} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        lines = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise UnusableData(f"the policy {path.name} is wrong: {lines}") from error
    except ValueError as error:
        raise UnusableData(f"the policy {path.name} is no TOML: {error}") from error


def _thresholds(content: _PolicyFile, wish: str) -> dict[str, float]:
    """Return the thresholds of the chosen set, with single changes."""
    words = [word.strip() for word in wish.split(",") if word.strip()]
    chosen = next((word for word in words if "=" not in word), content.default)
    if chosen and chosen not in content.thresholds:
        raise UnusableData(f"no set of thresholds {chosen[:40]!r}; there are {', '.join(content.thresholds) or 'none'}")
    values = dict(content.thresholds.get(chosen, {}))
    for word in words:
        if "=" in word:
            key, value = _change(word, values)
            values[key] = value
    return values


def _change(word: str, values: Mapping[str, float]) -> tuple[str, float]:
    key, _, text = word.partition("=")
    if key not in values:
        raise UnusableData(f"no threshold {key[:40]!r}; there are {', '.join(values) or 'none'}")
    try:
        return key, float(text)
    except ValueError as error:
        raise UnusableData(f"threshold {key} is {text[:40]!r}, expected a number") from error


def _rule(rule: _RuleFile, thresholds: Mapping[str, float]) -> Rule:
    def conditions(tables: Iterable[Mapping[str, Any]]) -> tuple[Condition, ...]:
        return tuple(_condition(rule.name, table, thresholds) for table in tables)

    named = [each.name if isinstance(each, _TelescopeFile) else each for each in rule.telescopes]
    only = {each.name: conditions(each.when) for each in rule.telescopes if isinstance(each, _TelescopeFile)}
    return Rule(**{**dict(rule), "when": conditions(rule.when), "telescopes": tuple(named), "only": only})


def _condition(rule: str, table: Mapping[str, Any], thresholds: Mapping[str, float]) -> Condition:
    """Parse one condition; its comparison is the only key besides operand and missing."""
    comparisons = set(table) - {"operand", "missing"}
    if len(comparisons) != 1 or not comparisons <= set(Comparison) or not isinstance(table.get("operand"), str):
        raise UnusableData(f"rule {rule!r}: {dict(table)} needs an operand and one of {', '.join(Comparison)}")
    comparison = Comparison(comparisons.pop())
    value, threshold = _bind(rule, comparison, table[comparison], thresholds)
    if table.get("missing", "fails") not in {"fails", "passes"}:
        raise UnusableData(f"rule {rule!r}: missing is {table['missing']!r}, expected fails or passes")
    return Condition(
        operand=table["operand"],
        comparison=comparison,
        value=value,
        missing=table.get("missing") == "passes",
        threshold=threshold,
    )


def _bind(
    rule: str, comparison: Comparison, value: Any, thresholds: Mapping[str, float]
) -> tuple[bool | float | str | tuple[str, ...], str | None]:
    """Check a condition's value and replace a threshold's name by its value."""
    if comparison in NUMERIC and isinstance(value, str):
        if value not in thresholds:
            raise UnusableData(f"rule {rule!r}: no threshold {value!r}; there are {', '.join(thresholds) or 'none'}")
        return thresholds[value], value
    expected: type | tuple[type, ...] = (int, float) if comparison in NUMERIC else (bool, int, float, str)
    expected = list if comparison in LISTS else bool if comparison is Comparison.KNOWN else expected
    if not isinstance(value, expected) or (comparison in NUMERIC and isinstance(value, bool)):
        raise UnusableData(f"rule {rule!r}: {comparison} cannot be used with {value!r}")
    return (tuple(map(str, value)), None) if isinstance(value, list) else (cast("bool | float | str", value), None)


def _fingerprint(name: str, rules: tuple[Rule, ...], *limits_h: float | None) -> str:
    content = json.dumps([name, to_jsonable_python(rules), *limits_h], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()
