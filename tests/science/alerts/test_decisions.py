"""Decisions: the seed's table for both sets of thresholds, ours, and what each condition says."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta

import pytest
from support import alerts as made_up

from tasks import policies
from tasks.errors import UnusableData
from tasks.io.notices import parsing
from tasks.io.skymaps import sky_map_files
from tasks.records import (
    Alert,
    Audience,
    Coincidence,
    Comparison,
    Condition,
    Kind,
    MapRole,
    Notice,
    PlanMode,
    Policy,
    Rule,
)
from tasks.science.alerts import assembly, decisions, policy_variables
from tasks.science.alerts.decisions import decide

GW = [
    "S241102br-preliminary", "S241102br-initial", "S241102br-update", "S250910b-earlywarning", "S241004ap-preliminary",
    "S241004ap-significant-edited",
]  # fmt: skip


@pytest.fixture(scope="module")
def expected(shared_data):
    return json.loads((shared_data / "expected_notices.json").read_text())


@pytest.fixture(scope="module")
def payloads(shared_data):
    return {name: (shared_data / f"notices/{name}.json").read_bytes() for name in [*GW, "S241126dm-retraction"]}


def understood(payload):
    return assembly.assemble(
        parsing.parse(payload), sha256=hashlib.sha256(payload).hexdigest(), read=sky_map_files.read
    )


def changed(payload, **event):
    document = json.loads(payload)
    document["event"].update(event)
    return understood(json.dumps(document).encode())


def condition(operand="far_hz", comparison=Comparison.BELOW, value=1.0, **options):
    return Condition(operand=operand, comparison=comparison, value=value, **options)


def policy(*conditions, **outcome):
    rule = Rule(name="the rule", when=conditions, **{"action": "GO", **outcome})
    return Policy(name="made up", description="", rules=(rule,), thresholds={}, sha256="x")


def notice(**changes):
    return Alert(
        notice=Notice(**{"kind": Kind.GW, "mission": "LVK", "event_id": "S1", "alert_type": "INITIAL", **changes}),
        sha256="x",
    )


# -------------------------------------------------------------------------------------------------- the seed's table


@pytest.mark.parametrize("thresholds", ["A", "B"])
@pytest.mark.parametrize("name", GW)
def test_grandma_gives_the_seeds_score_and_action(payloads, expected, name, thresholds):
    seed = expected["gw"][f"{name}.json"]["seed"]
    found = decide(understood(payloads[name]), policies.load("grandma", thresholds=thresholds))
    assert (found.score, found.action) == (seed["score"][thresholds], seed["action"][thresholds])
    assert (found.plan is PlanMode.AUTOMATIC) == seed["automatic_plan"][thresholds]


def test_grandmas_default_is_set_b():
    assert policies.load("grandma") == policies.load("grandma", thresholds="B")
    assert policies.load("grandma").thresholds == {
        "BBH_proba": 0.5, "Distance_cut": 500, "BNS_NSBH_size_cut": 500, "BBH_size_cut": 500,
    }  # fmt: skip


def test_a_retraction_scores_nothing_and_is_not_low_significance(payloads):
    alert = understood(payloads["S241126dm-retraction"])
    seed, ours = decide(alert, policies.load("grandma")), decide(alert, policies.load())
    assert (seed.score, seed.action, seed.plan, seed.audience) == (0, "NO", PlanMode.NO, Audience.GW)
    assert (ours.score, ours.action, ours.plan) == (None, "NO", PlanMode.NO)


def cuts(value, probability=0.5):
    return f"BBH_proba={probability},Distance_cut={value},BNS_NSBH_size_cut={value},BBH_size_cut={value}"


@pytest.mark.parametrize("name", ["S241102br-initial", "S241102br-update"])
@pytest.mark.parametrize(
    ("classes", "thresholds", "score", "action"),
    [
        (None, "B", 2, "GO"),
        (None, "A", 1, "NO"),
        ({"Terrestrial": 0.99}, "B", 0, "NO"),
        (None, cuts(1, probability=0), 1, "NO"),
        (None, cuts(1000), 2, "GO"),
        (None, cuts(1000, probability=0.999), 0, "NO"),
        ({"BNS": 0.99}, cuts(1000), 3, "GO"),
        ({"NSBH": 0.99}, cuts(1000), 3, "GO"),
        ({"BNS": 0.99}, cuts(1), 2, "GO"),
        ({}, "B", 0, "NO"),
        ({"Axion": 0.9, "BNS": 0.1}, "B", 0, "NO"),
    ],
)
def test_grandma_gives_the_forced_cases(payloads, name, classes, thresholds, score, action):
    changes = {} if classes is None else {"classification": classes}
    found = decide(changed(payloads[name], **changes), policies.load("grandma", thresholds=thresholds))
    assert (found.score, found.action) == (score, action)


@pytest.mark.parametrize(
    ("change", "score"),
    [
        ({"superevent_id": "MS241102br"}, 0),
        ({"superevent_id": "TS241102br"}, 0),
        ({"alert_type": "RETRACTION"}, 0),
        ({"alert_type": "NEWKIND"}, 0),
        ({"alert_type": "EARLY_WARNING"}, 2),
    ],
)
def test_grandma_scores_mocks_retractions_and_unknown_types_nothing(payloads, change, score):
    document = json.loads(payloads["S241102br-initial"]) | change
    assert decide(understood(json.dumps(document).encode()), policies.load("grandma")).score == score


def test_grandma_compares_strictly():
    edge = made_up.sky_map(area90_deg2=500.0, distance_mpc=499.0)
    alert = made_up.gw(alert_type="INITIAL", sky_map=edge, classification={"BNS": 1.0})
    assert decide(alert, policies.load("grandma")).score == 2
    assert decide(alert, policies.load("grandma", thresholds="BNS_NSBH_size_cut=500.1")).score == 3


def test_grandma_looks_at_the_events_own_map_and_the_seeds_numbers():
    small = made_up.sky_map(MapRole.COMBINED, area90_deg2=5.0, distance_mpc=40.0)
    alert = made_up.gw(combined=small, sky_map=made_up.sky_map(area90_deg2=900.0), classification={"BNS": 1.0})
    assert decide(alert, policies.load("grandma")).score == 2


def test_grandma_without_a_map_passes_no_cut():
    assert decide(made_up.gw(maps=False, classification={"BBH": 1.0}), policies.load("grandma")).score == 1
    assert decide(made_up.gw(maps=False, classification={"BNS": 1.0}), policies.load("grandma")).score == 2


# ------------------------------------------------------------------------------------------------------------- ours


@pytest.mark.parametrize(
    ("name", "score", "plan", "audience"),
    [
        ("S241102br-preliminary", 1, PlanMode.BUTTON, Audience.GW),
        ("S241102br-update", 2, PlanMode.AUTOMATIC, Audience.GW),
        ("S250910b-earlywarning", 1, PlanMode.BUTTON, Audience.GW),
        ("S241004ap-preliminary", 0, PlanMode.NO, Audience.LOW_SIGNIFICANCE),
        ("S241004ap-significant-edited", 0, PlanMode.BUTTON, Audience.GW),
    ],
)
def test_sevendt_decides_the_real_superevents(payloads, name, score, plan, audience):
    found = decide(understood(payloads[name]), policies.load("sevendt"))
    assert (found.score, found.plan, found.audience) == (score, plan, audience)


def test_sevendt_uses_the_combined_map_when_there_is_one():
    wide = made_up.sky_map(area90_deg2=9000.0, distance_mpc=100.0)
    narrow = made_up.sky_map(MapRole.COMBINED, area90_deg2=90.0, distance_mpc=100.0)
    apart = decide(made_up.gw(sky_map=wide, classification={"BNS": 1.0}), policies.load("sevendt"))
    together = decide(made_up.gw(sky_map=wide, combined=narrow, classification={"BNS": 1.0}), policies.load("sevendt"))
    assert (apart.score, apart.plan) == (2, PlanMode.BUTTON)
    assert (together.score, together.plan) == (3, PlanMode.AUTOMATIC)
    assert any(reason.condition.startswith("area90_deg2") and reason.value == "90" for reason in together.reasons)


def test_sevendt_readies_a_plan_on_an_early_warning_only_below_an_area():
    for area, action, plan in ((100.0, "READY", PlanMode.AUTOMATIC), (9000.0, "WAIT", PlanMode.BUTTON)):
        found = decide(
            made_up.gw(alert_type="EARLYWARNING", sky_map=made_up.sky_map(area90_deg2=area)), policies.load("sevendt")
        )
        assert (found.action, found.plan, found.mention) == (action, plan, True)


def test_sevendt_waits_for_a_map_but_announces():
    found = decide(made_up.gw(maps=False, classification={"BNS": 1.0}), policies.load("sevendt"))
    assert (found.action, found.plan, found.mention) == ("WAIT", PlanMode.BUTTON, True)


def test_a_test_goes_to_the_test_channel_and_calls_nobody():
    found = decide(made_up.gw("MS241102br", alert_type="EARLYWARNING", test=True), policies.load("sevendt"))
    assert (found.audience, found.mention) == (Audience.TEST, False)
    assert found.plan is PlanMode.AUTOMATIC


def burst(**changes):
    usual = {
        "kind": Kind.GRB,
        "mission": "Swift",
        "event_id": "1",
        "role": "observation",
        "ra_deg": 10.0,
        "dec_deg": 5.0,
    }
    return notice(**{**usual, **changes})


@pytest.mark.parametrize(
    ("changes", "plan", "audience"),
    [
        ({"error_deg": 0.05, "containment": 0.9}, PlanMode.AUTOMATIC, Audience.GRB),
        ({"error_deg": 0.4, "containment": 0.9}, PlanMode.AUTOMATIC, Audience.GRB),
        ({"error_deg": 0.4, "containment": 0.68}, PlanMode.BUTTON, Audience.GRB),
        ({"error_deg": 3.0, "containment": 0.68}, PlanMode.BUTTON, Audience.GRB),
        ({"error_deg": 8.0, "containment": 0.68}, PlanMode.NO, Audience.GRB),
        ({"error_deg": None}, PlanMode.NO, Audience.GRB),
        ({"error_deg": 0.05, "flags": ("Def_NOT_a_GRB",)}, PlanMode.NO, Audience.LOW_SIGNIFICANCE),
        ({"error_deg": 0.05, "flags": ("Target_in_Gnd_Catalog",)}, PlanMode.NO, Audience.LOW_SIGNIFICANCE),
        ({"error_deg": 0.05, "classification": {"BELOW_HORIZON": 1.0}}, PlanMode.NO, Audience.LOW_SIGNIFICANCE),
        ({"error_deg": 0.05, "role": "utility"}, PlanMode.NO, Audience.LOW_SIGNIFICANCE),
        ({"error_deg": 0.05, "retraction": True}, PlanMode.NO, Audience.GRB),
        ({"error_deg": 0.05, "role": "test", "test": True}, PlanMode.AUTOMATIC, Audience.TEST),
    ],
)
def test_sevendt_plans_a_burst_by_its_error(changes, plan, audience):
    found = decide(burst(**changes), policies.load("sevendt"))
    assert (found.plan, found.audience) == (plan, audience)


def test_tarot_wants_initial_alerts_that_are_near_and_small():
    near = made_up.sky_map(area90_deg2=100.0, distance_mpc=150.0)
    go = decide(made_up.gw(alert_type="INITIAL", sky_map=near), policies.load("tarot"))
    no = decide(made_up.gw(alert_type="PRELIMINARY", sky_map=near), policies.load("tarot"))
    assert (go.plan, go.telescopes) == (PlanMode.AUTOMATIC, ("TCH", "TRE", "TCA"))
    assert no.plan is PlanMode.BUTTON


@pytest.mark.parametrize("name", policies.names())
def test_every_policy_decides_every_alert(payloads, name):
    for payload in payloads.values():
        found = decide(understood(payload), policies.load(name))
        assert found.policy == name
        assert found.reasons
        assert found.summary.startswith(found.action)
        assert found == decide(understood(payload), policies.load(name))


# -------------------------------------------------------------------------------------------------- the conditions


@pytest.mark.parametrize(
    ("comparison", "value", "found", "holds"),
    [
        (Comparison.ABOVE, 1.0, 1.0, False),
        (Comparison.AT_LEAST, 1.0, 1.0, True),
        (Comparison.BELOW, 1.0, 1.0, False),
        (Comparison.AT_MOST, 1.0, 1.0, True),
        (Comparison.IS, 1.0, 1.0, True),
        (Comparison.IS_NOT, 1.0, 1.0, False),
        (Comparison.KNOWN, True, 1.0, True),
        (Comparison.KNOWN, False, 1.0, False),
        (Comparison.KNOWN, True, None, False),
        (Comparison.KNOWN, False, None, True),
        (Comparison.BELOW, 1.0, float("nan"), False),
        (Comparison.BELOW, 1.0, float("inf"), False),
    ],
)
def test_a_condition_on_a_number(comparison, value, found, holds):
    result = decide(notice(far_hz=found), policy(condition(comparison=comparison, value=value)))
    assert result.reasons[0].passed is holds
    assert result.rule == ("the rule" if holds else "no rule holds")


@pytest.mark.parametrize(
    ("operand", "comparison", "value", "holds"),
    [
        ("instruments", Comparison.HAS_ANY, ("V1", "L1"), True),
        ("instruments", Comparison.HAS_NONE, ("V1",), True),
        ("instruments", Comparison.HAS_NONE, ("L1",), False),
        ("instrument_count", Comparison.AT_LEAST, 2, True),
        ("group", Comparison.ONE_OF, ("CBC", "Burst"), True),
        ("group", Comparison.NONE_OF, ("CBC",), False),
        ("event_id", Comparison.STARTS_WITH, "S", True),
        ("real", Comparison.IS, True, True),
        ("top_class", Comparison.IS, "NSBH", True),
        ("p.BBH", Comparison.BELOW, 0.2, True),
        ("p_neutron_star", Comparison.ABOVE, 0.89, True),
        ("property.HasNS", Comparison.AT_LEAST, 1, True),
        ("observatory", Comparison.IS, "Fermi", True),
        ("coincidence_far_hz", Comparison.BELOW, 1e-8, True),
        ("latency_s", Comparison.BELOW, 60, True),
        ("age_s", Comparison.AT_LEAST, 3600, True),
        ("duration_s", Comparison.KNOWN, False, True),
    ],
)
def test_a_condition_on_each_kind_of_operand(operand, comparison, value, holds):
    start = datetime(2026, 1, 1, tzinfo=UTC)
    alert = notice(
        instruments=("H1", "L1"),
        group="CBC",
        classification={"NSBH": 0.6, "BNS": 0.3, "BBH": 0.1},
        properties={"HasNS": 1.0},
        coincidence=Coincidence(observatory="Fermi", time_coincidence_far_hz=1e-6, time_sky_coincidence_far_hz=1e-9),
        time=start,
        time_created=start + timedelta(seconds=30),
    )
    now = start + timedelta(hours=2)
    assert decide(alert, policy(condition(operand, comparison, value)), now=now).reasons[0].passed is holds


@pytest.mark.parametrize("missing", [True, False])
def test_a_missing_value_does_what_the_condition_says(missing):
    found = decide(notice(), policy(condition(missing=missing)))
    assert found.reasons[0].passed is missing
    assert found.reasons[0].value == f"not given, which {'passes' if missing else 'fails'}"


def test_reasons_name_condition_value_and_threshold():
    alert = made_up.gw(sky_map=made_up.sky_map(area90_deg2=165.32), classification={"BBH": 0.98})
    found = decide(alert, policies.load("grandma", thresholds="A"))
    words = [(reason.condition, reason.value, reason.passed) for reason in found.reasons]
    assert ("gw.seed_distance_mpc < 100 (Distance_cut)", "464.9", False) in words
    assert ("p.BBH ≤ 0.5 (BBH_proba)", "0.98", False) in words
    assert found.reasons[-1].passed


def test_a_rule_of_another_kind_is_not_tried():
    found = decide(notice(), policies.load("sevendt"))
    assert not {"burst in one field", "not an observation"} & {reason.rule for reason in found.reasons}


def test_a_rule_sees_what_was_decided_before():
    before = decide(notice(), policy(score=2))
    again = policy(condition("previous_score", Comparison.AT_LEAST, 2), action="KEEP")
    assert decide(notice(), again, previous=before).action == "KEEP"
    assert decide(notice(), again).rule == "no rule holds"


def test_an_unchanged_decision_is_told_from_a_changed_one():
    alert = made_up.gw(classification={"BBH": 0.98})
    first = decide(alert, policies.load("grandma"))
    assert decisions.is_repeated(decide(alert, policies.load("grandma")), first)
    assert not decisions.is_repeated(decide(alert, policies.load("grandma", thresholds="A")), first)
    assert not decisions.is_repeated(first, None)


def test_a_policy_that_asks_for_nothing_there_is_refused():
    with pytest.raises(UnusableData, match="operand 'size'"):
        decide(notice(), policy(condition("size")))
    with pytest.raises(UnusableData, match="cannot be tested"):
        decide(notice(group="CBC"), policy(condition("group", Comparison.BELOW, 3.0)))


def test_a_broken_map_leaves_a_decision_and_a_remark(payloads):
    alert = changed(payloads["S241102br-initial"], skymap="U0lNUExFICA9IHh4eHh4")
    assert alert.sky_map is None
    assert any("sky map (gw)" in remark for remark in alert.notice.remarks)
    assert decide(alert, policies.load()).plan is PlanMode.BUTTON


def test_radii_convert_as_for_a_normal_error():
    assert policy_variables.radius(1.0, containment=0.68, wanted=0.9) == pytest.approx(1.42, abs=0.005)
    assert policy_variables.radius(1.0, containment=0.9, wanted=0.9) == 1.0


@pytest.mark.parametrize(
    ("ra_deg", "dec_deg", "latitude"),
    [(330.2169, -9.1670, -45.97), (337.5347, -0.3918, -46.82), (74.751, -9.3095, -29.18)],
)
def test_galactic_latitudes_are_those_the_missions_state(ra_deg, dec_deg, latitude):
    assert policy_variables.galactic_latitude_deg(ra_deg, dec_deg) == pytest.approx(latitude, abs=0.01)


def test_an_old_notice_starts_nothing_by_itself_and_says_so():
    alert = made_up.gw(sky_map=made_up.sky_map(area90_deg2=50, distance_mpc=80))
    for hours, plan in ((1, PlanMode.AUTOMATIC), (240, PlanMode.BUTTON)):
        found = decide(alert, policies.load(), now=made_up.CREATED + timedelta(hours=hours))
        assert found.plan is plan
        assert found.action == "GO"
        assert found.reasons[-1].condition == "age of the notice ≤ 24 h (plans by themselves)"
        assert found.reasons[-1].passed is (hours == 1)
    assert "old" in found.summary
    assert not found.mention


def test_a_telescope_may_have_conditions_of_its_own(tmp_path):
    (tmp_path / "ours.toml").write_text("""
        description = "7DT always, TCH where the area is small, TRE never"
        [[rules]]
        name = "all"
        action = "GO"
        plan = "automatic"
        priority = 80
        telescopes = [
          "7DT",
          { name = "TCH", when = [{ operand = "area90_deg2", below = 50 }] },
          { name = "TRE", when = [{ operand = "far_hz", below = 0 }] },
        ]
        """)
    rules = policies.load(tmp_path / "ours.toml")
    small, large = (made_up.gw(sky_map=made_up.sky_map(area90_deg2=area)) for area in (40, 60))
    assert decide(small, rules).telescopes == ("7DT", "TCH")
    found = decide(large, rules)
    assert (found.telescopes, found.plan, found.priority) == (("7DT",), PlanMode.AUTOMATIC, 80)
    assert ("all, TCH", "area90_deg2 < 50", False) in [
        (each.rule, each.condition, each.passed) for each in found.reasons
    ]


def test_a_rule_whose_telescopes_all_say_no_leaves_the_choice_to_people(tmp_path):
    (tmp_path / "ours.toml").write_text("""
        description = "TCH where the area is small"
        [[rules]]
        name = "all"
        action = "GO"
        plan = "automatic"
        telescopes = [{ name = "TCH", when = [{ operand = "area90_deg2", below = 50 }] }]
        """)
    found = decide(made_up.gw(), policies.load(tmp_path / "ours.toml"))
    assert (found.telescopes, found.plan) == ((), PlanMode.BUTTON)


def test_a_plan_stands_where_neither_decision_nor_map_has_changed():
    near = made_up.sky_map(area90_deg2=50, distance_mpc=80)
    before, same = made_up.gw(sky_map=near), made_up.gw(alert_type="INITIAL", sky_map=near, minutes=30)
    moved = made_up.gw(alert_type="INITIAL", sky_map=made_up.sky_map(area90_deg2=40, distance_mpc=80), minutes=30)
    first = decide(before, policies.load())

    kept = decisions.settle(decide(same, policies.load()), same, before=before, previous=first)
    assert kept.plan is PlanMode.KEEP
    assert "the plan stands" in kept.summary
    again = decisions.settle(decide(same, policies.load()), same, before=same, previous=kept)
    assert again.plan is PlanMode.KEEP, "a plan that was kept is kept on"
    other = decisions.settle(decide(moved, policies.load()), moved, before=before, previous=first)
    assert other.plan is PlanMode.AUTOMATIC
    worse = decide(made_up.gw(sky_map=near, classification={"BBH": 1.0}), policies.load())
    assert (
        decisions.settle(decide(same, policies.load()), same, before=before, previous=worse).plan is PlanMode.AUTOMATIC
    )
