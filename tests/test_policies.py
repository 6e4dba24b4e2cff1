"""Policies as files: valid ones, and invalid ones refused with the position of the error."""

from __future__ import annotations

import pytest

from tasks import policies
from tasks.errors import UnusableData
from tasks.records import Audience, Comparison, Kind, PlanMode

GOOD = """
description = "made up"
default = "wide"
[thresholds.wide]
area = 100
[thresholds.narrow]
area = 10
[[rules]]
name = "small"
kind = "gw"
when = [{ operand = "area90_deg2", below = "area", missing = "passes" }, { operand = "flags", has_any = ["a", "b"] }]
score = 2
action = "GO"
plan = "automatic"
audience = "operators"
"""


def load(tmp_path, text, **options):
    path = tmp_path / "made.toml"
    path.write_text(text)
    return policies.load(path, **options)


def test_a_policy_reads_as_it_is_written(tmp_path):
    policy = load(tmp_path, GOOD)
    (rule,) = policy.rules
    assert (policy.name, policy.thresholds) == ("made", {"area": 100})
    assert (rule.name, rule.kind, rule.score, rule.action) == ("small", Kind.GW, 2, "GO")
    assert (rule.plan, rule.audience) == (PlanMode.AUTOMATIC, Audience.OPERATORS)
    first, second = rule.when
    assert (first.comparison, first.value, first.threshold, first.missing) == (Comparison.BELOW, 100, "area", True)
    assert (second.comparison, second.value, second.missing) == (Comparison.HAS_ANY, ("a", "b"), False)


def test_a_rule_may_tell_nobody(tmp_path):
    (rule,) = load(tmp_path, GOOD.replace('"operators"', '"nobody"')).rules
    assert rule.audience is Audience.NOBODY


def test_thresholds_come_by_set_and_by_name(tmp_path):
    assert load(tmp_path, GOOD, thresholds="narrow").thresholds == {"area": 10}
    assert load(tmp_path, GOOD, thresholds="narrow, area=7.5").rules[0].when[0].value == 7.5


def test_the_fingerprint_follows_every_change(tmp_path):
    prints = {
        load(tmp_path, GOOD).sha256,
        load(tmp_path, GOOD, thresholds="narrow").sha256,
        load(tmp_path, GOOD.replace("score = 2", "score = 3")).sha256,
    }
    assert len(prints) == 3
    assert load(tmp_path, GOOD).sha256 == load(tmp_path, "# a comment\n" + GOOD).sha256


WRONG = {
    "no TOML": ("description = ", "", "no TOML"),
    "no rules": (GOOD[GOOD.index("[[rules]]") :], "", "rules"),
    "unknown key": ("score = 2", "scor = 2", "scor"),
    "unknown plan": ('"automatic"', '"soon"', "plan"),
    "unknown audience": ('"operators"', '"all"', "audience"),
    "unknown comparison": ("below", "smaller", "needs an operand"),
    "two comparisons": ('below = "area"', "below = 1, above = 0", "needs an operand"),
    "no operand": ('operand = "flags", ', "", "needs an operand"),
    "unknown threshold": ('below = "area"', 'below = "size"', "no threshold 'size'"),
    "a list for a number": ('below = "area"', "below = [1]", "cannot be used"),
    "true for a number": ('below = "area"', "below = true", "cannot be used"),
    "a text for a list": ('has_any = ["a", "b"]', 'has_any = "a"', "cannot be used"),
    "missing unknown": ('"passes"', '"maybe"', "missing"),
    "threshold that is a text": ("area = 100", 'area = "x"', "thresholds"),
    "unknown default": ('"wide"', '"wider"', "no set of thresholds"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_a_policy_must_not_say_is_refused_with_its_place(tmp_path, name):
    old, new, words = WRONG[name]
    assert old in GOOD
    with pytest.raises(UnusableData, match=words):
        load(tmp_path, GOOD.replace(old, new, 1) if name != "no TOML" else old)


@pytest.mark.parametrize("wish", ["C", "area=x", "size=1", "wide,size=2"])
def test_thresholds_that_are_not_there_are_refused(tmp_path, wish):
    with pytest.raises(UnusableData):
        load(tmp_path, GOOD, thresholds=wish)


@pytest.mark.parametrize("name", ["nobody", "../records/alerts", "", "grandma.toml"])
def test_a_policy_that_is_not_ours_is_refused(name):
    with pytest.raises(UnusableData, match="no policy"):
        policies.load(name)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UnusableData, match="cannot be read"):
        policies.load(tmp_path / "none.toml")


@pytest.mark.parametrize("name", policies.names())
def test_our_policies_load(name):
    assert policies.load(name).rules
